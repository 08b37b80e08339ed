"""What the errors of a runtime may show, over CRI."""

from contextlib import asynccontextmanager

import pytest

from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.rpc import GRPCError, Status
from nodeprefetch.runtime.cri import CriImageService
from nodeprefetch.runtime.faults import RuntimeFaultError


class Refusing:
    """A channel to a runtime that answers every call with one error."""

    def __init__(self, text):
        self.text = text

    @asynccontextmanager
    async def request(self, *_, **__):
        raise GRPCError(Status.UNKNOWN, self.text)
        yield


async def test_an_error_shows_no_secret_of_an_earlier_attempt():
    service = CriImageService(Refusing("last login was one / first-secret (b25lOmZpcnN0LXNlY3JldA==)"))
    texts = []
    for user, password in (("one", "first-secret"), ("two", "second-secret")):
        with pytest.raises(RuntimeFaultError) as caught:
            await service.pull_image("quay.io/a:1", AuthConfig(username=user, password=password))
        texts.append(str(caught.value))
    with pytest.raises(RuntimeFaultError) as caught:
        await service.image_status("quay.io/b:1")

    assert ["last login was one / *** (***)"] * 3 == [*texts, str(caught.value)]
