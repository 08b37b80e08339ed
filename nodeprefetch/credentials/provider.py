"""The public interface of credential plugins: what a provider is asked, what it answers, how it is made.

A plugin is an entry point of the group `nodeprefetch.credential_providers` in any installed distribution. Its name is
the plugin's name; it loads a factory, a `ProviderFactory`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.credentials.keyring import KeyringEntry
from nodeprefetch.errors import UsageError
from nodeprefetch.values.image_ref import ImageRef

ENTRY_POINT_GROUP = "nodeprefetch.credential_providers"


class CacheKeyType(StrEnum):
    """For what else an answer holds, in the kubelet's words (credentialprovider.kubelet.k8s.io)."""

    IMAGE = "Image"
    """For this image name, whatever its tag or digest."""

    REGISTRY = "Registry"
    """For all images of its registry (host and port)."""

    GLOBAL = "Global"
    """For all images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProvidedCredentials:
    """What a provider answers. Without entries: it knows none for this image, which may be remembered too."""

    entries: tuple[KeyringEntry, ...] = ()
    """Credentials and the keys they stand under. Those whose key matches the image are used, the most specific key
    first, by the rules of the kubelet's keyring: host globs, port, path prefix."""

    cache_key_type: CacheKeyType = CacheKeyType.IMAGE
    cache_duration: float | None = None
    """Seconds for which the answer may be used again; None or 0: not at all."""

    @classmethod
    def for_registry(
        cls, image: ImageRef, auth: AuthConfig, *, cache_duration: float | None = None
    ) -> "ProvidedCredentials":
        """One credential for all images of the registry of `image`."""
        return cls(
            entries=(KeyringEntry(key=image.registry, auth=auth),),
            cache_key_type=CacheKeyType.REGISTRY,
            cache_duration=cache_duration,
        )


@runtime_checkable
class CredentialProvider(Protocol):
    """Something that may know credentials for an image.

    Besides, a provider may have

    - `name`: a text for people, where one plugin makes several providers;
    - `matches(image) -> bool`: False, and it is not asked for that image. Called often, must not wait for anything;
    - `is_local = True`: it answers at once, from what it holds itself. It is asked each time, and by `nodeprefetch
      explain` too, which runs other plugins only with `--ask-plugins`.
    """

    async def get_credentials(self, image: ImageRef) -> ProvidedCredentials:
        """The credentials for an image, which is to be taken as `image.lookup_name`: without tag and digest.

        Runs under Trio, in a scope that is cancelled after a minute or when the run ends. May be called for several
        images at once. Whatever it raises costs only this answer: it is logged without its text's secrets, other
        sources are used, and the provider is asked again later.
        """
        ...


@runtime_checkable
class BlockingCredentialProvider(Protocol):
    """The same for code that blocks: `get_credentials` is called in a worker thread, and abandoned after a minute."""

    def get_credentials(self, image: ImageRef) -> ProvidedCredentials:
        """As `CredentialProvider.get_credentials`. May be called in several threads at once."""
        ...


AnyProvider = CredentialProvider | BlockingCredentialProvider


def wants(provider: AnyProvider, image: ImageRef) -> bool:
    """Whether a provider is to be asked for an image. One that does not say, or fails at saying so, is."""
    matches = getattr(provider, "matches", None)
    try:
        return matches is None or bool(matches(image))
    except Exception:  # noqa: BLE001 - a plugin's; asked, it will show what is wrong with it
        return True


def is_local(provider: AnyProvider) -> bool:
    """Whether a provider answers from what it holds itself."""
    return bool(getattr(provider, "is_local", False))


@dataclass(frozen=True, kw_only=True, slots=True)
class NotConfigured:
    """What a factory returns when it was told nothing: the plugin is installed, and not used."""

    why: str
    """What is missing, for `nodeprefetch plugins`: `no --credential-option netrc.file=FILE`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PluginContext:
    """What a factory gets."""

    name: str
    """The plugin's name, for messages."""

    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    """From `--credential-option NAME.KEY=VALUE`: every KEY with its values, in the order given."""

    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Of the process."""

    warn: Callable[[str], None] = field(default=lambda _text: None)
    """Tells people something that does not keep the provider from working. Never a secret, nor the path of one: an
    aggregator receives it too."""

    def option(self, key: str) -> str | None:
        """The value of an option; the last one where it was given several times."""
        values = self.options.get(key, ())
        return values[-1] if values else None

    def allow_options(self, *known: str) -> None:
        """Refuse all other options.

        Raises:
            UsageError: names each option that the plugin does not know, and those that it does.
        """
        unknown = [key for key in self.options if key not in known]
        if unknown:
            known_text = ", ".join(f"{self.name}.{key}" for key in known) or "none"
            raise UsageError(
                [
                    f"--credential-option {self.name}.{key}: there is no such option; known: {known_text}"
                    for key in unknown
                ]
            )


ProviderFactory = Callable[[PluginContext], AnyProvider | Sequence[AnyProvider] | NotConfigured]
"""Makes the plugin's providers; several of them share one keyring, in their order. Must not wait for anything.

Raises `UsageError` where options or files are wrong: the run ends before anything is pulled, with all that is wrong in
one go. Whatever else it raises leaves the plugin out, which is logged.
"""
