"""Settings, Redis keys, commands and links: what the documents say is what is there."""

import re
from pathlib import Path

import pytest

from sales import counters

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("docs/*/*.md")]
)
DECISIONS = sorted(ROOT.glob("docs/decisions/*.md"))
# Read by docker-compose.yml or make, not by the settings.
FOR_TOOLS = {"PORT", "BIND", "GRANIAN_WORKERS", "POSTGRES_PASSWORD"}
WRITES = re.compile(
    r'redis\.call\("(?:HSET|HINCRBY|HDEL|XADD|DEL|SET)", KEYS\[(\d)\]', re.DOTALL
)


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def settings_read():
    """Names of the environment variables that shop/settings.py reads."""
    calls = re.findall(r'\benv_[a-z]+\(\s*"([A-Z_]+)"', read("shop/settings.py"))
    return sorted(set(calls))


def commands():
    """Names of the manage.py commands of our own."""
    return sorted(
        path.stem
        for path in ROOT.glob("*/management/commands/*.py")
        if path.stem != "__init__"
    )


def key_parts():
    """The parts of all keys of an item, those of the scripts and those beside them."""
    others = re.findall(
        r'"flash:\{\{\{item_id\}\}\}:(\w+)"', read("sales/counters/notebook.py")
    )
    return sorted({*counters.PARTS, *others})


def key_row(part):
    """The line of the table of Redis keys about one part of an item."""
    rows = re.findall(
        rf"^\| `flash:\{{<item>\}}:{part}` \|.*$", read("docs/architecture.md"), re.M
    )
    assert len(rows) == 1, f"the table of keys has {len(rows)} rows about {part}"
    return rows[0]


def links():
    """Each link inside the repository, with the page it stands on."""
    for document in PAGES:
        text = document.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if not re.match(r"[a-z]+:", target):
                yield document, target


def anchors(document):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.M)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in headings
    }


def test_the_settings_are_found():
    assert {"DATABASE_URL", "SECRET_KEY", "SHOP_HOLD_SECONDS"} <= set(settings_read())


def test_every_setting_has_a_row_in_settings_md():
    text = read("docs/settings.md")
    assert [name for name in settings_read() if f"\n| `{name}` |" not in text] == []


def test_every_setting_is_in_the_example_file():
    there = re.findall(r"^(?:# )?([A-Z_]+)=", read(".env.example"), re.M)
    assert len(there) == len(set(there))
    assert set(settings_read()) == set(there) - FOR_TOOLS


def test_no_setting_is_documented_that_nobody_reads():
    rows = re.findall(r"^\| `([A-Z_]+)` \|", read("docs/settings.md"), re.M)
    assert len(rows) == len(set(rows))
    assert set(rows) - set(settings_read()) == FOR_TOOLS | {"RESET"}


@pytest.mark.parametrize("part", key_parts())
def test_every_key_is_in_the_table_of_architecture_md(part):
    assert key_row(part).count("|") == 7


def test_the_scripts_name_their_keys_as_the_table_does():
    for text in counters.SCRIPTS.values():
        names = re.findall(r"^KEYS\[\d\]  (\w+):", text, re.M)
        assert tuple(names) == counters.PARTS


def test_the_table_names_every_counter():
    for field in counters.META_FIELDS:
        assert field in key_row("meta")


@pytest.mark.parametrize("part", ["claims", "buyers"])
def test_the_table_names_the_scripts_that_write_a_key(part):
    number = str(counters.PARTS.index(part) + 1)
    writers = {
        name
        for name, text in counters.SCRIPTS.items()
        if number in WRITES.findall(text)
    }
    written_by = key_row(part).split("|")[4]
    assert set(re.findall(r"`(\w+)`", written_by)) == writers


def test_every_command_is_in_operations_md():
    text = read("docs/operations.md")
    assert [name for name in commands() if f"\n| `{name}` |" not in text] == []


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_readme_and_contributing_name_the_two_commands(command):
    assert command in read("README.md")
    assert command in read("CONTRIBUTING.md")


def test_every_test_that_reliability_md_names_is_there():
    text = read("docs/reliability.md")
    modules = ROOT.glob("tests/**/test_*.py")
    there = "".join(module.read_text(encoding="utf-8") for module in modules)
    named = set(re.findall(r"`(test_\w+)`", text))
    assert len(named) > 20
    assert [name for name in sorted(named) if f"def {name}(" not in there] == []
    for path in re.findall(r"`(tests/[\w/.]+)`", text):
        assert (ROOT / path).exists()


def test_links_between_pages_lead_somewhere():
    for document, target in links():
        path, _, anchor = target.partition("#")
        there = (document.parent / path) if path else document
        assert there.exists(), f"{document.name} links to {target}"
        if anchor:
            assert anchor in anchors(there), f"{document.name} links to {target}"


@pytest.mark.parametrize("record", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_record_is_short_and_whole(record):
    text = record.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 40
    assert text.startswith(f"# {int(record.name[:4])}. ")
    for heading in ("Status:", "## Context", "## Decision", "## Consequences"):
        assert heading in text


def test_no_two_decision_records_share_a_number():
    numbers = [page.name[:4] for page in DECISIONS]
    assert len(numbers) == len(set(numbers))


def test_every_page_is_linked_from_another():
    linked = {
        (document.parent / target.partition("#")[0]).resolve()
        for document, target in links()
    }
    assert {document for document in PAGES if document.parent.name == "docs"} <= linked
