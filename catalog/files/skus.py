"""SKUs for products that come without one: the same file gives the same, always.

A SKU is made from the handle and the options, CLAY-POT-LARGE. When that is taken by
another product, in the file or in the shop, a short code of the full key follows it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from unicodedata import normalize

from catalog.files.formats import Row

LENGTH = 80
NO_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Owner:
    """Who has a SKU in the shop."""

    handle: str
    name: str


def plain(key: tuple[str, ...]) -> str:
    """The SKU of a key that nobody else has: "CLAY-POT-LARGE"."""
    words = [NO_WORD.sub("-", normalize("NFKC", part)).strip("-") for part in key]
    sku = "-".join(filter(None, words)).upper()
    return sku if 0 < len(sku) <= LENGTH else coded(key)


def coded(key: tuple[str, ...]) -> str:
    """The SKU of a key whose plain one is taken, or cannot be."""
    words = NO_WORD.sub("-", normalize("NFKC", "-".join(key))).strip("-").upper()
    code = sha256("\x1f".join(key).encode()).hexdigest()[:8].upper()
    return f"{words[: LENGTH - 9]}-{code}".strip("-")


def candidates(rows: Iterable[Row]) -> set[str]:
    """Every SKU that `assign` may want to know the owner of."""
    found = set()
    for row in rows:
        found |= {row.sku} if row.sku else {plain(row.key), coded(row.key)}
    return found - {""}


def assign(rows: Iterable[Row], owners: Mapping[str, Owner]) -> dict[int, str]:
    """The SKU of each line; "" for a line that has neither SKU nor key.

    Who has the plain SKU in the shop keeps it, whatever the order of the lines; among
    newcomers it is the first.
    """
    rows = list(rows)
    skus = {row.line: row.sku for row in rows if row.sku}
    taken = set(skus.values())
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if not row.sku and any(row.key):
            groups.setdefault(plain(row.key), []).append(row)
    for sku, group in groups.items():
        keeper = None if sku in taken else _keeper(sku, group, owners)
        for row in group:
            skus[row.line] = sku if row.key == keeper else coded(row.key)
    return {row.line: skus.get(row.line, "") for row in rows}


def _keeper(
    sku: str, group: list[Row], owners: Mapping[str, Owner]
) -> tuple[str, ...] | None:
    """The key that has, or gets, the plain SKU; None if it is somebody else's."""
    free = [row for row in group if coded(row.key) not in owners]
    owner = owners.get(sku)
    if owner is None:
        return free[0].key if free else None
    for row in group:
        if _is_owner(row, owner):
            return row.key
    is_one = len({row.key for row in group}) == 1
    return group[0].key if is_one and _has_handle(group[0], owner) else None


def _is_owner(row: Row, owner: Owner) -> bool:
    option = " ".join(row.key[-1].split()) if len(row.key) > 1 else ""
    return _has_handle(row, owner) and owner.name.endswith(option)


def _has_handle(row: Row, owner: Owner) -> bool:
    # A number of the other shop is a name of its own; its handle is ours to choose.
    return "handle" not in row.values or row.values["handle"] == owner.handle
