"""Pulls that are watched, on virtual time with exact numbers: the first look is at 0, the next ones each second."""

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
import trio.testing

from nodeprefetch.events import AttemptFinished, AttemptStarted, Notice, Phase, Progress
from nodeprefetch.pull.deadline import Deadline, slowest_rate, stall_timeout
from nodeprefetch.pull.disk import DiskGuard
from nodeprefetch.pull.disk_space import Space
from nodeprefetch.pull.lease_progress import LeaseProgress
from nodeprefetch.pull.progress import ProgressWatch
from nodeprefetch.runtime.api import Ingest, Resource, ResourceKind
from nodeprefetch.runtime.errors import Fault, FaultClass, RuntimeFaultError
from nodeprefetch.settings import AttemptClockKind, FetchSettings
from nodeprefetch.testing import HANG, FakeContainerdApi, FakeImageService, FakeRun, Hang
from nodeprefetch.values.image_ref import ImageRef
from nodeprefetch.values.retry import RetryPolicy
from nodeprefetch.values.sizes import DiskFloor
from tests.support.leases import GivenLeases
from tests.support.pull_log import PullLog, pull_all

IMAGE = "sha256:" + "1" * 64
MIB = 2**20
STEP = MIB


def manifest(**layers: int) -> bytes:
    return json.dumps(
        {"layers": [{"digest": name, "size": size} for name, size in layers.items()], "config": {"digest": "config"}}
    ).encode()


@dataclass(kw_only=True)
class Watched(PullLog):
    """Pulls images as a run does, each with the lease of its name."""

    api: FakeContainerdApi
    pulls: dict[str, Sequence[object]]
    kind: AttemptClockKind = AttemptClockKind.AUTO
    retry: RetryPolicy = field(default_factory=lambda: RetryPolicy(initial_delay=1, max_delay=1))
    lease: Callable[[ImageRef], str] = field(default=lambda image: image.text)
    shares_downloads: bool = True
    disk: DiskGuard = field(default_factory=DiskGuard)

    def __post_init__(self) -> None:
        self.service = FakeImageService(pulls=self.pulls)

    async def run(self, *scripts: Callable[[], object]) -> None:
        """All of them, while these scripts say what containerd does."""
        for image in self.pulls:
            await self.api.create_lease(image, expires_at=math.inf, labels={})
        async with trio.open_nursery() as background:
            settings = FetchSettings(attempt_clock=self.kind, retry=self.retry)
            source = LeaseProgress(self.api, shares_downloads=self.shares_downloads)
            watch = ProgressWatch(source, self.emit, settings=settings, disk=self.disk)
            await background.start(watch.run)
            leases = GivenLeases(of=self.lease)
            context = self.context(self.service, watch, settings, leases=leases, disk=self.disk)
            await pull_all(self.pulls, context, scripts, background)

    def bytes_told(self) -> list[tuple[float, int, int]]:
        """Time, done, total."""
        return [
            (time, event.done_bytes, event.total_bytes)
            for time, event in zip(self.times, self.events, strict=True)
            if isinstance(event, Progress)
        ]

    @property
    def ends(self) -> list[tuple[float, str, str]]:
        """Duration, reason and error of each attempt."""
        return [(event.duration, event.reason, event.error) for event in self.told(AttemptFinished)]


def resolve(api: FakeContainerdApi, lease: str, **layers: int) -> None:
    api.begin(f"manifest of {lease}", total=500, lease=lease, kind="manifest")
    api.commit(f"manifest of {lease}", manifest(**layers), kind="manifest")


async def download(api: FakeContainerdApi, layer: str, total: int, *, every: float, until: float = math.inf) -> None:
    """1 MiB at a time, the last bytes by completion, up to a point in time."""
    offset = 0
    while offset + STEP < total:
        await trio.sleep(every)
        if trio.current_time() > until:
            await trio.sleep_forever()
        offset += STEP
        api.write(layer, offset)
    await trio.sleep(every)
    api.commit(layer, total)


async def test_an_image_that_takes_an_hour_at_a_steady_rate_is_never_cut(autojump_clock):
    """1 MiB in 20 s, a limit of 30 s."""
    api = FakeContainerdApi()
    run = Watched(api=api, pulls={"a:1": [Hang(3600, then=IMAGE), IMAGE]})

    async def script() -> None:
        resolve(api, "a:1", layer=180 * MIB)
        api.begin("layer", total=180 * MIB, lease="a:1")
        await download(api, "layer", 180 * MIB, every=20)

    await run.run(script)

    assert [(3600, "", "")] == run.ends


