"""What tests of this program and of its plugins are made with: fakes that pass the contract of the real thing."""

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
