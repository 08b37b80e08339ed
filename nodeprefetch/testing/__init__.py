"""Fakes for tests of plugins and of programs that use this one. Each passes the contract of the real thing.

Public: the names below, and the registry with faults in `nodeprefetch.testing.registry` (its images come from
`nodeprefetch.testing.images`).
"""

from nodeprefetch.testing.containerd_api import FakeContainerdApi
from nodeprefetch.testing.credentials import FakeCredentialSource
from nodeprefetch.testing.provider_contract import CredentialProviderContract
from nodeprefetch.testing.run import FakeRun
from nodeprefetch.testing.service import HANG, CallEnd, FakeImageService, Hang, PullCall

__all__ = [
    "HANG",
    "CallEnd",
    "CredentialProviderContract",
    "FakeContainerdApi",
    "FakeCredentialSource",
    "FakeImageService",
    "FakeRun",
    "Hang",
    "PullCall",
]
