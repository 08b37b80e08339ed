"""A credential: what the runtime logs in with, where it came from; and the interface of what has credentials."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from nodeprefetch.values.image_ref import ImageRef


@dataclass(frozen=True, kw_only=True, slots=True)
class AuthConfig:
    """Credentials for one registry, as CRI's AuthConfig knows them. The secrets never show in a repr.

    User name and password are what both containerd and CRI-O honour; a server address is never sent, because
    containerd drops credentials whose address is not the very host it asks (for Docker Hub it never is).
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """A refresh token for the registry's token endpoint; containerd alone honours it."""

    @property
    def kind(self) -> str:
        """What kind of secret it is: `password`, `identity token`."""
        return "identity token" if self.identity_token else "password"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never reach a log."""
        return tuple(secret for secret in (self.password, self.identity_token) if secret)


@dataclass(frozen=True, kw_only=True, slots=True)
class Credential:
    """One AuthConfig, and how it was found."""

    source: str
    """Which source it came from, for people: `pull-secrets`, `kubelet/ecr-credential-provider`."""

    key: str
    """The key that matched the image there: `quay.io/team`."""

    auth: AuthConfig

    valid_until: float = field(default=float("inf"), compare=False)
    """Trio's time from which it is not to be used: its provider has to be asked again."""

    def __str__(self) -> str:
        """For logs and results: `pull-secrets quay.io/team (password)`. No user name: some are tokens."""
        return f"{self.source} {self.key} ({self.auth.kind})"


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

    def report(self, credential: Credential, verdict: Verdict) -> None:
        """What became of one that was given. Has to be told for each, before the next one is asked for."""
        ...


class CredentialSource(Protocol):
    """Knows credentials for images."""

    def look_up(self, image: ImageRef) -> AbstractContextManager[Lookup]:
        """Begin to look for the credentials of an image, for one round of attempts. Leaving the block ends it."""
        ...
