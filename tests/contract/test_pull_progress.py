"""What is seen of a real containerd's pulls, and that the clock which follows it is containerd's clock too."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import trio

from nodeprefetch.events import AttemptFinished, AttemptStarted, Event, Phase, Progress
from nodeprefetch.pull.attempt import PullContext
from nodeprefetch.pull.image import Pull
from nodeprefetch.pull.lease_progress import LeaseProgress
from nodeprefetch.pull.progress import ProgressWatch
from nodeprefetch.runtime.api import Inventory
from nodeprefetch.runtime.connect import connect_to
from nodeprefetch.runtime.gate import RuntimeGate
from nodeprefetch.settings import FetchSettings, PullPolicy
from nodeprefetch.testing import FakeCredentialSource
from nodeprefetch.testing.images import Image, make_image
from nodeprefetch.testing.registry import FakeRegistry, Fault
from nodeprefetch.values.image_ref import ImageRef
from nodeprefetch.values.retry import RetryPolicy
from tests.support.containerd import Containerd
from tests.support.leases import GivenLeases

pytestmark = pytest.mark.containerd

MB = 1_000_000
LIMIT = 3
POLICY = RetryPolicy(initial_timeout=LIMIT, initial_delay=0, max_delay=0)


@dataclass(frozen=True)
class Told:
    """What a pull with leases told."""

    events: Sequence[Event]

    def of(self, image: str) -> list[Progress]:
        return [event for event in self.events if isinstance(event, Progress) and event.image == image]

    @property
    def ends(self) -> list[AttemptFinished]:
        return [event for event in self.events if isinstance(event, AttemptFinished)]


def pull(containerd: Containerd, *images: str) -> Told:
    events: list[Event] = []
    run = uuid.uuid4().hex

    async def main() -> None:
        async with trio.open_nursery() as around:
            runtime = await connect_to(str(containerd.socket), wait=5, warn=pytest.fail)(around)
            api = runtime.containerd
            assert api is not None
            for image in images:
                await api.create_lease(f"{run}-{image}", expires_at=time.time() + 600, labels={})
            settings = FetchSettings(retry=POLICY, unpack_timeout=60)
            watch = ProgressWatch(LeaseProgress(api), events.append, settings=settings)
            await around.start(watch.run)
            context = PullContext(
                service=runtime.service,
                inventory=Inventory(()),
                credentials=FakeCredentialSource(),
                settings=settings,
                slots=trio.CapacityLimiter(len(images)),
                gate=RuntimeGate(runtime.service, events.append),
                emit=events.append,
                progress=watch,
                leases=GivenLeases(of=lambda image: f"{run}-{image.text}"),
            )
            with trio.fail_after(300):
                async with trio.open_nursery() as pulls:
                    for image in images:
                        one = Pull(image=ImageRef.parse(image), policy=PullPolicy.ALWAYS)
                        pulls.start_soon(one.run, context)
            for image in images:
                await api.delete_lease(f"{run}-{image}")
            around.cancel_scope.cancel()

    trio.run(main)
    return Told(events)


def layers_of(image: Image) -> int:
    return sum(layer.size for layer in image.layers)


def test_bytes_never_run_backwards_and_end_at_the_sum_of_the_layers(
    containerd: Containerd, fake_registry: FakeRegistry
) -> None:
    """The image takes some 5 s, more than its limit: neither we nor containerd cut it."""
    image = make_image([5 * MB, 300_000, 40, 2 * MB], seed=("progress", containerd.version))
    name = fake_registry.add("progress/steady:1", image)
    fake_registry.fail("layer", Fault.slow(MB), image="progress/steady:1", forever=True)

    told = pull(containerd, name)

    done = [event.done_bytes for event in told.of(name)]
    assert [""] == [event.error for event in told.ends]
    assert told.ends[0].duration > LIMIT
    assert sorted(done) == done
    assert 4 <= len(set(done))
    assert {layers_of(image)} == {event.total_bytes for event in told.of(name)[2:]}
    assert layers_of(image) == done[-1]
    assert Phase.UNPACKING is told.of(name)[-1].phase


def test_a_pull_that_stalls_is_cut_and_the_next_attempt_starts_from_what_was_kept(
    containerd: Containerd, fake_registry: FakeRegistry
) -> None:
    image = make_image([8 * MB], seed=("stall", containerd.version))
    name = fake_registry.add("progress/stall:1", image)
    fake_registry.fail("layer", Fault.stall_after(5 * MB), Fault.slow(MB), image="progress/stall:1")

    told = pull(containerd, name)

    assert ["stalled", ""] == [event.reason for event in told.ends]
    assert "7.6 MiB for 3s" in told.ends[0].error
    second = [event.attempt_id for event in told.events if isinstance(event, AttemptStarted)][1]
    kept = next(event for event in told.of(name) if event.attempt_id == second)
    assert 4 * MB <= kept.done_bytes
    assert 0 == kept.rate


def test_images_that_wait_for_their_turn_to_download_are_not_cut(
    containerd: Containerd, fake_registry: FakeRegistry
) -> None:
    """Seven images of 4 s: version 2 downloads three layers at once on the whole node, so that some wait for 8 s."""
    names = []
    for number in range(7):
        image = make_image([4 * MB], seed=("turn", number, containerd.version))
        names.append(fake_registry.add(f"progress/turn{number}:1", image))
    fake_registry.fail("layer", Fault.slow(MB), forever=True)

    told = pull(containerd, *names)

    assert [""] * 7 == [event.error for event in told.ends]
