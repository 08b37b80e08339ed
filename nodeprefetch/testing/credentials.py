"""A source of credentials that says what it was given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import trio

from nodeprefetch.credentials.auth import AuthConfig, Credential
from nodeprefetch.imageref import ImageRef


@dataclass(kw_only=True)
class FakeCredentialSource:
    """Credentials by registry.

    Args:
        logins: user names by registry, in the order of use; the password of `u` is `secret-of-u`.
    """

    logins: Mapping[str, Sequence[str]] = field(default_factory=dict)
    name: str = "fake"
    asked: list[str] = field(default_factory=list, init=False)
    """The images it was asked for, as written."""

    async def credentials_for(self, image: ImageRef) -> Sequence[Credential]:
        """Those of the image's registry."""
        await trio.lowlevel.checkpoint()
        self.asked.append(image.text)
        return [
            Credential(source=self.name, key=image.registry, auth=self.auth(user))
            for user in self.logins.get(image.registry, ())
        ]

    @staticmethod
    def auth(user: str) -> AuthConfig:
        """What the runtime is sent for that user."""
        return AuthConfig(username=user, password=f"secret-of-{user}")
