"""How the number of nodes that pull at once develops. Imports little, because `--help` loads it."""

from enum import StrEnum


class Growth(StrEnum):
    """How the number of nodes that pull at once develops."""

    FIXED = "fixed"
    """Always the limit."""

    DOUBLING = "doubling"
    """As many as are warm, and never fewer than the limit: for clusters whose nodes serve each other images."""
