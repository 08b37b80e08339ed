"""Pulls on CRI-O, seen by their download directories, on virtual time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
import trio

from nodeprefetch.events import AttemptFinished, AttemptStarted, Notice, Phase, Progress
from nodeprefetch.pull.directory_progress import START_TIME, DirectoryProgress
from nodeprefetch.pull.progress import ProgressWatch
from nodeprefetch.runtime.download_dirs import Blob
from nodeprefetch.runtime.errors import Fault, FaultClass, RuntimeFaultError
from nodeprefetch.settings import AttemptClockKind, FetchSettings
from nodeprefetch.values.retry import RetryPolicy
from tests.support.fake_crio import Download, FakeCrio, FakeDirectories
from tests.support.pull_log import PullLog, pull_all

MB = 1_000_000
LIMIT = 3.0
"""Seconds without movement, far less than any download here takes."""

UNSEEN = 40.0
UNPACK = 100.0

EIGHT_SECONDS = Download(size=8 * MB)
STALLED = Download(size=8 * MB, stalls_at=2 * MB)
"""After two seconds."""


@dataclass(kw_only=True)
class Run(PullLog):
    """Pulls images as a run on CRI-O does."""

    downloads: dict[str, Sequence[Download]]
    kind: AttemptClockKind = AttemptClockKind.AUTO
    directories: FakeDirectories = field(default_factory=FakeDirectories)

    def __post_init__(self) -> None:
        self.crio = FakeCrio(downloads=self.downloads, directories=self.directories)

    async def run(self, *scripts: Callable[[], object], until: float = 2000) -> None:
        """Until all images are there, or that many seconds have passed."""
        settings = FetchSettings(
            attempt_clock=self.kind,
            retry=RetryPolicy(initial_timeout=LIMIT, max_timeout=LIMIT, initial_delay=1, max_delay=1),
            unseen_retry=RetryPolicy(initial_timeout=UNSEEN, max_timeout=UNSEEN),
            unpack_timeout=UNPACK,
        )
        with trio.move_on_after(until):
            async with trio.open_nursery() as background:
                source = DirectoryProgress(self.directories, self.emit, unpack_timeout=UNPACK)
                watch = ProgressWatch(source, self.emit, settings=settings)
                await background.start(watch.run)
                await pull_all(self.downloads, self.context(self.crio, watch, settings), scripts, background)

    def errors(self, image: str = "a:1") -> list[str]:
        """Of attempts that ended by themselves."""
        ends = self.told(AttemptFinished)
        return [end.error for end in ends if end.image == image and end.error and end.reason != "cancelled"]

    def shown(self, image: str = "a:1") -> list[tuple[Phase, int]]:
        """Phase and bytes, each once."""
        seen = [(event.phase, event.done_bytes) for event in self.told(Progress) if event.image == image]
        return [one for number, one in enumerate(seen) if number == 0 or one != seen[number - 1]]

    async def foreign(self, *, size: int, after: float = 0, rate: float = MB, reads: bool = False) -> str:
        """The kubelet pulls something."""
        await trio.sleep(after)
        name = self.directories.make()
        done = 0.0
        while done < size:
            await trio.sleep(0.5)
            done += rate / 2
            self.directories.write(name, int(done))
        if reads:
            self.directories.read(name)
            await trio.sleep_forever()
        del self.directories.held[name]
        return name


async def test_a_slow_pull_is_never_cut(autojump_clock):
    """800 s at 10 kB/s, with a limit of 3 s."""
    run = Run(downloads={"a:1": [Download(size=8 * MB, rate=10_000)]})

    await run.run()

    assert [] == run.errors()
    assert 1 == len(run.told(AttemptStarted))
    assert 800 <= trio.current_time() < 802


async def test_its_bytes_are_shown(autojump_clock):
    run = Run(downloads={"a:1": [Download(size=3 * MB, unpacks=10)]})

    await run.run()

    shown = run.shown()
    assert [size for _, size in shown] == sorted(size for _, size in shown)
    assert (Phase.UNPACKING, 3 * MB) == shown[-1]
    assert {Phase.RESOLVING, Phase.DOWNLOADING, Phase.UNPACKING} == {phase for phase, _ in shown}
    assert {0} == {event.total_bytes for event in run.told(Progress)}
    assert any(abs(event.rate - MB) < MB / 10 for event in run.told(Progress))


async def test_a_stalled_pull_is_cut(autojump_clock):
    """Its last byte comes at 2 s; the look that sees it is at most a second later."""
    run = Run(downloads={"a:1": [STALLED, EIGHT_SECONDS]})

    await run.run()

    assert ["stalled at 1.9 MiB for 3s"] == run.errors()
    assert 5 <= run.crio.cancelled[0][1] <= 6.1


async def test_each_attempt_shows_its_own_bytes(autojump_clock):
    """CRI-O keeps nothing of a pull that was cut."""
    run = Run(downloads={"a:1": [STALLED, EIGHT_SECONDS]})

    await run.run()

    first, second = (event.attempt_id for event in run.told(AttemptStarted))
    sizes = {
        one: [event.done_bytes for event in run.told(Progress) if event.attempt_id == one] for one in (first, second)
    }
    assert (2 * MB, 0) == (sizes[first][-1], sizes[second][0])


async def test_of_two_pulls_only_the_stalled_one_is_cut(autojump_clock):
    run = Run(downloads={"a:1": [STALLED, EIGHT_SECONDS], "b:1": [Download(size=60 * MB)]})

    await run.run()

    assert (["stalled at 1.9 MiB for 3s"], []) == (run.errors("a:1"), run.errors("b:1"))
    assert 5 <= run.crio.cancelled[0][1] <= 6.2


async def test_a_pull_of_somebody_else_does_not_keep_a_stalled_one_alive(autojump_clock):
    run = Run(downloads={"a:1": [STALLED, EIGHT_SECONDS]})

    await run.run(lambda: run.foreign(size=500 * MB, after=1))

    assert ["stalled at 1.9 MiB for 3s"] == run.errors()
    assert 5 <= run.crio.cancelled[0][1] <= 6.1


async def test_nor_does_one_that_was_there_before(autojump_clock):
    run = Run(downloads={"a:1": [STALLED, EIGHT_SECONDS]})
    run.directories.held["container_images_storage0"] = {"1": Blob(size=5)}

    async def grow() -> None:
        for size in range(6, 1000):
            await trio.sleep(0.5)
            run.directories.write("container_images_storage0", size)

    await run.run(grow)

    assert ["stalled at 1.9 MiB for 3s"] == run.errors()


async def test_a_stalled_pull_that_cannot_be_told_from_anothers_is_cut_when_that_one_ends(autojump_clock):
    """Both directories appear in the same look. The other one is done after 30 s."""
    run = Run(downloads={"a:1": [Download(size=8 * MB, stalls_at=2 * MB, delay=1), EIGHT_SECONDS]})

    await run.run(lambda: run.foreign(size=30 * MB, after=1))

    assert 1 == len(run.errors())
    assert 31 <= run.crio.cancelled[0][1] <= 34
    told = zip(run.times, run.events, strict=True)
    assert {0} == {event.done_bytes for time, event in told if isinstance(event, Progress) and time < 31}


async def test_a_directory_of_the_kubelets_that_comes_just_before_ours_is_not_taken_for_it(autojump_clock):
    """At 0.02 s, and ours at 0.07: looks are at 0.05 and 0.1. The kubelet's pull stalls."""
    run = Run(downloads={"a:1": [Download(size=60 * MB, delay=0.07)]})

    async def stall() -> None:
        await trio.sleep(0.02)
        run.directories.write(run.directories.make(), MB)

    await run.run(stall)

    assert [] == run.errors()


