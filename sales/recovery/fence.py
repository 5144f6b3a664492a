"""All items of a node are looked at while a witness stands, then it opens."""

import logging

from sales import counters, sync
from sales.counters import NotLoaded
from sales.models import FlashSaleItem, ItemState
from sales.recovery import doubts, rebuilding
from sales.recovery.rebuilding import Recovered

logger = logging.getLogger(__name__)


def open_fence(*, force: bool = False) -> list[Recovered]:
    """Verify every node that has no scripts, then load them; return what was done.

    Safe to call at any time and by several processes at once: each item is handled
    under its row lock. With `force`, every loaded item is looked at. Raises NotLoaded
    or Unsure when Redis does not answer: the caller tries again later.
    """
    recovered: list[Recovered] = []
    with counters.patience(10):
        for node, items in _nodes().items():
            if force or not counters.has_scripts(items[0]):
                recovered += _verify_node(node, items[0])
            else:
                doubtful = FlashSaleItem.objects.filter(pk__in=items).filter(
                    state__in=[ItemState.FROZEN, ItemState.RECOVERING]
                )
                recovered += [
                    _attempt(pk) for pk in doubtful.values_list("pk", flat=True)
                ]
    return recovered


def heal() -> list[Recovered]:
    """Recover every item that looks lost, damaged or left closed, and open fences."""
    recovered = open_fence()
    seen = {line.item_id for line in recovered}
    with counters.patience(10):
        for item in FlashSaleItem.objects.filter(pk__in=sync.loaded_items()):
            if item.pk not in seen and doubts.looks_wrong(item):
                recovered.append(_attempt(item.pk))
    return recovered


def _nodes() -> dict[str, list[int]]:
    nodes: dict[str, list[int]] = {}
    for item_id in sync.loaded_items():
        nodes.setdefault(counters.node_of(item_id), []).append(item_id)
    return nodes


def _verify_node(node: str, item_id: int) -> list[Recovered]:
    """Look at all items of a node while a witness stands, then load its scripts."""
    witness = counters.Witness(item_id)
    try:
        recovered = [_attempt(pk) for pk in _nodes().get(node, [])]
        witness.load_scripts()
    finally:
        witness.close()
    return recovered


def _attempt(item_id: int) -> Recovered:
    """Recover one item; one that cannot be is left frozen and stops no other."""
    try:
        return rebuilding.recover(item_id)
    except (NotLoaded, counters.Unsure):
        raise
    except Exception as error:
        logger.exception("flash item %s cannot be recovered", item_id)
        if not sync.freeze(item_id, f"recovery failed: {error}"):
            raise NotLoaded(f"item {item_id} cannot be closed") from error
        return Recovered(item_id, f"recovery failed: {error}", "left frozen")
