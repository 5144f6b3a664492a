"""The waiting list of a flash item: join, leave, offers to the first in line, its end.

An offer is a claim that is made for the first in line, under the order id their entry
was given on joining. So every step is safe to repeat: the claim by its order id, the
rest by what PostgreSQL has recorded. Who gets what is decided in the order of joining;
meanwhile the counters keep from everybody else what the line wants.

That number is set under a lock that lets the setters of one item take turns, and it is
counted from the rows. It rises before a join commits and falls after an entry has left,
so Redis is never more open than PostgreSQL, and every tick sets it again.
"""

from sales.waiting_list.clearing import forget_old, tally
from sales.waiting_list.joining import (
    Joined,
    JoinRefused,
    find,
    is_over,
    join,
    leave,
    place_of,
)
from sales.waiting_list.keeping import keep
from sales.waiting_list.offering import hand_out, offer_milliseconds
from sales.waiting_list.serving import close_over, follow, serve
from sales.waiting_list.telling import tell_ended

__all__ = [
    "JoinRefused",
    "Joined",
    "close_over",
    "find",
    "follow",
    "forget_old",
    "hand_out",
    "is_over",
    "join",
    "keep",
    "leave",
    "offer_milliseconds",
    "place_of",
    "serve",
    "tally",
    "tell_ended",
]