async def test_a_pull_that_cannot_be_told_from_a_stalled_one_is_not_cut(autojump_clock):
    """CRI-O is so slow that both calls are made before there is a directory: nobody knows whose is whose."""
    run = Run(
        downloads={
            "a:1": [Download(size=8 * MB, stalls_at=2 * MB, delay=2 * START_TIME + 1), EIGHT_SECONDS],
            "b:1": [Download(size=60 * MB, delay=START_TIME + 1)],
        }
    )

    await run.run()

    assert (1, 0) == (len(run.errors("a:1")), len(run.errors("b:1")))
    assert 62 <= run.crio.cancelled[0][1] <= 70  # with the end of the other one it is clear which one stalled


@pytest.mark.parametrize(("others", "is_cut"), [(1, True), (2, False)])
async def test_pulls_without_a_directory_move_while_as_many_of_others_grow(autojump_clock, others, is_cut):
    """CRI-O joins calls for the same image. Of two such calls, with one download of others, one does not move."""
    run = Run(downloads={name: [Download(size=100 * MB, joins=True)] for name in ("a:1", "b:1")})
    run.directories.held = {f"container_images_storage00{number}": {} for number in range(others)}

    async def grow() -> None:
        for size in range(1000):
            await trio.sleep(0.5)
            for name in run.directories.held:
                run.directories.write(name, size)

    await run.run(grow, until=100)

    assert is_cut == bool(run.errors("a:1") and run.errors("b:1"))


