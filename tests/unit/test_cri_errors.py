"""What the errors of a runtime may show, over CRI."""

from contextlib import asynccontextmanager

import pytest

from nodeprefetch.rpc import GRPCError, Status
from nodeprefetch.runtime.containerd import ContainerdClient
from nodeprefetch.runtime.cri import CriImageService
from nodeprefetch.runtime.errors import RuntimeFaultError
from nodeprefetch.text.known_secrets import knowing_secrets, remember_secrets


class Refusing:
    """A channel to a runtime that answers every call with one error."""

    def __init__(self, text):
        self.text = text

    @asynccontextmanager
    async def request(self, *_, **__):
        raise GRPCError(Status.UNKNOWN, self.text)
        yield


@pytest.mark.parametrize("call", ["pull_image", "image_status", "list_images", "leases", "ingests"])
async def test_an_error_shows_no_secret_that_was_handed_out(call):
    """Also that of an earlier attempt, of another image, and in an error of containerd's own API."""
    channel = Refusing("last login was one / first-secret (b25lOmZpcnN0LXNlY3JldA==)")
    arguments = {"pull_image": ("quay.io/a:1",), "image_status": ("quay.io/b:1",)}.get(call, ())
    service = CriImageService(channel) if hasattr(CriImageService, call) else ContainerdClient(channel)
    with knowing_secrets():
        remember_secrets(["first-secret"])
        with pytest.raises(RuntimeFaultError) as caught:
            await getattr(service, call)(*arguments)

    assert "last login was one / *** (***)" == str(caught.value)
