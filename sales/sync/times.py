"""Redis time is milliseconds; here it is a datetime."""

from datetime import UTC, datetime


def moment(milliseconds: int) -> datetime:
    """Redis time as a datetime."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def milliseconds(at: datetime) -> int:
    """A datetime as Redis time."""
    return round(at.timestamp() * 1000)