async def test_a_pull_that_stalls_is_cut_its_limit_after_its_last_byte_was_seen(autojump_clock):
    """Bytes until 100.5 are seen at 101: cut at 131. After a pause of 1 s the second attempt has 60 s: 192."""
    api = FakeContainerdApi()
    run = Watched(api=api, pulls={"a:1": [HANG, HANG, IMAGE]})

    async def script() -> None:
        resolve(api, "a:1", layer=512 * MIB)
        api.begin("layer", total=512 * MIB, lease="a:1")
        for second in range(100):
            await trio.sleep(1)
            api.write("layer", second * MIB)
        await trio.sleep(0.5)
        api.write("layer", 143 * MIB)

    await run.run(script)

    assert [131, 60, 0] == [duration for duration, _, _ in run.ends]
    assert ("stalled", "stalled at 143 of 512 MiB for 30s") == run.ends[0][1:]
    assert ("stalled", "stalled at 143 of 512 MiB for 1m") == run.ends[1][1:]
    assert "passing" == run.told(AttemptFinished)[0].error_class
    assert [0, 132, 193] == run.service.call_times
    assert [30, 60, 120] == [event.limit for event in run.told(AttemptStarted)]
    assert {time for time, done, _ in run.bytes_told() if done == 512 * MIB} <= {193}  # no attempt that failed


async def test_a_pull_that_does_not_fit_on_the_disk_is_refused_at_the_look_that_shows_its_size(autojump_clock):
    """30 MiB need 90 of the 89 that are free. The manifest comes at 3.5, and is seen at 4."""
    api = FakeContainerdApi()
    disk = DiskGuard(lambda: Space(total=100 * MIB, free=89 * MIB), DiskFloor(size=0), images=["a:1"])
    run = Watched(api=api, pulls={"a:1": [HANG]}, disk=disk)

    async def script() -> None:
        await trio.sleep(3.5)
        resolve(api, "a:1", layer=30 * MIB)

    await run.run(script)

    assert [(4, "no_space")] == [end[:2] for end in run.ends]


async def test_a_registry_that_never_answers_is_cut_while_resolving(autojump_clock):
    run = Watched(api=FakeContainerdApi(), pulls={"a:1": [HANG, IMAGE]})

    await run.run()

    assert (30, "stalled", "no response while resolving for 30s") == run.ends[0]


async def test_a_stall_before_the_first_step_is_cut(autojump_clock):
    """The ingest begins at 1.5, which is seen at 2."""
    api = FakeContainerdApi()
    run = Watched(api=api, pulls={"a:1": [HANG, IMAGE]})

    async def script() -> None:
        resolve(api, "a:1", layer=3 * MIB)
        await trio.sleep(1.5)
        api.begin("layer", total=3 * MIB, lease="a:1")

    await run.run(script)

    assert (32, "stalled", "stalled at 0.0 of 3.0 MiB for 30s") == run.ends[0]


async def test_unpacking_has_a_limit_of_its_own_that_each_step_begins_anew(autojump_clock):
    """All bytes are seen at 6, steps at 500 and 1000: cut at 1600. The second attempt, at 1601, has 10 minutes too."""
    api = FakeContainerdApi()
    run = Watched(api=api, pulls={"a:1": [HANG, HANG, IMAGE]})

    async def script() -> None:
        resolve(api, "a:1", layer=3 * MIB)
        api.begin("layer", total=3 * MIB, lease="a:1")
        await trio.sleep(5.5)
        api.commit("layer", 3 * MIB)
        for number in (499.5, 999.5):
            await trio.sleep_until(number)
            api.hold("a:1", ResourceKind.SNAPSHOT, f"step {number}")

    await run.run(script)

    assert [(1600, "stalled", "unpacking stalled for 10m")] == run.ends[:1]
    assert 600 == run.ends[1][0]


async def test_by_the_wall_clock_an_attempt_is_cut_while_bytes_flow_and_progress_is_told(autojump_clock):
    api = FakeContainerdApi()
    run = Watched(api=api, pulls={"a:1": [HANG, IMAGE]}, kind=AttemptClockKind.WALL)

    async def script() -> None:
        resolve(api, "a:1", layer=90 * MIB)
        api.begin("layer", total=90 * MIB, lease="a:1")
        await download(api, "layer", 90 * MIB, every=1)

    await run.run(script)

    assert (30, "timeout", "timed out after 30s") == run.ends[0]
    assert 29 <= len(run.told(Progress))


