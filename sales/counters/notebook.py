"""The journal: a second note of what a claim's buyer was told, until it is drained.

It is on the queue's server, so that a claim somebody was told about outlives even the
loss of the whole sale Redis. Recovery closes the notebook of an epoch before it reads
it, so a claim is either read there or its note is refused and its buyer is not told.

A note says of which event it is, so that a later one is not replaced, nor dropped, by
somebody who was slower.
"""

import logging
from collections.abc import Sequence
from uuid import UUID

from redis.exceptions import RedisError

from sales import queue_server
from sales.counters.records import Note
from sales.counters.replies import NotLoaded, Unsure

logger = logging.getLogger(__name__)


NOTE = """
local closed = redis.call("HGET", KEYS[1], "_closed")
if closed and tonumber(closed) >= tonumber(ARGV[1]) then return 0 end
local noted = redis.call("HGET", KEYS[1], ARGV[2])
if noted and tonumber(noted:match("^%d+")) > tonumber(ARGV[3]:match("^%d+")) then
  return 1
end
redis.call("HSET", KEYS[1], ARGV[2], ARGV[3])
return 1
"""
FORGET = """
for n = 2, #ARGV do
  local noted = redis.call("HGET", KEYS[1], ARGV[n])
  if noted and tonumber(noted:match("^%d+")) <= tonumber(ARGV[1]) then
    redis.call("HDEL", KEYS[1], ARGV[n])
  end
end
"""


def journal(item_id: int, order_id: UUID, note: Note, *, epoch: int) -> None:
    """Note what a claim's buyer is about to be told. A failure is only logged.

    Raises Unsure when the item has been rebuilt since: the claim may be lost.
    """
    try:
        is_noted = queue_server.client().eval(
            NOTE, 1, _journal_key(item_id), str(epoch), str(order_id), str(note)
        )
    except RedisError as error:
        logger.warning("claim %s is not in the journal: %s", order_id, error)
        return
    if not is_noted:
        raise Unsure(f"item {item_id} was rebuilt meanwhile")


def close_journal(item_id: int, epoch: int) -> None:
    """Refuse notes of this epoch and of older ones from here on. Raises NotLoaded."""
    try:
        queue_server.client().hset(_journal_key(item_id), "_closed", str(epoch))
    except RedisError as error:
        raise NotLoaded(f"the journal cannot be closed: {error}") from error


def journaled(item_id: int) -> dict[UUID, Note]:
    """What was noted of claims and is not drained. Raises NotLoaded."""
    try:
        rows = queue_server.client().hscan_iter(_journal_key(item_id), count=1000)
        return {
            UUID(order_id): Note.parse(text)
            for order_id, text in rows
            if order_id != "_closed"
        }
    except RedisError as error:
        raise NotLoaded(f"the journal cannot be read: {error}") from error


def forget_journal(item_id: int, order_ids: Sequence[str], *, up_to: int) -> None:
    """Drop what was noted of claims up to an event that is in PostgreSQL now."""
    try:
        if order_ids:
            queue_server.client().eval(
                FORGET, 1, _journal_key(item_id), str(up_to), *order_ids
            )
    except RedisError as error:
        logger.warning("the journal of item %s keeps old notes: %s", item_id, error)


def drop_journal(item_id: int) -> None:
    """Remove a settled item's journal."""
    try:
        queue_server.client().delete(_journal_key(item_id))
    except RedisError as error:
        logger.warning("the journal of item %s is still there: %s", item_id, error)


def _journal_key(item_id: int) -> str:
    return f"flash:{{{item_id}}}:journal"
