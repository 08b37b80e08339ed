"""A fake source of credentials."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from nodeprefetch.credentials.auth import AuthConfig, Credential, Verdict
from nodeprefetch.values.image_ref import ImageRef


@dataclass(kw_only=True)
class FakeLookup:
    """Returns credentials in the given order."""

    credentials: list[Credential]
    matched: tuple[Credential, ...]
    is_complete: bool
    verdicts: list[tuple[str, Verdict]]

    async def next(self) -> Credential | None:
        """Return the next credential."""
        await trio.lowlevel.checkpoint()
        return self.credentials.pop(0) if self.credentials else None

    def is_outdated(self, credential: Credential) -> bool:
        """Whether the credential has expired."""
        return trio.current_time() >= credential.valid_until

    def report(self, credential: Credential, verdict: Verdict) -> None:
        """Record the verdict."""
        self.verdicts.append((credential.auth.username, verdict))


@dataclass(kw_only=True)
class FakeCredentialSource:
    """A `CredentialSource` with user names by registry, which records how it is used.

    Args:
        logins: user names by registry, in the order of use; the password of `u` is `secret-of-u`.
        lifetime: seconds for which a credential is valid after its look-up.
    """

    logins: Mapping[str, Sequence[str]] = field(default_factory=dict)
    lifetime: float = float("inf")
    name: str = "fake"
    is_complete: bool = True
    """False: behave as if some source had not answered."""

    asked: list[str] = field(default_factory=list, init=False)
    """The images that were looked up, as written."""

    verdicts: list[tuple[str, Verdict]] = field(default_factory=list, init=False)
    """User names with the reported verdicts."""

    @contextmanager
    def look_up(self, image: ImageRef) -> Iterator[FakeLookup]:
        """Look up the credentials of the image's registry."""
        self.asked.append(image.text)
        found = [
            Credential(
                source=self.name,
                key=image.registry,
                auth=self.auth(user),
                valid_until=trio.current_time() + self.lifetime,
            )
            for user in self.logins.get(image.registry, ())
        ]
        yield FakeLookup(credentials=found, matched=tuple(found), is_complete=self.is_complete, verdicts=self.verdicts)

    @staticmethod
    def auth(user: str) -> AuthConfig:
        """Return the credentials of a user as the runtime receives them."""
        return AuthConfig(username=user, password=f"secret-of-{user}")
