"""Which digest the name of an image stands for on the node, and whether a tag has moved.

CRI lists all digests of an image, and does not say which of them is the tag's. An image has several if the index
changed and the image for this platform did not; on CRI-O also if the digests of index and manifest are both listed.
"""

from contextlib import suppress

import msgspec

from nodeprefetch.runtime.api import ContainerdApi, ImageRecord
from nodeprefetch.runtime.errors import RuntimeFaultError, answered_within
from nodeprefetch.values.image_ref import ImageRef

_LOOK_LIMIT = 5.0
"""Seconds for looking up a name. After that the runtime's answer by CRI must do."""


class KnownDigest(msgspec.Struct, frozen=True):
    """What is known of the digest that a name stands for."""

    digest: str = ""
    """Of the manifest or index; empty if unknown."""

    possible: frozenset[str] = frozenset()
    """More than `digest` alone if the runtime does not say which one it is."""

    def has_moved_from(self, before: "KnownDigest") -> bool:
        """Whether the name surely stood for another digest before. False if either is unknown."""
        return bool(self.digest and before.possible) and self.digest not in before.possible


class Digests:
    """Finds the digest of a name.

    Args:
        api: asked where an image has several digests, for it knows what each name stands for; None: nobody is.
    """

    def __init__(self, api: ContainerdApi | None = None) -> None:
        self._api = api

    async def find(self, image: ImageRef, record: ImageRecord, before: KnownDigest | None = None) -> KnownDigest:
        """Return the digest of a name, from the record of its image.

        Args:
            image: the name.
            record: of the image that it stands for.
            before: what the name stood for before a pull. Of several possible digests, the first new one is taken, or
                the first one.
        """
        if image.digest is not None:
            return KnownDigest(image.digest, frozenset({image.digest}))
        prefix = f"{image.lookup_name}@"
        own = tuple(name.removeprefix(prefix) for name in record.repo_digests if name.startswith(prefix))
        if len(own) > 1 and (exact := await self._look_up(image)) in own:
            own = (exact,)
        new = [digest for digest in own if before is None or digest not in before.possible]
        return KnownDigest((*new, *own, "")[0], frozenset(own))

    async def _look_up(self, image: ImageRef) -> str | None:
        if self._api is None:
            return None
        with suppress(RuntimeFaultError), answered_within(_LOOK_LIMIT):  # best effort
            return await self._api.image_digest(image.pull_ref)
        return None
