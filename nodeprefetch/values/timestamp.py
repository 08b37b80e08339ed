"""Formats and parses times as Kubernetes and containerd have them: RFC 3339, UTC."""

from datetime import UTC, datetime
from typing import Literal


def format_timestamp(at: float, *, precision: Literal["seconds", "milliseconds"] = "seconds") -> str:
    """Format a time: `2026-01-31T12:00:00Z`. Digits beyond the precision are cut off.

    Args:
        at: Unix seconds.
        precision: smallest unit in the text.
    """
    return datetime.fromtimestamp(at, UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def parse_timestamp(text: str) -> float | None:
    """Return the Unix seconds of a time; None if it is invalid."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None
