"""What a runtime tells of pins: the fake that tests of pins are made with, and containerd 2."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio

from nodeprefetch.rpc import open_channel
from nodeprefetch.runtime.api import ContainerdApi, ImageService
from nodeprefetch.runtime.containerd import ContainerdClient
from nodeprefetch.runtime.cri import CriImageService
from nodeprefetch.runtime.pin_labels import PINNED, pin_labels
from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry
from tests.support.containerd import Containerd
from tests.support.patience import PATIENCE
from tests.support.pinning import PinningImageService

NUMBERS = itertools.count()
PIN = pin_labels("contract")
UNPIN = dict.fromkeys(PIN)


@dataclass
class FakeStage:
    """A tag that stands for one image, then for another."""

    name: str = "registry.test/pins:1"
    ids: tuple[str, str] = ("sha256:" + "a" * 64, "sha256:" + "b" * 64)

    def __post_init__(self) -> None:
        self.service = PinningImageService(pulls={self.name: [self.ids[0], self.ids[0], self.ids[1]]})

    def move(self) -> None:
        """Its third pull brings the other."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[tuple[ImageService, ContainerdApi]]:
        yield self.service, self.service.api


@dataclass
class RealStage:
    containerd: Containerd
    registry: FakeRegistry
    seed: int = field(default_factory=lambda: next(NUMBERS))

    def __post_init__(self) -> None:
        images = [make_image((2048,), seed=f"pins contract {self.seed} {number}") for number in range(2)]
        self.ids = (images[0].id, images[1].id)
        self._second = images[1]
        self.name = self.registry.add(f"pins-contract-{self.seed}:1", images[0])

    def move(self) -> None:
        self.registry.add(f"pins-contract-{self.seed}:1", self._second)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[tuple[ImageService, ContainerdApi]]:
        async with open_channel(str(self.containerd.socket)) as channel:
            yield CriImageService(channel), ContainerdClient(channel)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.containerd)])
def stage(request: pytest.FixtureRequest) -> FakeStage | RealStage:
    if request.param == "fake":
        return FakeStage()
    return RealStage(request.getfixturevalue("containerd2"), request.getfixturevalue("fake_registry"))


async def pinned(service: ImageService, image: str) -> tuple[bool, bool]:
    """Its own record, and the list."""
    found = await service.image_status(image)
    assert found is not None
    listed = {one.id: one.pinned for one in await service.list_images()}
    return found.pinned, listed[found.id]


async def wait_until_pinned(service: ImageService, image: str, *, pin: bool = True) -> None:
    """CRI learns of labels by events, a moment later."""
    with trio.fail_after(PATIENCE):
        while await pinned(service, image) != (pin, pin):  # noqa: ASYNC110 - of another process
            await trio.sleep(0.05)


async def test_an_image_is_pinned_by_the_record_of_its_id(stage: FakeStage | RealStage) -> None:
    async with stage.open() as (service, api):
        image = await service.pull_image(stage.name)
        await wait_until_pinned(service, image, pin=False)

        assert await api.label_image(image, PIN)
        await wait_until_pinned(service, stage.name)

        assert await api.label_image(image, UNPIN)
        await wait_until_pinned(service, stage.name, pin=False)


async def test_one_record_with_a_pin_is_enough(stage: FakeStage | RealStage) -> None:
    async with stage.open() as (service, api):
        image = await service.pull_image(stage.name)
        await api.label_image(image, PIN)
        await api.label_image(stage.name, {PINNED: "pinned"})

        await api.label_image(image, UNPIN)
        await wait_until_pinned(service, image)

        await api.label_image(stage.name, {PINNED: None})
        await wait_until_pinned(service, image, pin=False)


async def test_a_pin_of_another_value_is_none(stage: FakeStage | RealStage) -> None:
    async with stage.open() as (service, api):
        image = await service.pull_image(stage.name)

        await api.label_image(image, {PINNED: "yes"})

        await wait_until_pinned(service, image, pin=False)
        await api.label_image(image, {PINNED: None})


async def test_a_pull_of_the_same_keeps_it_and_a_tag_that_moves_leaves_it(stage: FakeStage | RealStage) -> None:
    async with stage.open() as (service, api):
        first = await service.pull_image(stage.name)
        await api.label_image(first, PIN)
        assert first == await service.pull_image(stage.name)
        await wait_until_pinned(service, first)
        stage.move()

        second = await service.pull_image(stage.name)

        assert stage.ids == (first, second)
        await wait_until_pinned(service, first)
        await wait_until_pinned(service, second, pin=False)
        await api.label_image(first, UNPIN)


async def test_a_pinned_image_can_be_removed(stage: FakeStage | RealStage) -> None:
    async with stage.open() as (service, api):
        image = await service.pull_image(stage.name)
        await api.label_image(image, PIN)

        await service.remove_image(image)

        assert await service.image_status(image) is None
        assert image not in {record.name for record in await api.image_names()}
