"""Where the receipt of a claim goes, until its order is in PostgreSQL."""

import logging
from uuid import UUID

from django.core.cache import cache

logger = logging.getLogger(__name__)
KEPT_SECONDS = 48 * 3600


def remember(order_id: UUID, email: str) -> None:
    """Keep the address. A failure is only logged: the claim stands."""
    try:
        cache.set(f"claim-email:{order_id}", email, KEPT_SECONDS)
    except Exception as error:  # whatever the cache's server does
        logger.warning("claim %s: its address is not kept: %s", order_id, error)


def recall(order_id: UUID) -> str:
    """The address given with a claim, or none."""
    try:
        return str(cache.get(f"claim-email:{order_id}") or "")
    except Exception as error:
        logger.warning("claim %s: its address is not found: %s", order_id, error)
        return ""
