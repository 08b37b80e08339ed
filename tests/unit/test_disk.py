"""What fits on the node's disk, and what is refused: on virtual time, a disk of exact numbers."""

from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from nodeprefetch.events import Event, Notice, Outcome, Phase, RetryPlanned
from nodeprefetch.pull.disk import DiskGuard
from nodeprefetch.pull.disk_space import Space
from nodeprefetch.pull.tracker import Sight
from nodeprefetch.runtime.api import ImageRecord
from nodeprefetch.runtime.errors import FaultClass, RuntimeFaultError
from nodeprefetch.settings import FetchSettings
from nodeprefetch.testing import FakeImageService, FakeRun, Hang
from nodeprefetch.values.retry import RetryPolicy
from nodeprefetch.values.sizes import DiskFloor

MIB = 1 << 20
GIB = 1 << 30
IMAGE = "sha256:" + "1" * 64


@dataclass
class Disk:
    """100 GiB, of which 10 are to stay free."""

    free: int = 50 * GIB
    broken: OSError | None = None
    looks: int = 0
    told: list[Event] = field(default_factory=list)
    ends: dict[str, object] = field(default_factory=dict)
    """Image to True, or to the error that cut it."""
    times: dict[str, float] = field(default_factory=dict)

    def measure(self) -> Space:
        self.looks += 1
        if self.broken:
            raise self.broken
        return Space(total=100 * GIB, free=self.free)

    async def pull(self, guard: DiskGuard, image: str, seconds: float = 100) -> None:
        try:
            with guard.guarding(image):
                await trio.sleep(seconds)
            self.ends[image] = True
        except RuntimeFaultError as error:
            self.ends[image] = error
        self.times[image] = trio.current_time()

    def error(self, image: str) -> RuntimeFaultError:
        error = self.ends[image]
        assert isinstance(error, RuntimeFaultError)
        assert (FaultClass.NO_SPACE, "no_space") == (error.fault.kind, error.fault.reason)
        return error

    def is_final(self, image: str) -> bool:
        return self.error(image).fault.retries == 0


def sight(total: int, done: int = 0) -> Sight:
    return Sight(phase=Phase.DOWNLOADING, done=done, total=total)


@pytest.fixture
def disk() -> Disk:
    return Disk()


async def play(disk: Disk, images: str, script) -> None:
    """Start a pull of each image (a letter) of 100 s, and let a script tell what comes."""
    async with trio.open_nursery() as nursery:
        guard = DiskGuard(disk.measure, DiskFloor(size=10 * GIB), images=list(images), emit=disk.told.append)
        looking = await nursery.start(_run, guard)
        async with trio.open_nursery() as pulls:
            for image in images:
                pulls.start_soon(disk.pull, guard, image)
            await trio.testing.wait_all_tasks_blocked()
            await script(guard)
        looking.cancel()


