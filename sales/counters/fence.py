"""The fence: a node without scripts admits nobody until it was verified."""

import redis
from django.conf import settings

from sales.counters import connections, scripts
from sales.counters.scripts import SCRIPTS, SHAS


def node_of(item_id: int) -> str:
    """The node that holds an item; items of one node are verified together."""
    connected = connections.ready()
    if not settings.SALE_REDIS_CLUSTER:
        return "sale"
    with connections.translated():
        return str(connected.get_node_from_key(scripts.keys(item_id)[0]).name)  # type: ignore[attr-defined]


def has_scripts(item_id: int) -> bool:
    """Whether the item's node was verified since it last started."""
    connected = _node_client(item_id)
    with connections.translated():
        return all(connected.script_exists(*SHAS.values()))


class Witness:
    """A connection to an item's node that stands while the node's items are verified.

    It ends with the server's process, and it never connects again by itself. So what
    `load_scripts` reaches is what was looked at since the witness was made.
    """

    def __init__(self, item_id: int) -> None:
        pool = _node_client(item_id).connection_pool
        with connections.translated():
            self._connection = pool.make_connection()
            self._connection.connect()  # type: ignore[no-untyped-call]

    def load_scripts(self) -> None:
        """Open the fence of the node. Raises Unsure when the node was restarted."""
        with connections.translated():
            for text in SCRIPTS.values():
                self._connection.send_command(  # type: ignore[no-untyped-call]
                    "SCRIPT", "LOAD", text
                )
                self._connection.read_response()

    def close(self) -> None:
        self._connection.disconnect()  # type: ignore[no-untyped-call]


def flush_scripts() -> None:
    """Close the fence: every call says NotLoaded until recovery has verified."""
    connected = connections.ready()
    with connections.translated():
        connected.script_flush()  # of every node, in a cluster


def _node_client(item_id: int) -> redis.Redis:
    connected = connections.ready()
    if not settings.SALE_REDIS_CLUSTER:
        return connected
    node = connected.get_node_from_key(scripts.keys(item_id)[0])  # type: ignore[attr-defined]
    return connected.get_redis_connection(node)  # type: ignore[attr-defined, no-any-return]