async def test_pulls_of_others_that_began_later_do_not_keep_one_without_a_directory_alive(autojump_clock):
    """Such a call did not join them. So a node that pulls all day does not keep a call that hangs alive."""
    run = Run(downloads={"a:1": [Download(delay=1000)]})

    async def endless() -> None:
        while True:
            await run.foreign(size=5 * MB)

    await run.run(endless, until=200)

    assert run.errors()


async def test_unpacking_is_not_cut(autojump_clock):
    run = Run(downloads={"a:1": [Download(size=2 * MB, unpacks=UNPACK - 5)]})

    await run.run()

    assert [] == run.errors()


async def test_unpacking_that_does_not_end_is_cut(autojump_clock):
    run = Run(downloads={"a:1": [Download(size=2 * MB, unpacks=1000), EIGHT_SECONDS]})

    await run.run()

    assert ["unpacking stalled for 1m40s"] == run.errors()


async def test_where_reads_are_not_recorded_a_pull_that_stands_still_may_be_unpacking(autojump_clock):
    run = Run(downloads={"a:1": [Download(size=2 * MB, unpacks=UNPACK - 5), EIGHT_SECONDS]})
    run.directories.records_reads = False

    await run.run()

    assert [] == run.errors()


async def test_a_pull_that_waits_while_another_is_unpacked_is_not_cut(autojump_clock):
    """CRI-O's store is locked meanwhile: all bytes are there, and nothing is read."""
    run = Run(
        downloads={
            "a:1": [Download(size=2 * MB, waits=50)],
            "b:1": [Download(size=2 * MB, unpacks=50)],
        }
    )

    await run.run()

    assert ([], []) == (run.errors("a:1"), run.errors("b:1"))


async def test_nor_is_one_that_waits_while_the_kubelets_is_unpacked(autojump_clock):
    run = Run(downloads={"a:1": [Download(size=3 * MB, waits=50)]})

    await run.run(lambda: run.foreign(size=MB, reads=True))

    assert [] == run.errors()


async def test_what_a_killed_runtime_has_left_keeps_nothing_alive(autojump_clock):
    run = Run(downloads={"a:1": [STALLED, EIGHT_SECONDS]})
    run.directories.held["container_images_storage0"] = {"1": Blob(size=5 * MB, is_read=True)}

    await run.run()

    assert ["stalled at 1.9 MiB for 3s"] == run.errors()


async def test_after_a_restart_of_the_runtime_its_pulls_are_seen_again(autojump_clock):
    """The first directory stays behind. Nothing but the outage is an error."""
    run = Run(downloads={"a:1": [Download(size=20 * MB), Download(size=20 * MB, rate=100_000)]})

    async def restart() -> None:
        await trio.sleep(5)
        run.crio.is_killed = True
        run.crio.go_away()
        await trio.sleep(20)
        run.crio.is_killed = False
        run.crio.come_back()

    await run.run(restart)

    assert ["the runtime is gone"] == run.errors()
    assert 1 == len(run.directories.held)
    assert 19.8 * MB <= run.shown()[-1][1] <= 20 * MB


async def test_a_pull_of_which_nothing_is_seen_has_the_limit_of_pulls_that_are_not_seen(autojump_clock):
    """It may be waiting for a registry that throttles, or download in a way that has no files."""
    run = Run(downloads={"a:1": [Download(size=MB, delay=UNSEEN - 2), EIGHT_SECONDS]})

    await run.run()

    assert [] == run.errors()