async def _run(guard: DiskGuard, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
    with trio.CancelScope() as scope:
        task_status.started(scope)
        await guard.run()


async def test_an_image_that_fits_is_pulled(autojump_clock, disk):
    """50 - 10 GiB may be used; 13.3 GiB, three times, fit."""

    async def script(guard):
        guard.saw("a", sight(40 * GIB // 3))

    await play(disk, "a", script)

    assert {"a": True} == disk.ends
    assert 100 == trio.current_time()


async def test_an_image_that_does_not_fit_is_cut_at_once_and_for_good(autojump_clock, disk):
    async def script(guard):
        await trio.sleep(0.5)
        guard.saw("a", sight(40 * GIB // 3 + 1 * MIB))

    await play(disk, "a", script)

    assert disk.is_final("a")
    assert 0.5 == disk.times["a"]
    assert (
        "no space: needs about 40.0 GiB for the remaining download of 13.3 GiB: "
        "50.0 GiB of 100.0 GiB free, 10.0 GiB must stay free (--min-free-disk)"
    ) == str(disk.error("a"))


async def test_layers_that_are_there_take_no_more_room(autojump_clock, disk):
    """20 GiB, of which 8 are there when it is first seen: three times 12 is 36 and fits, three times 20 does not."""

    async def script(guard):
        guard.saw("a", sight(20 * GIB, 8 * GIB))

    await play(disk, "a", script)

    assert {"a": True} == disk.ends


async def test_what_was_fetched_by_us_has_to_be_unpacked_still(autojump_clock, disk):
    """a: 10 GiB are reserved as 30. When 6 are fetched: 4 + 20 = 24, so that of 34 - 10 there is nothing for b."""

    async def script(guard):
        guard.saw("a", sight(10 * GIB))
        await trio.sleep(1)
        disk.free = 34 * GIB
        guard.saw("a", sight(10 * GIB, 6 * GIB))
        guard.saw("b", sight(1 * MIB))

    await play(disk, "ab", script)

    assert disk.ends["a"] is True
    assert not disk.is_final("b")
    assert "pulls in progress may need 24.0 GiB" in str(disk.error("b"))


async def test_of_two_that_do_not_fit_together_the_first_of_the_list_goes_on(autojump_clock, disk):
    """b's size is known first, a's at 1 s. 30 of 40 are for a; b needs 15. Alone it would fit: it is tried again."""

    async def script(guard):
        guard.saw("b", sight(5 * GIB))
        await trio.sleep(1)
        assert {} == disk.ends
        guard.saw("a", sight(10 * GIB))

    await play(disk, "ab", script)

    assert disk.ends["a"] is True
    assert (1, False) == (disk.times["b"], disk.is_final("b"))


async def test_what_fits_beside_a_large_one_is_pulled(autojump_clock, disk):
    """a would need 60 of 40, b 15, c 30: a fails, b goes on, c waits for another try."""

    async def script(guard):
        for image, size in (("c", 10), ("b", 5), ("a", 20)):
            guard.saw(image, sight(size * GIB))

    await play(disk, "abc", script)

    assert disk.is_final("a")
    assert disk.ends["b"] is True
    assert not disk.is_final("c")


async def test_an_image_whose_size_does_not_come_holds_the_others_up_for_five_seconds(autojump_clock, disk):
    """At the look at 5 b and c are decided, in their order."""

    async def script(guard):
        guard.saw("c", sight(10 * GIB))
        guard.saw("b", sight(10 * GIB))

    await play(disk, "abc", script)

    assert disk.ends["a"] is True
    assert disk.ends["b"] is True
    assert 5 == disk.times["c"]


async def test_an_image_that_is_done_frees_what_was_reserved_for_it(autojump_clock, disk):
    """a has 30 of 40 until 100 s; then 35 - 10 are left, and b may have 24."""

    async def script(guard):
        guard.saw("a", sight(10 * GIB))
        await trio.sleep(101)
        disk.free = 35 * GIB
        async with trio.open_nursery() as nursery:
            nursery.start_soon(disk.pull, guard, "b")
            await trio.testing.wait_all_tasks_blocked()
            guard.saw("b", sight(8 * GIB))

    await play(disk, "a", script)

    assert {"a": True, "b": True} == disk.ends


async def test_a_second_try_remembers_what_was_there_at_first(autojump_clock, disk):
    """Of 12 GiB none were there. At its second try 9 are fetched: 3 + 24 = 27 of 25 do not fit."""
    guard = DiskGuard(disk.measure, DiskFloor(size=10 * GIB), images=["a"])
    with guard.guarding("a"):
        guard.saw("a", sight(12 * GIB))
    disk.free = 35 * GIB
    async with trio.open_nursery() as nursery:
        nursery.start_soon(disk.pull, guard, "a")
        await trio.testing.wait_all_tasks_blocked()
        guard.saw("a", sight(12 * GIB, 9 * GIB))

    assert "needs about 27.0 GiB" in str(disk.error("a"))


async def test_before_the_disk_is_full_the_last_of_the_list_is_cut(autojump_clock, disk):
    """At 3.6 less than 10 GiB are free: c is cut at 3.75, b two seconds later; then there is room again."""

    async def script(_):
        await trio.sleep(3.6)
        disk.free = 10 * GIB - 1
        await trio.sleep(3)
        disk.free = 20 * GIB

    await play(disk, "abc", script)

    assert {"a": 100, "b": 5.75, "c": 3.75} == disk.times
    assert not disk.is_final("b")
    assert str(disk.error("c")).startswith(
        "no space: cancelled to keep the disk from filling up: 10.0 GiB of 100.0 GiB free"
    )


async def test_one_that_fills_the_disk_alone_has_failed_for_good(autojump_clock, disk):
    async def script(_):
        disk.free = 1 * GIB

    await play(disk, "a", script)

    assert (0.25, True) == (disk.times["a"], disk.is_final("a"))


async def test_one_that_ends_while_it_is_cut_has_succeeded(autojump_clock, disk):
    guard = DiskGuard(disk.measure, DiskFloor(size=10 * GIB))

    with guard.guarding("a"):
        guard.saw("a", sight(90 * GIB))  # cut here; no checkpoint follows


async def test_with_room_a_pull_may_begin(disk):
    DiskGuard(disk.measure, DiskFloor(size=10 * GIB)).check()

    assert 1 == disk.looks


async def test_without_room_no_pull_begins_and_that_is_final(autojump_clock, disk):
    disk.free = 10 * GIB

    with pytest.raises(RuntimeFaultError) as caught:
        DiskGuard(disk.measure, DiskFloor(size=10 * GIB)).check()

    assert (FaultClass.NO_SPACE, "no_space", 0) == (
        caught.value.fault.kind,
        caught.value.fault.reason,
        caught.value.fault.retries,
    )


async def test_what_waits_for_one_under_way_is_tried_again(autojump_clock, disk):
    """All 40 GiB are reserved for a."""
    guard = DiskGuard(disk.measure, DiskFloor(size=10 * GIB))
    with guard.guarding("a"):
        guard.saw("a", sight(40 * GIB // 3))
        disk.free -= 40 * GIB % 3
        with pytest.raises(RuntimeFaultError) as caught:
            guard.check()

    assert caught.value.fault.retries is None


async def test_without_room_but_with_a_pull_under_way_it_is_tried_again(autojump_clock, disk):
    guard = DiskGuard(disk.measure, DiskFloor(size=10 * GIB))
    disk.free = 1
    with guard.guarding("a"), pytest.raises(RuntimeFaultError) as caught:
        guard.check()

    assert caught.value.fault.retries is None


@pytest.mark.parametrize(("wait", "retries"), [(9.9, None), (10, 0)])
async def test_for_ten_seconds_after_a_cut_nothing_is_final(autojump_clock, disk, wait, retries):
    found: list[int | None] = []

    async def script(guard):
        disk.free = 1 * GIB
        await trio.sleep(0.25 + wait)
        with pytest.raises(RuntimeFaultError) as caught:
            guard.check()
        found.append(caught.value.fault.retries)

    await play(disk, "a", script)

    assert 0.25 == disk.times["a"]
    assert [retries] == found


async def test_a_disk_that_cannot_be_looked_at_any_more_is_told_once_and_stops_nobody(autojump_clock, disk):
    async def script(guard):
        disk.broken = OSError(2, "No such file or directory")
        guard.check()
        guard.saw("a", sight(1000 * GIB))
        guard.check()

    await play(disk, "a", script)

    assert {"a": True} == disk.ends
    assert ["--min-free-disk disabled: [Errno 2] No such file or directory"] == [
        event.message for event in disk.told if isinstance(event, Notice)
    ]


async def test_without_a_file_system_everything_passes(autojump_clock):
    guard = DiskGuard()
    guard.check()
    with guard.guarding("a"):
        guard.saw("a", sight(1000 * GIB))
        await trio.sleep(1)
    await guard.run()


async def test_a_pull_of_unknown_size_is_not_decided(disk):
    guard = DiskGuard(disk.measure, DiskFloor(size=10 * GIB))

    guard.saw("a", sight(0))

    assert 0 == disk.looks


async def test_the_disk_is_not_looked_at_while_nothing_is_under_way(autojump_clock, disk):
    """Four looks a second; none in the hour before."""
    guard = DiskGuard(disk.measure, DiskFloor(size=10 * GIB))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(guard.run)
        await trio.sleep(3600)
        assert 0 == disk.looks
        await disk.pull(guard, "a", 10.1)
        nursery.cancel_scope.cancel()

    assert 40 == disk.looks


# A whole run.


@pytest.fixture
def measured(disk, monkeypatch) -> Disk:
    monkeypatch.setattr("nodeprefetch.pull.disk.space_at", lambda _: disk.measure())
    return disk


def a_run(service: FakeImageService, **settings: object) -> FakeRun:
    return FakeRun(
        service=service,
        settings=FetchSettings(min_free_disk=DiskFloor(size=10 * GIB), image_fs_path="/disk", **settings),
    )


async def test_on_a_full_disk_nothing_is_pulled_and_what_is_present_is_fine(autojump_clock, measured):
    measured.free = 9 * GIB
    held = ImageRecord(id=IMAGE, repo_tags=("docker.io/library/b:1",))
    run = a_run(FakeImageService(pulls={"a:1": [IMAGE]}, images=[held]))

    report = await run.fetch("a:1", "b:1")

    (failed,) = report.failed
    assert ("a:1", "no-space", "no_space", 0) == (failed.image, failed.error_class, failed.reason, failed.attempts)
    assert 1 == report.count(Outcome.PRESENT)
    assert [] == run.service.calls
    assert 0 == trio.current_time()


async def test_a_pull_that_fills_the_disk_is_cut_and_tried_again_when_there_is_room(autojump_clock, measured):
    """At 4.9 the disk is below; b is cut at 5. It is not begun at 5+1, 6+2, 8+4, as a is under way; at 12+8 it is."""
    service = FakeImageService(pulls={"a:1": [Hang(20, then=IMAGE)], "b:1": [Hang(20, then=IMAGE)]})
    run = a_run(service, retry=RetryPolicy(initial_timeout=60, initial_delay=1))

    async def fill() -> None:
        await trio.sleep(4.9)
        measured.free = 9 * GIB
        await trio.sleep(0.6)
        measured.free = 10 * GIB
        await trio.sleep(14)
        measured.free = 20 * GIB

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fill)
        report = await run.fetch("a:1", "b:1")

    assert () == report.failed
    assert [("a:1", 0), ("b:1", 0), ("b:1", 20)] == [(call.image, call.at) for call in service.calls]
    assert [1, 2, 4, 8] == [event.delay for event in run.told(RetryPlanned)]
    assert 2 == run.result("b:1").attempts
