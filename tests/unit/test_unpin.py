"""`unpin` with runtimes that have no pins or fail. The rest is in the integration tests."""

import math

import pytest
import trio

from nodeprefetch.cli.unpin import Unpinned, remove_pins
from nodeprefetch.errors import RuntimeUnavailableError
from nodeprefetch.runtime.api import ContainerdApi, RuntimeVersion
from nodeprefetch.runtime.connect import Connect, Runtime
from nodeprefetch.runtime.errors import RuntimeFaultError
from nodeprefetch.runtime.pin_labels import pin_labels
from nodeprefetch.testing import FakeContainerdApi, FakeImageService

A = "sha256:" + "a" * 64


def leads_to(api: ContainerdApi | None, name: str = "containerd") -> Connect:
    async def connect(_: trio.Nursery) -> Runtime:
        version = RuntimeVersion(name=name, version="1")
        return Runtime(service=FakeImageService(), version=version, socket="/fake.sock", containerd=api)

    return connect


async def message_of(connect: Connect) -> str:
    with pytest.raises(ExceptionGroup) as caught:
        await remove_pins(connect, "one")
    (error,) = caught.value.exceptions
    assert isinstance(error, RuntimeUnavailableError)
    return str(error)


async def test_pins_are_removed():
    api = FakeContainerdApi()
    api.record(A, "manifest", labels=pin_labels("one"))
    api.record("r/a:1", "manifest")

    assert [Unpinned(image_id=A, names=("r/a:1",), instances=("one",), still_pinned_by=())] == await remove_pins(
        leads_to(api), "one"
    )
    assert [] == await remove_pins(leads_to(api), None)


async def test_another_runtime_has_no_pins(capsys):
    assert [] == await remove_pins(leads_to(None, "cri-o"), "one")
    assert "nodeprefetch: this command needs containerd, but the runtime is cri-o 1\n" == capsys.readouterr().err


async def test_a_containerd_that_does_not_let_us_look_is_an_error():
    assert "no pins were removed: containerd API unavailable" == await message_of(leads_to(None))


async def test_a_containerd_that_goes_away_is_an_error():
    api = FakeContainerdApi()
    api.gone = RuntimeFaultError.gone("connection refused")

    assert "could not remove all pins: connection refused (run the command again)" == await message_of(leads_to(api))


async def test_a_containerd_that_does_not_answer_is_an_error(autojump_clock):
    class Silent(FakeContainerdApi):
        async def image_names(self):
            await trio.sleep(math.inf)

    assert "could not remove all pins: no answer in 1m (run the command again)" == await message_of(leads_to(Silent()))
    assert 60 == trio.current_time()
