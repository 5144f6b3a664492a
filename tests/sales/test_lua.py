"""The scripts as texts: they load, keep to their keys, and say what they answer."""

import re

import pytest

from sales.counters import PARTS, SCRIPTS, SHAS, UNFENCED, Code

# What each script may answer; a change here is a change of the engine's contract.
ANSWERS = {
    "adjust": {1, 2, -1, -4, -14},
    "audit": {1, -1},
    "begin_payment": {1, 2, -1, -4, -5, -12, -13},
    "claim": {1, 2, -1, -2, -3, -4, -6, -8, -9, -10, -11, -15},
    "confirm": {1, 2, -1, -4, -5, -12},
    "find": {1, -1, -12},
    "keep_for_line": {1, 2, -1, -4},
    "preload": {1, 2, -4, -11},
    "reclaim": {1, 2, -1, -2, -3, -4, -5, -6, -8, -9, -10, -12, -15},
    "refund": {1, 2, -1, -4, -5, -12},
    "release": {1, 2, -1, -4, -5, -7, -12},
    "restore": {1, -1, -4},
}
READ_ONLY = {"audit", "find"}
NO_EVENT = {"restore", "keep_for_line"}

each_script = pytest.mark.parametrize("name", sorted(SCRIPTS))


def parts(name):
    """A script's header, its `Returns` part, and its body."""
    header, body = SCRIPTS[name].split("]]\n", 1)
    return header, header[header.index("Returns") :], body


def codes_in(text):
    """The first number of each answer: what stands behind an opening brace."""
    return {int(code) for code in re.findall(r"\{(-?\d+)[,}]", text)}


def test_every_script_is_here_and_no_other():
    assert set(SCRIPTS) == set(ANSWERS)
    assert set(SCRIPTS) >= UNFENCED


def test_every_code_is_an_answer_of_some_script():
    assert set().union(*ANSWERS.values()) == {int(code) for code in Code}


@each_script
def test_header_body_and_enum_agree_on_the_codes(name):
    _, returns, body = parts(name)

    assert codes_in(returns) == ANSWERS[name]
    code = re.sub(r"--[^\n]*", "", body)
    # `all(-1)` and `and -3 or -2` answer a code that does not follow a brace.
    in_body = codes_in(code) | {
        int(number) for number in re.findall(r"(?:all\(|and |or )(-\d+)", code)
    }
    assert in_body == ANSWERS[name]


@each_script
def test_the_header_is_there_and_names_keys_arguments_and_answers(name):
    header, _, _ = parts(name)

    assert header.startswith("--[[\n")
    for number, part in enumerate(PARTS, start=1):
        assert re.search(rf"^KEYS\[{number}\]  {part}: ", header, re.MULTILINE)
    assert "\nARGV     " in header


@each_script
def test_every_key_comes_from_keys_and_none_is_searched_for(name):
    _, _, body = parts(name)
    commands = re.findall(r'redis\.p?call\(\s*"(\w+)",\s*([^,)]+)', body)
    without_key = re.findall(r'redis\.p?call\(\s*"(\w+)"\s*\)', body)

    assert commands, name
    assert {key for _, key in commands} <= {f"KEYS[{n}]" for n in range(1, 5)}
    assert set(without_key) <= {"TIME"}
    assert body.count("redis.call(") == len(commands) + len(without_key)
    assert not re.search(r"KEYS\[[^1-4]\]|\bpcall\b|SCAN|\"KEYS\"|\"EVAL", body)


@each_script
def test_the_event_is_the_first_write(name):
    """It is the one write that Redis can refuse, and nothing is rolled back."""
    _, _, body = parts(name)
    writes = re.findall(r'redis\.call\("(XADD|HSET|HINCRBY|HDEL|DEL|SET)"', body)

    if name in READ_ONLY:
        assert writes == []
    elif name in NO_EVENT:
        assert "XADD" not in writes
    else:
        assert writes[0] == "XADD"
        assert writes.count("XADD") == 1
        assert "return" not in body[body.index('"XADD"') : body.rindex("return")]


@each_script
@pytest.mark.redis
def test_redis_loads_every_script_under_the_name_we_call_it_by(name, sale_redis):
    assert sale_redis.script_load(SCRIPTS[name]) == SHAS[name]


@each_script
def test_a_script_stays_short_enough_to_be_read(name):
    _, _, body = parts(name)
    assert len(body.splitlines()) <= 75
