"""The public interface for credential plugins: `from nodeprefetch.credentials import …`, see docs/plugins.md.

The modules in this package are internal. Names are loaded on first use, so that a plugin that is not configured costs
next to nothing at start.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nodeprefetch.credentials.api import (
        ENTRY_POINT_GROUP,
        AnyProvider,
        BlockingCredentialProvider,
        CacheKeyType,
        CredentialProvider,
        NotConfigured,
        PluginContext,
        ProvidedCredentials,
        ProviderFactory,
    )
    from nodeprefetch.credentials.auth import AuthConfig
    from nodeprefetch.credentials.dockerconfig import (
        DockerConfig,
        DockerConfigError,
        parse_by_content,
        parse_docker_config,
        parse_legacy_docker_config,
    )
    from nodeprefetch.credentials.keyring import KeyPattern, Keyring, KeyringEntry
    from nodeprefetch.errors import NodeprefetchError, Problems, UsageError
    from nodeprefetch.text.plain_file import open_given
    from nodeprefetch.text.scrub import scrub
    from nodeprefetch.values.duration import parse_duration
    from nodeprefetch.values.image_ref import ImageRef, ImageRefError, quote

__all__ = [
    "ENTRY_POINT_GROUP",
    "AnyProvider",
    "AuthConfig",
    "BlockingCredentialProvider",
    "CacheKeyType",
    "CredentialProvider",
    "DockerConfig",
    "DockerConfigError",
    "ImageRef",
    "ImageRefError",
    "KeyPattern",
    "Keyring",
    "KeyringEntry",
    "NodeprefetchError",
    "NotConfigured",
    "PluginContext",
    "Problems",
    "ProvidedCredentials",
    "ProviderFactory",
    "UsageError",
    "open_given",
    "parse_by_content",
    "parse_docker_config",
    "parse_duration",
    "parse_legacy_docker_config",
    "quote",
    "scrub",
]

_MODULES = {
    "AuthConfig": "nodeprefetch.credentials.auth",
    "DockerConfig": "nodeprefetch.credentials.dockerconfig",
    "DockerConfigError": "nodeprefetch.credentials.dockerconfig",
    "ImageRef": "nodeprefetch.values.image_ref",
    "ImageRefError": "nodeprefetch.values.image_ref",
    "KeyPattern": "nodeprefetch.credentials.keyring",
    "Keyring": "nodeprefetch.credentials.keyring",
    "KeyringEntry": "nodeprefetch.credentials.keyring",
    "NodeprefetchError": "nodeprefetch.errors",
    "Problems": "nodeprefetch.errors",
    "UsageError": "nodeprefetch.errors",
    "open_given": "nodeprefetch.text.plain_file",
    "parse_by_content": "nodeprefetch.credentials.dockerconfig",
    "parse_docker_config": "nodeprefetch.credentials.dockerconfig",
    "parse_duration": "nodeprefetch.values.duration",
    "parse_legacy_docker_config": "nodeprefetch.credentials.dockerconfig",
    "quote": "nodeprefetch.values.image_ref",
    "scrub": "nodeprefetch.text.scrub",
}
"""Where names are defined that are not in `nodeprefetch.credentials.api`."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_MODULES.get(name, "nodeprefetch.credentials.api")), name)
    globals()[name] = value
    return value
