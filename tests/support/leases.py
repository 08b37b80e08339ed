"""Leases that a test has made itself."""

from collections.abc import Callable
from dataclasses import dataclass, field

from nodeprefetch.values.image_ref import ImageRef


@dataclass(kw_only=True)
class GivenLeases:
    """A `LeaseSource` that hands out what it is told.

    Args:
        of: ID of an image's lease; empty: none.
    """

    of: Callable[[ImageRef], str]
    released: list[str] = field(default_factory=list, init=False)
    """Images, as the user wrote them."""

    async def obtain(self, image: ImageRef, _lost: str = "", /) -> str:
        """What it was told."""
        return self.of(image)

    async def release(self, image: ImageRef, /) -> None:
        """Take note of it."""
        self.released.append(image.text)

    async def discard(self, _image: ImageRef, /) -> bool:
        """Nothing is known to be kept."""
        return False