@pytest.mark.parametrize(("failing", "end"), [(10, 30), (100, 130)])
async def test_without_sight_the_clock_is_on_the_wall_but_never_in_the_past(autojump_clock, failing, end):
    """The limit of 30 s is over at 100: it begins anew there."""
    api = FakeContainerdApi()
    run = Watched(api=api, pulls={"a:1": [HANG, IMAGE]})

    async def script() -> None:
        resolve(api, "a:1", layer=90 * MIB)
        api.begin("layer", total=90 * MIB, lease="a:1")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: download(api, "layer", 90 * MIB, every=1))
            await trio.sleep(failing - 0.5)
            fault = Fault(kind=FaultClass.PERMANENT, reason="unimplemented")
            api.gone = RuntimeFaultError("unknown service", fault=fault)

    await run.run(script)

    assert (end, "timeout") == run.ends[0][:2]
    (notice,) = run.told(Notice)
    assert notice.is_warning
    assert "now use elapsed time: unknown service" in notice.message


async def test_a_late_cut_on_the_wall_does_not_claim_its_limit_as_its_duration(autojump_clock):
    api = FakeContainerdApi()
    run = Watched(api=api, pulls={"a:1": [HANG, IMAGE]})

    async def script() -> None:
        resolve(api, "a:1", layer=90 * MIB)
        await trio.sleep(10.5)
        api.begin("layer", total=90 * MIB, lease="a:1")
        await trio.sleep_until(35.5)
        api.gone = RuntimeFaultError("no", fault=Fault(kind=FaultClass.PERMANENT, reason="unimplemented"))

    await run.run(script)

    assert (66, "timeout", "timed out 30s after progress reporting was lost") == run.ends[0]


async def test_a_runtime_that_comes_back_is_looked_at_again(autojump_clock):
    """Away from 10.5 to 13.5 and from 14.5 to 17.5, six looks in all; a byte at 20.5, seen at 21: cut at 51."""
    api = FakeContainerdApi()
    run = Watched(api=api, pulls={"a:1": [HANG, IMAGE]})

    async def script() -> None:
        resolve(api, "a:1", layer=90 * MIB)
        api.begin("layer", total=90 * MIB, lease="a:1")
        for moment in (10.5, 14.5):
            await trio.sleep_until(moment)
            api.gone = RuntimeFaultError.gone("the runtime is gone")
            await trio.sleep(3)
            api.gone = None
        await trio.sleep_until(20.5)
        api.write("layer", STEP)

    await run.run(script)

    assert (51, "stalled") == run.ends[0][:2]
    assert [] == run.told(Notice)


async def test_a_runtime_that_stays_away_is_given_up_after_five_looks(autojump_clock):
    api = FakeContainerdApi()
    run = Watched(api=api, pulls={"a:1": [HANG, IMAGE]})

    async def script() -> None:
        await trio.sleep(10.5)
        api.gone = RuntimeFaultError.gone("the runtime is gone")

    await run.run(script)

    assert [15] == [time for time, event in zip(run.times, run.events, strict=True) if isinstance(event, Notice)]
    assert (30, "timeout") == run.ends[0][:2]


class Slow(FakeContainerdApi):
    """Takes its time from some moment on."""

    takes: float = 0

    async def ingests(self) -> Sequence[Ingest]:
        answer = await super().ingests()
        await trio.sleep(self.takes)
        return answer


async def test_a_slow_answer_does_not_cut_a_pull_that_moves(autojump_clock):
    """Nothing until 28.5. The look of 29 answers at 35; the deadline of 30 has waited for what it brings."""
    api = Slow()
    run = Watched(api=api, pulls={"a:1": [Hang(50, then=IMAGE), IMAGE]})

    async def script() -> None:
        resolve(api, "a:1", layer=90 * MIB)
        api.begin("layer", total=90 * MIB, lease="a:1")
        await trio.sleep(28.5)
        api.takes = 6
        api.write("layer", STEP)

    await run.run(script)

    assert [(50, "", "")] == run.ends


class Stuck(FakeContainerdApi):
    """Does not answer about one lease, once, from some moment on."""

    at: float = math.inf

    async def lease_resources(self, lease_id: str) -> Sequence[Resource] | None:
        if lease_id == "b:1" and trio.current_time() >= self.at:
            self.at = math.inf
            await trio.sleep(100)
        return await super().lease_resources(lease_id)


async def test_what_a_failed_look_saw_of_one_pull_counts_in_the_next(autojump_clock):
    """A byte at 3.5; the look of 4 fails at 14 over the other pull, the next one is at once: cancelled at 14 + 30."""
    api = Stuck()
    api.at = 4
    run = Watched(api=api, pulls={"a:1": [HANG, IMAGE], "b:1": [Hang(60, then=IMAGE), IMAGE]})

    async def script() -> None:
        resolve(api, "a:1", layer=90 * MIB)
        api.begin("layer", total=90 * MIB, lease="a:1")
        await trio.sleep(3.5)
        api.write("layer", STEP)

    await run.run(script)

    assert 44 == next(event.duration for event in run.told(AttemptFinished) if event.image == "a:1")
    assert 1 == api.asked.count("read_blob")


