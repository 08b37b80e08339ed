"""The old import path of `nodeprefetch.credentials`, for plugins written for 0.1.0. To be removed in 0.2.0."""

import warnings

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

__all__ = [
    "ENTRY_POINT_GROUP",
    "AnyProvider",
    "BlockingCredentialProvider",
    "CacheKeyType",
    "CredentialProvider",
    "NotConfigured",
    "PluginContext",
    "ProvidedCredentials",
    "ProviderFactory",
]

warnings.warn(f"{__name__} is deprecated, import from nodeprefetch.credentials", DeprecationWarning, stacklevel=2)
