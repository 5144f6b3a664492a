"""A claim and its way: held, paying, paid, released, refunded."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings

from sales.counters import connections, replies, scripts
from sales.counters.records import Claim, Note, StoredClaim
from sales.counters.replies import (
    REFUSALS,
    Admitted,
    ClaimRefused,
    Code,
    NotLoaded,
    Step,
    StepRefused,
    Unsure,
)
from sales.counters.scripts import SHAS

INSIDE = "inside"
BUYER = re.compile(r"[A-Za-z0-9:._@-]{1,64}")


def claim(
    item_id: int,
    *,
    epoch: int,
    order_id: UUID,
    buyer: str,
    quantity: int,
    inside: bool = False,
) -> Admitted:
    """Take units for one order; atomic, and safe to repeat by order id.

    `inside` says that a waiting room, if the sale has one, has let the buyer in.
    Raises ClaimRefused, NotLoaded, or Unsure when the answer was lost.
    """
    (answer,) = claim_many(
        item_id,
        epoch=epoch,
        claims=[Claim(order_id, buyer, quantity)],
        inside=inside,
    )
    if isinstance(answer, Exception):
        raise answer
    return answer


def claim_many(
    item_id: int,
    *,
    epoch: int,
    claims: Sequence[Claim],
    offer_ms: int | None = None,
    inside: bool = False,
) -> list[Admitted | ClaimRefused | NotLoaded]:
    """Decide a batch in order in one script call; one answer per claim.

    With `offer_ms` they are offers to the first in line: what the waiting list wants
    is not kept from them, no waiting room stops them, and they hold so long.
    """
    args: list[str | int] = []
    for wanted in claims:
        if not BUYER.fullmatch(wanted.buyer):
            raise ValueError(f"not a buyer id: {wanted.buyer!r}")
        if not 1 <= wanted.quantity <= settings.SHOP_MAX_QUANTITY:
            raise ValueError(f"not a quantity: {wanted.quantity}")
        args += [str(wanted.order_id), wanted.buyer, wanted.quantity]
    if offer_ms is not None:
        args.append(offer_ms)
    elif inside:
        args.append(INSIDE)
    return [
        replies.admission(answer)
        for answer in scripts.run("claim", item_id, epoch, *args)
    ]


def begin_payment(item_id: int, *, epoch: int, order_id: UUID) -> Step:
    """Held -> paying. Raises StepRefused with WRONG_STATE, HOLD_ENDED or UNKNOWN."""
    return replies.step(scripts.run("begin_payment", item_id, epoch, str(order_id)))


def confirm(item_id: int, *, epoch: int, order_id: UUID) -> Step:
    """Paying -> paid; repeatable. Raises StepRefused with WRONG_STATE or UNKNOWN."""
    return replies.step(scripts.run("confirm", item_id, epoch, str(order_id)))


def release(item_id: int, *, epoch: int, order_id: UUID, reason: str) -> Step:
    """Give an unpaid claim's units back; `reason` is expired, cancelled or declined."""
    return replies.step(scripts.run("release", item_id, epoch, str(order_id), reason))


def release_many(
    item_id: int, *, epoch: int, order_ids: Sequence[UUID], reason: str
) -> list[Step | Exception]:
    """Release a batch in one round trip; one answer or exception per order."""
    if settings.SALE_REDIS_CLUSTER:  # its pipelines cannot run scripts
        return [
            _outcome(
                partial(scripts.run, "release", item_id, epoch, str(order_id), reason)
            )
            for order_id in order_ids
        ]
    connected = connections.ready()
    pipeline = connected.pipeline(transaction=False)
    for order_id in order_ids:
        pipeline.evalsha(
            SHAS["release"],
            4,
            *scripts.keys(item_id),
            str(epoch),
            str(order_id),
            reason,
        )
    with connections.translated():
        answers = pipeline.execute(raise_on_error=False)
    return [_outcome(partial(_answered, answer)) for answer in answers]


def _answered(answer: Any) -> list[Any]:
    with connections.translated():
        if isinstance(answer, Exception):
            raise answer
    return answer  # type: ignore[no-any-return]


def _outcome(ask: Callable[[], list[Any]]) -> Step | Exception:
    try:
        return replies.step(ask())
    except (NotLoaded, StepRefused, Unsure) as error:
        return error


def refund(item_id: int, *, epoch: int, order_id: UUID, restock: bool) -> Step:
    """Paid -> refunded; with `restock` the units can be claimed again."""
    return replies.step(
        scripts.run("refund", item_id, epoch, str(order_id), int(restock))
    )


def reclaim(
    item_id: int, *, epoch: int, order_id: UUID, target: str, inside: bool = False
) -> Admitted:
    """Take a released claim's units again, as "held" or, for late money, "paying".

    `inside` is as for a claim; money that came late never waits. Raises ClaimRefused
    when none can be had, StepRefused on a refunded claim.
    """
    args = [str(order_id), target, *([INSIDE] if inside else [])]
    answer = scripts.run("reclaim", item_id, epoch, *args)
    code = Code(answer[0])
    if code is Code.DONE:
        seq, left, expires_at, flipped = answer[1:]
        return Admitted(seq, left, expires_at, bool(flipped), state=target)
    if code is Code.REPEATED:
        return Admitted(0, 0, 0, False, True, answer[1])
    if code in REFUSALS:
        raise ClaimRefused(REFUSALS[code], answer[1] if len(answer) > 1 else 0)
    replies.step(answer)
    raise AssertionError(answer)


def find(item_id: int, order_id: UUID) -> StoredClaim | None:
    """The claim of that order id as a verified Redis has it now, or None.

    Raises NotLoaded when Redis may have forgotten it.
    """
    found = look_up(item_id, order_id)
    return found.claim if found else None


def look_up(item_id: int, order_id: UUID) -> Note | None:
    """The same, with the number of the item's last event at that moment."""
    answer = scripts.run("find", item_id, str(order_id))
    code = Code(answer[0])
    if code is Code.UNKNOWN:
        return None
    if code is not Code.DONE:
        raise replies.lost(code)
    return Note(StoredClaim.parse(answer[1]), answer[2])