async def test_a_manifest_that_was_deleted_before_it_was_read_is_read_when_it_is_there_again(autojump_clock):
    """Listed by the lease from the beginning; its blob comes at 3.5, and is read at 4."""
    api = FakeContainerdApi()
    run = Watched(api=api, pulls={"a:1": [Hang(10, then=IMAGE)]})

    async def script() -> None:
        api.hold("a:1", ResourceKind.CONTENT, "m")
        await trio.sleep(3.5)
        api.blobs["m"] = manifest(layer=30 * MIB)

    await run.run(script)

    assert (4, 0, 30 * MIB) == next(each for each in run.bytes_told() if each[2])


async def test_one_slow_look_does_not_end_the_progress_of_a_pull(autojump_clock):
    """A byte each second for 200 s; the look of 4 takes longer than 10 s, the next ones do not."""
    api = Slow()
    run = Watched(api=api, pulls={"a:1": [Hang(200, then=IMAGE), IMAGE]})

    async def script() -> None:
        resolve(api, "a:1", layer=300 * MIB)
        api.begin("layer", total=300 * MIB, lease="a:1")
        for second in range(200):
            api.takes = 11 if 3 <= second < 5 else 0
            await trio.sleep(1)
            api.write("layer", (second + 1) * STEP)

    await run.run(script)

    assert [(200, "", "")] == run.ends
    assert [] == run.told(Notice)


async def test_time_in_which_nobody_could_look_does_not_count_as_a_stall(autojump_clock):
    """Nothing moves. The looks of 4 and 14 fail at 14 and 24: cut at 50, not at 30."""
    api = Slow()
    run = Watched(api=api, pulls={"a:1": [HANG, IMAGE]})

    async def script() -> None:
        resolve(api, "a:1", layer=90 * MIB)
        api.begin("layer", total=90 * MIB, lease="a:1")
        await trio.sleep(3.5)
        api.takes = math.inf
        await trio.sleep(20)
        api.takes = 0

    await run.run(script)

    assert "stalled" == run.ends[0][1]
    assert 50 <= run.ends[0][0] <= 52


async def test_five_looks_without_an_answer_are_the_end_of_looking(autojump_clock):
    """The look of 4 is given up at 14, the fifth at 54. The limit on the wall begins there: 84."""
    api = Slow()
    run = Watched(api=api, pulls={"a:1": [HANG, IMAGE]})

    async def script() -> None:
        await trio.sleep(3.5)
        api.takes = math.inf

    await run.run(script)

    (notice,) = run.told(Notice)
    assert "no answer in 10s, 5 times in a row" in notice.message
    assert 54 == run.times[run.events.index(notice)]
    assert (84, "timeout") == run.ends[0][:2]


async def test_an_image_that_waits_for_anothers_download_of_its_layer_moves_with_it(autojump_clock):
    """Both want `shared`, which the pull of the first image brings for 100 s; the second has no ingest of its own."""
    api = FakeContainerdApi()
    run = Watched(api=api, pulls={"a:1": [Hang(110, then=IMAGE), IMAGE], "b:1": [Hang(110, then=IMAGE), IMAGE]})

    async def script() -> None:
        resolve(api, "a:1", shared=50 * MIB)
        resolve(api, "b:1", shared=50 * MIB)
        api.begin("shared", total=50 * MIB, lease="a:1")
        await download(api, "shared", 50 * MIB, every=1)

    await run.run(script)

    assert ["", ""] == [error for _, _, error in run.ends]
    assert {50 * MIB} == {event.done_bytes for event in run.told(Progress)[-2:]}


@pytest.mark.parametrize(("shares_downloads", "duration"), [(True, 100), (False, 30)])
async def test_a_pull_may_wait_for_the_three_places_where_all_share_them(autojump_clock, shares_downloads, duration):
    """Three layers of others grow each second; of `b:1` nothing comes."""
    api = FakeContainerdApi()
    run = Watched(
        api=api,
        pulls={"a:1": [Hang(100, then=IMAGE), IMAGE], "b:1": [Hang(100, then=IMAGE), IMAGE]},
        shares_downloads=shares_downloads,
    )

    async def script() -> None:
        resolve(api, "a:1", x=90 * MIB, y=90 * MIB, z=90 * MIB)
        async with trio.open_nursery() as nursery:
            for layer in "xyz":
                api.begin(layer, total=90 * MIB, lease="a:1")
                nursery.start_soon(lambda layer=layer: download(api, layer, 90 * MIB, every=1))

    await run.run(script)

    assert duration == next(event.duration for event in run.told(AttemptFinished) if event.image == "b:1")