@pytest.mark.parametrize("download", [Download(delay=1000), Download(size=MB, stalls_at=0)], ids=["none", "empty"])
async def test_and_is_cut_after_that(autojump_clock, download):
    run = Run(downloads={"a:1": [download, EIGHT_SECONDS]})

    await run.run()

    assert ["no response while resolving for 40s"] == run.errors()
    assert UNSEEN <= run.crio.cancelled[0][1] <= UNSEEN + 1.1


async def test_calls_are_made_when_the_directory_of_the_last_one_is_known(autojump_clock):
    """In order, within a look of each other; who waits loses nothing of its time."""
    run = Run(downloads={name: [Download(size=8 * MB, stalls_at=0)] for name in ("a:1", "b:1", "c:1", "d:1")})

    await run.run(until=30)

    times = [time for time, event in zip(run.times, run.events, strict=True) if isinstance(event, AttemptStarted)]
    assert [0, 0, 0, 0] == times
    assert 4 == len(run.directories.made_at)
    assert run.directories.made_at == sorted(run.directories.made_at)
    assert 0 < run.directories.made_at[-1] < 1


async def test_a_call_that_gets_no_directory_delays_the_next_one_a_little(autojump_clock):
    run = Run(downloads={"a:1": [Download(delay=1000)], "b:1": [Download(size=20 * MB)]})

    await run.run(until=UNSEEN + START_TIME + 2)

    assert [] == run.errors("b:1")
    assert any(done for _, done in run.shown("b:1"))


async def test_while_nobody_pulls_nobody_looks(autojump_clock):
    run = Run(downloads={})

    async def wait() -> None:
        await trio.sleep(100)

    await run.run(wait, until=100)

    assert [] == run.directories.looks


async def test_looks_are_a_second_apart(autojump_clock):
    run = Run(downloads={"a:1": [Download(size=60 * MB)]})

    await run.run()

    assert 60 <= len(run.directories.looks) < 66


async def test_a_directory_that_cannot_be_looked_at_ends_the_looking_and_no_pull(autojump_clock):
    run = Run(downloads={"a:1": [Download(size=30 * MB)], "b:1": [Download(size=8 * MB, stalls_at=MB), EIGHT_SECONDS]})
    error = RuntimeFaultError("cannot look", fault=Fault(kind=FaultClass.PERMANENT, reason="unseen"))

    async def fail() -> None:
        await trio.sleep(2.5)
        run.directories.fails = error

    await run.run(fail)

    assert [] == run.errors("a:1")
    assert ["timed out after 40s"] == run.errors("b:1")
    told = [notice.message for notice in run.told(Notice)]
    assert ["progress reporting lost, attempt timeouts now use elapsed time: cannot look"] == told


async def test_a_disk_that_hangs_ends_the_looking_after_five_looks(autojump_clock):
    run = Run(downloads={"a:1": [Download(size=200 * MB)]})

    async def hang() -> None:
        await trio.sleep(2.5)
        run.directories.hangs = True

    await run.run(hang, until=90)

    told = [notice.message for notice in run.told(Notice)]
    assert [
        "progress reporting lost, attempt timeouts now use elapsed time: no answer in 10s, 5 times in a row"
    ] == told


async def test_where_no_directory_is_found_a_line_says_what_may_be_the_cause(autojump_clock):
    run = Run(downloads={"a:1": [Download(size=30 * MB, joins=True)], "b:1": [Download(size=30 * MB, joins=True)]})

    await run.run(until=35)

    (notice,) = run.told(Notice)
    assert "CRI-O downloads nothing to /var/tmp, so progress is not visible" in notice.message
    assert "--crio-download-dir" in notice.message


async def test_what_cannot_be_examined_is_reported_once(autojump_clock):
    run = Run(downloads={"a:1": [Download(size=30 * MB)]})
    run.directories.problem = "container_images_storage7: Permission denied"

    await run.run()

    (notice,) = run.told(Notice)
    assert (
        "cannot look at all downloads of CRI-O in /var/tmp: container_images_storage7: Permission denied"
        == notice.message
    )


async def test_on_the_wall_clock_progress_is_shown_and_elapsed_time_counts(autojump_clock):
    run = Run(downloads={"a:1": [Download(size=100 * MB)]}, kind=AttemptClockKind.WALL)

    await run.run(until=UNSEEN + 2)

    assert ["timed out after 40s"] == run.errors()
    assert (Phase.DOWNLOADING, 30 * MB) in run.shown()
