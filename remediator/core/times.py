"""Times as text that sorts as they do."""

from __future__ import annotations

from datetime import UTC, datetime


def instant(at: datetime) -> str:
    """Write a time in UTC with microseconds; such texts sort as the times do.

    Raises:
        ValueError: The time has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError(f"a time without a time zone: {at.isoformat()}")
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def read_instant(text: str) -> datetime:
    """Read what `instant` wrote.

    Raises:
        ValueError: It is no time, or has no time zone.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"a time without a time zone: {text}")
    return at


def maybe_instant(at: datetime | None) -> str | None:
    """Write a time, or that there is none."""
    return None if at is None else instant(at)


def maybe_read_instant(text: str | None) -> datetime | None:
    """Read a time, or that there is none."""
    return None if text is None else read_instant(text)
