"""What a source of progress is: where the watch of a run sees how far pulls are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from nodeprefetch.pull.tracker import Sight

LOOK_INTERVAL = 1.0
"""Seconds between two looks at the progress of pulls."""

LOOK_TIMEOUT = 10.0
"""Seconds in which a source must complete a look."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What one look showed of one pull."""

    sight: Sight
    moved: bool
    """Something moved since the look before."""

    is_counted: bool = True
    """The bytes are those of all its layers. Bytes from before do not count for its rate."""

    is_lost: bool = False
    """Its progress is not visible any more."""


class ProgressSource(Protocol):
    """Where the progress of pulls is seen."""

    step: int
    """Bytes in which a download grows, at any rate; 0: as they arrive."""

    @property
    def interval(self) -> float:
        """Seconds from one look to the next."""
        ...

    def shows(self, lease: str, /) -> bool:
        """Whether the progress of a pull with that lease is visible; empty: it has none."""
        ...

    async def begin(self, attempt_id: str, image: str, lease: str, /) -> None:
        """Prepare for a pull, just before its call. May wait for a moment in which the pull can be recognized.

        Raises:
            RuntimeFaultError: this pull will not be visible.
        """
        ...

    def end(self, attempt_id: str, /) -> Sight:
        """Forget a pull. Returns its sight, should it have succeeded."""
        ...

    def sight(self, image: str, /) -> Sight:
        """How far an image's pull is, as last seen."""
        ...

    async def look(self) -> Mapping[str, Seen]:
        """Look once at all pulls, by attempt. A look that fails changes nothing.

        Raises:
            RuntimeFaultError: the look failed.
        """
        ...
