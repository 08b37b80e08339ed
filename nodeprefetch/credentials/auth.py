"""A credential: what the runtime is sent to log in with, and where it came from."""

from dataclasses import dataclass, field


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