async def test_a_pull_may_wait_for_places_that_small_layers_take_in_turn(autojump_clock):
    """None of them is seen to grow, as each is smaller than a step. Three come in 10 s."""
    api = FakeContainerdApi()
    run = Watched(api=api, pulls={"a:1": [Hang(100, then=IMAGE), IMAGE], "b:1": [Hang(100, then=IMAGE), IMAGE]})
    sizes = {f"layer{number}": MIB // 2 for number in range(30)}

    async def place(layers: Iterator[str]) -> None:
        for layer in layers:
            api.begin(layer, total=MIB // 2, lease="a:1")
            await trio.sleep(10)
            api.commit(layer, MIB // 2)

    async def script() -> None:
        resolve(api, "a:1", **sizes)
        await trio.sleep(0.5)
        layers = iter(sizes)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(place, layers)

    await run.run(script)

    assert [(100, "", "")] * 2 == run.ends


@pytest.mark.parametrize("left", ["", "pqr"])
async def test_a_pull_that_has_a_place_of_its_own_and_stands_still_there_is_cut_while_others_go_on(
    autojump_clock, left
):
    """Two layers of the other image grow: the third place is the one of `b:1`, whose layer begins at 0.5, seen at 1.

    What earlier pulls have left has no place.
    """
    api = FakeContainerdApi()
    for layer in left:
        api.begin(layer, total=90 * MIB)
    run = Watched(api=api, pulls={"a:1": [Hang(100, then=IMAGE), IMAGE], "b:1": [HANG, IMAGE]})

    async def script() -> None:
        resolve(api, "a:1", x=90 * MIB, y=90 * MIB)
        resolve(api, "b:1", still=90 * MIB)
        await trio.sleep(0.5)
        api.begin("still", total=90 * MIB, lease="b:1")
        async with trio.open_nursery() as nursery:
            for layer in "xy":
                api.begin(layer, total=90 * MIB, lease="a:1")
                nursery.start_soon(lambda layer=layer: download(api, layer, 90 * MIB, every=1))

    await run.run(script)

    assert 31 == next(event.duration for event in run.told(AttemptFinished) if event.image == "b:1")


async def test_an_image_may_wait_for_another_to_be_unpacked(autojump_clock):
    """Both have all bytes at once. The first unpacks a layer each 400 s; the second waits for it, over its 600 s."""
    api = FakeContainerdApi()
    run = Watched(api=api, pulls={"a:1": [Hang(1200, then=IMAGE), IMAGE], "b:1": [Hang(1200, then=IMAGE), IMAGE]})

    async def script() -> None:
        for image in ("a:1", "b:1"):
            resolve(api, image, shared=MIB)
            api.hold(image, ResourceKind.CONTENT, "shared")
        for step in range(3):
            await trio.sleep(400)
            api.hold("a:1", ResourceKind.SNAPSHOT, f"step {step}")

    await run.run(script)

    assert ["", ""] == [error for _, _, error in run.ends]


async def test_a_lease_that_is_not_there_leaves_the_clock_on_the_wall(autojump_clock):
    run = Watched(api=FakeContainerdApi(), pulls={"a:1": [HANG, IMAGE]}, lease=lambda _image: "unknown")

    await run.run()

    assert (30, "timeout") == run.ends[0][:2]


async def test_bytes_are_told_each_second_and_end_at_the_total(autojump_clock):
    """Done at 3.9: the look of 4 would come too late for what came since 3."""
    api = FakeContainerdApi()
    run = Watched(api=api, pulls={"a:1": [Hang(3.9, then=IMAGE), IMAGE]})

    async def script() -> None:
        await trio.sleep(0.5)
        resolve(api, "a:1", small=1000, layer=4 * MIB)
        api.blobs["small"] = 1000
        api.begin("layer", total=4 * MIB, lease="a:1")
        for mebibyte in (1, 2):
            await trio.sleep(1)
            api.write("layer", mebibyte * MIB)

    await run.run(script)

    total = 4 * MIB + 1000
    assert [
        (0, 0, 0),
        (1, 1000, total),
        (2, MIB + 1000, total),
        (3, 2 * MIB + 1000, total),
        (3.9, total, total),
    ] == run.bytes_told()
    assert [0, 0, MIB, MIB, 0] == [event.rate for event in run.told(Progress)]
    assert [Phase.RESOLVING, *[Phase.DOWNLOADING] * 3, Phase.UNPACKING] == [event.phase for event in run.told(Progress)]
    assert {run.told(AttemptStarted)[0].attempt_id} == {event.attempt_id for event in run.told(Progress)}


async def test_a_resumed_pull_starts_from_what_was_kept_which_is_not_part_of_its_rate(autojump_clock):
    """Cut at 33 with 2 of 4 MiB seen at 3, which stay. The second attempt, from 34, is first seen at 34 or later."""
    api = FakeContainerdApi()
    run = Watched(api=api, pulls={"a:1": [HANG, Hang(3.5, then=IMAGE), IMAGE]})

    async def script() -> None:
        resolve(api, "a:1", layer=4 * MIB)
        api.begin("layer", total=4 * MIB, lease="a:1")
        await trio.sleep(2.5)
        api.write("layer", 2 * MIB)

    await run.run(script)

    second = [event for event in run.told(Progress) if event.attempt_id == run.told(AttemptStarted)[1].attempt_id]
    assert (2 * MIB, 4 * MIB, 0) == (second[0].done_bytes, second[0].total_bytes, second[0].rate)
    assert (4 * MIB, 4 * MIB) == (second[-1].done_bytes, second[-1].total_bytes)


async def test_a_resumed_pull_that_ends_between_two_looks_ends_at_the_total_too(autojump_clock):
    """Cut at 33 with 2 of 4 MiB; the second attempt takes 0.2 s of a second, and nobody looks."""
    api = FakeContainerdApi()
    run = Watched(api=api, pulls={"a:1": [HANG, Hang(0.2, then=IMAGE), IMAGE]}, retry=RetryPolicy(initial_delay=0.5))

    async def script() -> None:
        resolve(api, "a:1", layer=4 * MIB)
        api.begin("layer", total=4 * MIB, lease="a:1")
        await trio.sleep(2.5)
        api.write("layer", 2 * MIB)

    await run.run(script)

    assert ["stalled", ""] == [reason for _, reason, _ in run.ends]
    assert (4 * MIB, 4 * MIB) == run.bytes_told()[-1][1:]


async def test_a_rate_is_that_of_the_last_ten_seconds(autojump_clock):
    """1 MiB a second until 5, then nothing: at 20 the rate is 0, and no more is told."""
    api = FakeContainerdApi()
    run = Watched(api=api, pulls={"a:1": [Hang(25, then=IMAGE), IMAGE]})

    async def script() -> None:
        resolve(api, "a:1", layer=40 * MIB)
        api.begin("layer", total=40 * MIB, lease="a:1")
        for mebibyte in range(1, 6):
            await trio.sleep_until(mebibyte - 0.5)
            api.write("layer", mebibyte * MIB)

    await run.run(script)

    rates = {time: event.rate for time, event in zip(run.times, run.events, strict=True) if isinstance(event, Progress)}
    assert [MIB, MIB // 2, 0] == [rates[5], rates[10], rates[15]]
    assert 15 == max(time for time in rates if time < 25)


async def test_of_a_pull_that_is_resumed_large_layers_are_not_read(autojump_clock):
    api = FakeContainerdApi()
    run = Watched(api=api, pulls={"a:1": [Hang(1.5, then=IMAGE), IMAGE]})

    async def script() -> None:
        resolve(api, "a:1", **{"a layer": 5 * MIB, "b layer": 90 * MIB})  # sorted before the manifest
        for layer, size in (("a layer", 5 * MIB), ("b layer", 90 * MIB)):
            api.begin(layer, total=size, lease="a:1")
            api.commit(layer, size)

    await run.run(script)

    assert 1 == api.asked.count("read_blob")
    assert (95 * MIB, 95 * MIB) == run.bytes_told()[-1][1:]


async def test_a_resumed_pull_of_a_name_that_has_moved_is_not_cut_while_the_other_image_comes(autojump_clock):
    """An earlier run has left 2 of 4 MiB of what the name stood for; that ingest stays, and stands still."""
    api = FakeContainerdApi()
    run = Watched(api=api, pulls={"a:1": [Hang(100, then=IMAGE), IMAGE]})

    async def script() -> None:
        resolve(api, "a:1", layer=4 * MIB)
        api.begin("layer", total=4 * MIB, lease="a:1")
        api.write("layer", 2 * MIB)
        await trio.sleep(0.5)
        api.begin("other", total=500, lease="a:1", kind="manifest")
        api.commit("other", manifest(another=90 * MIB), kind="manifest")
        api.begin("another", total=90 * MIB, lease="a:1")
        await download(api, "another", 90 * MIB, every=1)

    await run.run(script)

    assert [(100, "", "")] == run.ends
    assert (90 * MIB, 90 * MIB) == run.bytes_told()[-1][1:]


async def test_a_rate_is_never_below_zero_also_where_the_name_comes_to_stand_for_another_image(autojump_clock):
    """The first attempt, cut at 33, brings 2 of 4 MiB. At 36.5 the name stands for another image."""
    api = FakeContainerdApi()
    run = Watched(api=api, pulls={"a:1": [HANG, Hang(5.5, then=IMAGE), IMAGE]})

    async def script() -> None:
        resolve(api, "a:1", layer=4 * MIB)
        api.begin("layer", total=4 * MIB, lease="a:1")
        await trio.sleep(2.5)
        api.write("layer", 2 * MIB)
        await trio.sleep_until(36.5)
        api.begin("other", total=500, lease="a:1", kind="manifest")
        api.commit("other", manifest(another=8 * MIB), kind="manifest")
        api.begin("another", total=8 * MIB, lease="a:1")
        await trio.sleep_until(38.5)
        api.write("another", MIB)

    await run.run(script)

    assert [0, MIB // 2] == [event.rate for event in run.told(Progress) if event.total_bytes == 8 * MIB][:2]


async def test_a_pull_that_ends_between_two_looks_tells_nothing_more(autojump_clock):
    run = Watched(api=FakeContainerdApi(), pulls={"a:1": [IMAGE]})

    await run.run()

    assert 1 >= len(run.told(Progress))
    assert [(0, "", "")] == run.ends


async def test_nobody_looks_while_no_pull_is_under_way(autojump_clock):
    """An attempt of 29.5 s, a pause of 100 s without a look, an attempt of 9.5 s."""
    api = FakeContainerdApi()
    policy = RetryPolicy(initial_timeout=29.5, initial_delay=100, max_delay=100)
    run = Watched(api=api, pulls={"a:1": [HANG, Hang(9.5, then=IMAGE), IMAGE]}, retry=policy)

    await run.run()

    assert 30 + 10 == api.asked.count("ingests")


async def test_while_bytes_flow_one_question_is_asked_for_all_images(autojump_clock):
    api = FakeContainerdApi()
    names = [f"image{number}:1" for number in range(20)]
    run = Watched(api=api, pulls={name: [Hang(20.5, then=IMAGE), IMAGE] for name in names})

    async def script() -> None:
        for name in names:
            resolve(api, name, **{name: 90 * MIB})
            api.begin(name, total=90 * MIB, lease=name)
        await trio.sleep(5.5)
        api.asked.clear()
        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(lambda name=name: download(api, name, 90 * MIB, every=1))

    await run.run(script)

    assert ["ingests"] * 15 == api.asked


@pytest.mark.parametrize(
    ("limit", "layers", "kibibytes"),
    [(30, 3, 60), (30, 2, 60), (30, 1, 35.31), (29, 3, 109.71), (3, 3, 1536), (60, 3, 52.07), (300, 3, 10.27)],
)
def test_the_slowest_rate_that_is_never_cut(limit, layers, kibibytes):
    """Layers at once times 1 MiB, by the limit less 1 s; from a limit of 30 s on never above 60 KiB/s."""
    assert kibibytes == round(slowest_rate(limit, active=layers) / 1024, 2)


def test_the_guide_has_the_rates_that_are_computed():
    page = (Path(__file__).parents[2] / "docs" / "progress.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) (s|min)\b.* \| (\d+) KiB/s \| (\d+) KiB/s \|$", page, re.MULTILINE)
    found = [(int(limit) * (60 if unit == "min" else 1), int(three), int(one)) for limit, unit, three, one in rows]

    computed = [
        (limit, round(slowest_rate(limit) / 1024), round(slowest_rate(limit, active=1) / 1024)) for limit, *_ in found
    ]
    assert 6 == len(found)
    assert computed == found


@pytest.mark.parametrize(
    ("limit", "layers", "seconds"),
    [(30, 0, 30), (30, 1, 30), (30, 2, 35.13), (30, 3, 52.2), (30, 9, 52.2), (60, 3, 60), (29, 3, 29), (3, 3, 3)],
)
def test_layers_that_step_together_are_given_the_time_they_need(limit, layers, seconds):
    """1 MiB at 60 KiB/s takes 17.07 s for each layer, and 1 s the next look."""
    assert seconds == round(stall_timeout(limit, active=layers), 2)


def test_with_a_limit_as_short_as_a_look_no_rate_is_safe():
    assert math.inf == slowest_rate(1)


@pytest.mark.parametrize(("every", "is_cut"), [(51.1, False), (52.3, True)])
async def test_a_drip_at_the_slowest_rate_is_not_cut_and_one_below_it_is(autojump_clock, every, is_cut):
    """Three layers make their steps at the same moment, each `every` seconds: 60.1 and 58.7 KiB/s."""
    api = FakeContainerdApi()
    run = Watched(api=api, pulls={"a:1": [Hang(1000, then=IMAGE), IMAGE]})

    async def script() -> None:
        resolve(api, "a:1", x=90 * MIB, y=90 * MIB, z=90 * MIB)
        await trio.sleep(0.01)
        async with trio.open_nursery() as nursery:
            for layer in "xyz":
                api.begin(layer, total=90 * MIB, lease="a:1")
                nursery.start_soon(lambda layer=layer: download(api, layer, 90 * MIB, every=every))

    await run.run(script)

    assert is_cut == bool(run.ends[0][1])


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (30, None),
        (
            25,
            "with an initial attempt timeout of 25s, pulls slower than 128.0 KiB/s may be mistaken for stalled",
        ),
        (3, "with an initial attempt timeout of 3s, pulls slower than 1.5 MiB/s may be mistaken for stalled"),
        (1, "with an initial attempt timeout of 1s, pulls of any rate may be mistaken for stalled"),
    ],
)
async def test_a_limit_under_which_slow_pulls_look_stalled_is_mentioned_once(autojump_clock, limit, said):
    policy = RetryPolicy(initial_timeout=limit, initial_delay=1, max_delay=1)
    run = Watched(api=FakeContainerdApi(), pulls={"a:1": [HANG, IMAGE], "b:1": [IMAGE]}, retry=policy)

    await run.run()

    assert [said] * (said is not None) == [event.message.partition(" (")[0] for event in run.told(Notice)]
    assert not any(event.is_warning for event in run.told(Notice))


@pytest.mark.parametrize(
    ("containerd", "kind", "warnings"),
    [
        (None, AttemptClockKind.AUTO, []),
        (None, AttemptClockKind.WALL, []),
        (None, AttemptClockKind.PROGRESS, ["no progress reporting for pulls of this runtime"]),
        (FakeContainerdApi(), AttemptClockKind.PROGRESS, ["no progress reporting for pulls without a lease"]),
    ],
)
async def test_where_nothing_is_seen_the_clock_is_on_the_wall(autojump_clock, containerd, kind, warnings):
    service = FakeImageService(pulls={"a:1": [HANG, IMAGE], "b:1": [IMAGE]})
    run = FakeRun(service=service, containerd=containerd, settings=FetchSettings(attempt_clock=kind, resume=False))

    await run.fetch("a:1", "b:1")

    assert ["timeout"] == [event.reason for event in run.told(AttemptFinished) if event.error]
    assert warnings == [event.message.partition(",")[0] for event in run.told(Notice)]


@pytest.mark.parametrize(
    ("kind", "deadline"), [(AttemptClockKind.AUTO, math.inf), (AttemptClockKind.PROGRESS, math.inf), ("wall", 30)]
)
async def test_a_limit_that_moves_on_does_not_go_along_with_the_call(autojump_clock, kind, deadline):
    """The runtime would end the call at the first one."""

    class Service(FakeImageService):
        async def pull_image(self, *arguments: object, **options: object) -> str:
            deadlines.append(trio.current_effective_deadline())
            await trio.sleep(15)  # with looks in between
            deadlines.append(trio.current_effective_deadline())
            return await super().pull_image(*arguments, **options)

    deadlines: list[float] = []
    run = Watched(api=FakeContainerdApi(), pulls={"a:1": [IMAGE]}, kind=AttemptClockKind(kind))
    run.service = Service(pulls=run.pulls)

    await run.run()

    assert [deadline, deadline] == deadlines


async def test_before_anybody_looks_an_attempt_is_not_watched(autojump_clock):
    watch = ProgressWatch(LeaseProgress(FakeContainerdApi()), pytest.fail)
    deadline = Deadline(30, unpack_timeout=600)

    async with watch.watching("a:1", "1", "lease", deadline):
        with deadline.scope:
            assert trio.current_time() + 30 == trio.current_effective_deadline()


async def test_nothing_is_left_of_the_clock_of_an_attempt_that_has_ended(autojump_clock):
    async with trio.open_nursery() as nursery:
        watch = ProgressWatch(LeaseProgress(FakeContainerdApi()), lambda _event: None)
        await nursery.start(watch.run)
        deadline = Deadline(30, unpack_timeout=600)
        tasks = []
        async with watch.watching("a:1", "1", "lease", deadline):
            tasks.append(len(watch._deadlines.child_tasks))
        await trio.testing.wait_all_tasks_blocked()
        tasks.append(len(watch._deadlines.child_tasks))
        nursery.cancel_scope.cancel()

    assert [1, 0] == tasks
