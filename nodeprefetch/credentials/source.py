"""Where a pull gets its credentials: the interface between pulling and everything that knows credentials."""

from contextlib import AbstractContextManager
from enum import Enum
from typing import Protocol

from nodeprefetch.credentials.auth import Credential
from nodeprefetch.values.image_ref import ImageRef


class Verdict(Enum):
    """What a pull attempt showed about a credential at a registry."""

    WORKED = "worked"
    REFUSED = "refused"
    UNDECIDED = "undecided"
    """The attempt ended for another reason."""


class Lookup(Protocol):
    """The credentials for one image, one after the other."""

    @property
    def is_complete(self) -> bool:
        """No source failed to answer so far: credentials that are all refused are all there are."""
        ...

    @property
    def matched(self) -> tuple[Credential, ...]:
        """All that is known so far to match, given or not."""
        ...

    async def next(self) -> Credential | None:
        """The credential to try next; None when there is no more. Every one is given once."""
        ...

    def tell(self, credential: Credential, verdict: Verdict) -> None:
        """What became of one that was given. Has to be told for each, before the next one is asked for."""
        ...


class CredentialSource(Protocol):
    """Knows credentials for images."""

    def look_up(self, image: ImageRef) -> AbstractContextManager[Lookup]:
        """Begin to look for the credentials of an image, for one round of attempts. Leaving the block ends it."""
        ...
