"""The Lua scripts and the keys they take: one call is one script on one item."""

from hashlib import sha1
from pathlib import Path
from typing import Any

from sales.counters import connections

LUA = Path(__file__).parent.parent / "lua"
SCRIPTS = {
    path.stem: path.read_text(encoding="utf-8") for path in sorted(LUA.glob("*.lua"))
}
SHAS = {
    name: sha1(text.encode(), usedforsecurity=False).hexdigest()
    for name, text in SCRIPTS.items()
}
# These may run on a node that is not verified: they admit nobody.
UNFENCED = {"preload", "restore", "audit", "keep_for_line"}
PARTS = ("meta", "claims", "buyers", "events")


def keys(item_id: int) -> list[str]:
    """The item's four keys, in the order every script takes them."""
    return [f"flash:{{{item_id}}}:{part}" for part in PARTS]


def run(script: str, item_id: int, *args: str | int, fenced: bool = True) -> list[Any]:
    """The script's answer; a fenced one runs on a verified node only."""
    connected = connections.ready()
    with connections.translated():
        if fenced and script not in UNFENCED:
            answer = connected.evalsha(SHAS[script], 4, *keys(item_id), *args)
        else:
            # Another text than the fenced one: EVAL puts what it runs into the cache.
            text = f"-- unfenced\n{SCRIPTS[script]}"
            answer = connected.eval(text, 4, *keys(item_id), *args)
    return answer  # type: ignore[no-any-return]
