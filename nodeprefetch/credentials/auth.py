"""A credential: what the runtime logs in with, and its origin; and the interface of credential sources."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from nodeprefetch.values.image_ref import ImageRef


@dataclass(frozen=True, kw_only=True, slots=True)
class AuthConfig:
    """Credentials for one registry, as in CRI's AuthConfig. A repr never shows the secrets.

    Both containerd and CRI-O use user name and password. A server address is never sent: containerd drops
    credentials whose address is not exactly the host it connects to (for Docker Hub it never is).
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """A refresh token for the registry's token endpoint; only containerd uses it."""

    @property
    def kind(self) -> str:
        """The kind of secret: `password` or `identity token`."""
        return "identity token" if self.identity_token else "password"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that must never be logged."""
        return tuple(secret for secret in (self.password, self.identity_token) if secret)


@dataclass(frozen=True, kw_only=True, slots=True)
class Credential:
    """An AuthConfig, its source and the key that matched."""

    source: str
    """The name of the provider that it came from: `docker-config regcred`, `kubelet/ecr-credential-provider`."""

    key: str
    """The key that matched the image, as written: `quay.io/team`."""

    auth: AuthConfig

    valid_until: float = field(default=float("inf"), compare=False)
    """Expiry on Trio's clock; after it, the provider must be asked again."""

    normal_key: str = field(default="", repr=False, compare=False)
    """The normalized key: equal for keys that mean the same."""

    def __str__(self) -> str:
        """For logs and results: `docker-config regcred quay.io/team (password)`. No user name: some are tokens."""
        return f"{self.source} {self.key} ({self.auth.kind})"


class Verdict(Enum):
    """What a pull attempt showed about a credential."""

    WORKED = "worked"
    REFUSED = "refused"
    UNDECIDED = "undecided"
    """The attempt failed for another reason, or was cancelled."""


class Lookup(Protocol):
    """The credentials for one image, one at a time."""

    @property
    def is_complete(self) -> bool:
        """Whether all sources have answered: if so, no further credential can appear."""
        ...

    @property
    def matched(self) -> tuple[Credential, ...]:
        """All matching credentials known so far, whether returned by `next` or not."""
        ...

    async def next(self) -> Credential | None:
        """Return the credential to try next; None if there are no more. Returns each one once."""
        ...

    def is_outdated(self, credential: Credential) -> bool:
        """Whether to look up again instead of using a credential whose attempt had to wait."""
        ...

    def report(self, credential: Credential, verdict: Verdict) -> None:
        """Report what an attempt with a credential showed. Call it for each one, before calling `next` again."""
        ...


class CredentialSource(Protocol):
    """Something that has credentials for images."""

    def look_up(self, image: ImageRef) -> AbstractContextManager[Lookup]:
        """Look up the credentials of an image, for one round of attempts. Leaving the block ends the look-up."""
        ...
