"""The interface of credential plugins: providers, their answers, and the factory that creates them.

A plugin is an entry point of the group `nodeprefetch.credential_providers` in any installed distribution. The entry
point's name is the plugin's name; it loads a `ProviderFactory`. Plugins import all of this from
`nodeprefetch.credentials`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

import msgspec

from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.credentials.keyring import KeyringEntry
from nodeprefetch.errors import UsageError
from nodeprefetch.values.image_ref import ImageRef

ENTRY_POINT_GROUP = "nodeprefetch.credential_providers"


class CacheKeyType(StrEnum):
    """Which other images an answer is valid for, as in the kubelet's API (credentialprovider.kubelet.k8s.io)."""

    IMAGE = "Image"
    """The same image name with any tag or digest."""

    REGISTRY = "Registry"
    """All images of its registry (host and port)."""

    GLOBAL = "Global"
    """All images."""


class ProvidedCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a provider. Without entries it has no credentials for this image, which can be cached too.

    A local provider with many entries should return the same object each time: it is checked and indexed only once.
    """

    entries: tuple[KeyringEntry, ...] = ()
    """Credentials and their keys. Those whose key matches the image are used, the most specific key first, by the
    rules of the kubelet's keyring: host globs, port, path prefix."""

    cache_key_type: CacheKeyType = CacheKeyType.IMAGE
    cache_duration: float | None = None
    """Seconds for which the answer can be cached; None or 0: not at all."""

    @classmethod
    def for_registry(
        cls, image: ImageRef, auth: AuthConfig, *, cache_duration: float | None = None
    ) -> "ProvidedCredentials":
        """Return one credential for all images of the registry of `image`."""
        return cls(
            entries=(KeyringEntry(key=image.registry, auth=auth),),
            cache_key_type=CacheKeyType.REGISTRY,
            cache_duration=cache_duration,
        )


@runtime_checkable
class CredentialProvider(Protocol):
    """Something that may have credentials for an image.

    A provider may also have

    - `name`: a name for messages, useful if one plugin creates several providers;
    - `matches(image) -> bool`: return False to skip an image. Called often, must not wait for anything;
    - `is_local = True`: it answers at once, from memory. It is asked each time, and by `nodeprefetch explain` too,
      which asks other providers only with `--ask-plugins`.
    """

    async def get_credentials(self, image: ImageRef) -> ProvidedCredentials:
        """Return the credentials for an image; use `image.lookup_name`, which has no tag and no digest.

        Runs under Trio, in a scope that is cancelled after a minute or when the run ends. May be called for several
        images concurrently. Whatever it raises costs only this answer: the failure is logged, other sources are used,
        and the provider is asked again later. The log has the text of a `NodeprefetchError`, with known secrets
        masked, and only the class of any other exception.
        """
        ...


@runtime_checkable
class BlockingCredentialProvider(Protocol):
    """The same for blocking code: `get_credentials` is called in a worker thread, and abandoned after a minute."""

    def get_credentials(self, image: ImageRef) -> ProvidedCredentials:
        """Like `CredentialProvider.get_credentials`. May be called in several threads at once."""
        ...


AnyProvider = CredentialProvider | BlockingCredentialProvider


def wants(provider: AnyProvider, image: ImageRef) -> bool:
    """Whether to ask a provider for an image. True if it has no `matches`, or if that fails."""
    try:
        matches = getattr(provider, "matches", None)
        return matches is None or bool(matches(image))
    except (Exception, SystemExit):  # noqa: BLE001 - a plugin's; its answer will show what is wrong with it
        return True


def is_local(provider: AnyProvider) -> bool:
    """Whether a provider answers from memory. False if it does not say, or if that fails."""
    try:
        return bool(getattr(provider, "is_local", False))
    except (Exception, SystemExit):  # noqa: BLE001 - a plugin's
        return False


class NotConfigured(msgspec.Struct, frozen=True, kw_only=True):
    """What a factory returns if no options are set: the plugin is installed, but not used."""

    why: str
    """What is missing, shown by `nodeprefetch plugins`: `no --credential-option netrc.file=FILE`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PluginContext:
    """The argument of a factory."""

    name: str
    """The plugin's name, for messages."""

    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    """The values of each KEY in `--credential-option NAME.KEY=VALUE`, in the order given."""

    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The environment of the process."""

    warn: Callable[[str], None] = field(default=lambda _text: None)
    """Logs a problem that does not keep the provider from working. Never pass a secret, nor the path of one: warnings
    are sent to an aggregator too."""

    def option(self, key: str) -> str | None:
        """Return the value of an option, the last one if it was repeated; None if it was not given."""
        values = self.options.get(key, ())
        return values[-1] if values else None

    def allow_options(self, *known: str) -> None:
        """Reject all other options.

        Raises:
            UsageError: lists each unknown option, and the known ones.
        """
        unknown = [key for key in self.options if key not in known]
        if unknown:
            known_text = ", ".join(f"{self.name}.{key}" for key in known) or "none"
            raise UsageError(
                [f"--credential-option {self.name}.{key}: unknown option (known: {known_text})" for key in unknown]
            )


ProviderFactory = Callable[[PluginContext], AnyProvider | Sequence[AnyProvider] | NotConfigured]
"""Creates the plugin's providers; several providers share one keyring, in their order. Must not wait for anything.

It raises `UsageError` if options or files are invalid: the run then ends before any pull and reports all problems. If
it raises anything else, the plugin is skipped with a warning.
"""
