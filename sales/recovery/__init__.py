"""From a lost or doubtful Redis back to a live sale, without guessing.

Redis forgets its scripts when it restarts or fails over, so every claim says NotLoaded
until this package has looked at each loaded item of the node:

1. Its keys are whole, of the same epoch, not behind PostgreSQL or what buyers were
   told, contiguous; the last event known here is the one there; and the events that
   wait explain the difference between the counters here and there. Then they are
   drained and the sale goes on.
2. Otherwise PostgreSQL takes all it can get: the events that are contiguous, claims
   that only the journal knows, steps that payments prove. It commits that with a new
   epoch, and only then are the keys deleted and put back from it. Event numbers jump,
   so that none is used twice.

PostgreSQL commits before Redis opens, so a crash at any line leaves it closed. Only
after all items of a node were looked at are its scripts loaded.
"""

from sales.recovery.fence import heal, open_fence
from sales.recovery.rebuilding import Recovered, recover
from sales.recovery.saving import JUMP

__all__ = ["JUMP", "Recovered", "heal", "open_fence", "recover"]
