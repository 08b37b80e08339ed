"""A source of credentials that says what it was given."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from nodeprefetch.credentials.auth import AuthConfig, Credential, Verdict
from nodeprefetch.values.image_ref import ImageRef


@dataclass(kw_only=True)
class FakeLookup:
    """Gives credentials in their order."""

    credentials: list[Credential]
    matched: tuple[Credential, ...]
    is_complete: bool
    told: list[tuple[str, Verdict]]

    async def next(self) -> Credential | None:
        """The next one."""
        await trio.lowlevel.checkpoint()
        return self.credentials.pop(0) if self.credentials else None

    def report(self, credential: Credential, verdict: Verdict) -> None:
        """Keep it."""
        self.told.append((credential.auth.username, verdict))


@dataclass(kw_only=True)
class FakeCredentialSource:
    """Credentials by registry.

    Args:
        logins: user names by registry, in the order of use; the password of `u` is `secret-of-u`.
        lifetime: seconds for which each is valid after it was looked up.
    """

    logins: Mapping[str, Sequence[str]] = field(default_factory=dict)
    lifetime: float = float("inf")
    name: str = "fake"
    is_complete: bool = True
    """False: as if some source had not answered."""

    asked: list[str] = field(default_factory=list, init=False)
    """The images it was asked for, as written."""

    told: list[tuple[str, Verdict]] = field(default_factory=list, init=False)
    """User names and what was told of them."""

    @contextmanager
    def look_up(self, image: ImageRef) -> Iterator[FakeLookup]:
        """Those of the image's registry."""
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
        yield FakeLookup(credentials=found, matched=tuple(found), is_complete=self.is_complete, told=self.told)

    @staticmethod
    def auth(user: str) -> AuthConfig:
        """What the runtime is sent for that user."""
        return AuthConfig(username=user, password=f"secret-of-{user}")
