"""What the runtime holds, and whether an image of the list is among it. No I/O."""

from collections.abc import Iterable

from nodeprefetch.runtime.api import ImageRecord
from nodeprefetch.values.image_ref import ImageRef


class Inventory:
    """The answer to one ListImages.

    Names are compared as the runtime normalises them. Where a tag and a digest are given the digest decides, as it
    does in the runtime.
    """

    def __init__(self, records: Iterable[ImageRecord]) -> None:
        self._by_name: dict[str, ImageRecord] = {}
        for record in records:
            for name in (*record.repo_tags, *record.repo_digests):
                self._by_name[name] = record

    def find(self, image: ImageRef) -> ImageRecord | None:
        """The image of that name; None when it is not held."""
        return self._by_name.get(image.pull_ref)

    def names(self) -> tuple[str, ...]:
        """All names, sorted, for people."""
        return tuple(sorted(self._by_name))
