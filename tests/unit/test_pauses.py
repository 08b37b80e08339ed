"""Pulls that are held back, on virtual time with exact numbers."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
import trio

from nodeprefetch.events import AttemptFinished, AttemptStarted, PullsPaused, PullsResumed
from nodeprefetch.pull.lease_progress import LeaseProgress
from nodeprefetch.pull.pauses import Hold, Pauses
from nodeprefetch.pull.progress import ProgressWatch
from nodeprefetch.runtime.errors import Fault, FaultClass, RuntimeFaultError
from nodeprefetch.settings import AttemptClockKind, FetchSettings
from nodeprefetch.testing import FakeContainerdApi, FakeCredentialSource, FakeImageService, Hang
from nodeprefetch.values.retry import RetryPolicy
from tests.support.leases import GivenLeases
from tests.support.pull_log import PullLog, pull_all

IMAGE = "sha256:" + "1" * 64
MIB = 2**20


@dataclass(kw_only=True)
class Held(PullLog):
    """Pulls images as a run does, and holds them back as a script says; a timeout of 30 s."""

    pulls: dict[str, Sequence[object]]
    lease: str = "lease"
    api: FakeContainerdApi | None = None
    slots: float = math.inf
    kind: AttemptClockKind = AttemptClockKind.AUTO
    credentials: FakeCredentialSource = field(default_factory=FakeCredentialSource)

    def __post_init__(self) -> None:
        self.service = FakeImageService(pulls=self.pulls)
        source = LeaseProgress(self.api) if self.api else None
        self.watch = ProgressWatch(source, self.emit, settings=FetchSettings(attempt_clock=self.kind))
        self.pauses = Pauses(self.emit, self.watch.sight)

    def hold(self, reason: str = "because") -> Hold:
        return self.pauses.hold(reason)

    async def run(self, *scripts: Callable[[], object]) -> None:
        if self.api is not None:
            await self.api.create_lease("lease", expires_at=math.inf, labels={})
        async with trio.open_nursery() as background:
            await background.start(self.watch.run)
            context = self.context(
                self.service,
                self.watch,
                FetchSettings(retry=RetryPolicy(initial_delay=1, max_delay=1)),
                credentials=self.credentials,
                slots=trio.CapacityLimiter(self.slots),
                leases=GivenLeases(of=lambda _: self.lease),
                pauses=self.pauses,
            )
            await pull_all(self.pulls, context, scripts, background)

    @property
    def ends(self) -> list[tuple[int, float, float, str]]:
        """Number, duration, pause and reason of each attempt."""
        return [(one.attempt, one.duration, round(one.paused, 6), one.reason) for one in self.told(AttemptFinished)]


def between(held: Held, begin: float, end: float) -> Callable[[], object]:
    """Holds everything back from one time to another."""
    hold = held.hold()

    async def script() -> None:
        await trio.sleep(begin)
        hold.apply(closed=True, paused=held.pauses.running, detail="busy")
        await trio.sleep(end - begin)
        hold.release()

    return script


async def test_a_paused_pull_is_called_again_with_its_lease_in_the_same_attempt(autojump_clock):
    """10 s of it pass, then 20 s of pause, then the other 5 s."""
    held = Held(pulls={"a:1": [Hang(15), Hang(5, then=IMAGE)]})

    await held.run(between(held, 10, 30))

    assert [0, 30] == held.service.call_times
    assert ["lease", "lease"] == [call.lease for call in held.service.calls]
    assert [1] == [one.attempt for one in held.told(AttemptStarted)]
    assert [(1, 35, 20, "")] == held.ends


async def test_who_listens_hears_of_whom_and_why(autojump_clock):
    held = Held(pulls={"a:1": [Hang(15), Hang(5, then=IMAGE)], "b:1": [Hang(15), Hang(5, then=IMAGE)]})

    await held.run(between(held, 10, 30))

    (paused,), (resumed,) = held.told(PullsPaused), held.told(PullsResumed)
    assert ("because", ("a:1", "b:1"), "busy") == (paused.reason, paused.images, paused.detail)
    assert ("because", ("a:1", "b:1"), 20) == (resumed.reason, resumed.images, resumed.after)
    assert [10, 30] == [held.times[held.events.index(one)] for one in (paused, resumed)]


async def test_no_pull_starts_while_the_gate_is_closed(autojump_clock):
    held = Held(pulls={"a:1": [Hang(15, then=IMAGE)], "b:1": [IMAGE]}, slots=1)
    hold = held.hold()

    async def script() -> None:
        await trio.sleep(10)
        hold.apply(closed=True)
        await trio.sleep(30)
        hold.release()

    await held.run(script)

    assert [0, 40] == held.service.call_times
    assert [(1, 15, 0, ""), (1, 0, 0, "")] == held.ends


async def test_a_retry_is_a_new_pull(autojump_clock):
    """Fails at 5 s, and is due again at 6 s."""
    failure = RuntimeFaultError("503", fault=Fault(kind=FaultClass.PASSING, reason="server_error"))
    held = Held(pulls={"a:1": [Hang(5, then=failure), IMAGE]})

    await held.run(between(held, 5.5, 20))

    assert [0, 20] == held.service.call_times


async def test_a_paused_pull_keeps_its_slot(autojump_clock):
    held = Held(pulls={"a:1": [Hang(15), Hang(5, then=IMAGE)], "b:1": [IMAGE]}, slots=1)
    hold = held.hold()

    async def script() -> None:
        await trio.sleep(10)
        hold.apply(closed=False, paused=held.pauses.running)
        await trio.sleep(20)
        hold.release()

    await held.run(script)

    assert [0, 30, 35] == held.service.call_times


async def test_a_pull_goes_on_when_the_last_cause_is_gone(autojump_clock):
    held = Held(pulls={"a:1": [Hang(15), Hang(5, then=IMAGE)]})

    await held.run(between(held, 10, 30), between(held, 20, 50))

    assert [0, 50] == held.service.call_times


async def test_without_a_lease_nothing_would_be_kept_so_the_pull_goes_on(autojump_clock):
    held = Held(pulls={"a:1": [Hang(15, then=IMAGE)]}, lease="")

    await held.run(between(held, 10, 30))

    assert [(1, 15, 0, "")] == held.ends


async def test_a_pause_is_not_counted_by_elapsed_time(autojump_clock):
    """10 s before the pause and 20 s after it are the 30 s of the limit."""
    held = Held(pulls={"a:1": [Hang(), Hang(), IMAGE]}, kind=AttemptClockKind.WALL)

    await held.run(between(held, 10, 100))

    assert [(1, 120, 90, "timeout"), (2, 0, 0, "")] == held.ends
    assert [30, 60] == [one.limit for one in held.told(AttemptStarted)]


async def test_a_pull_that_moved_has_its_whole_timeout_after_a_pause(autojump_clock):
    """It moves at 5 s, and not after the pause from 10 s to 100 s."""
    api = FakeContainerdApi()
    held = Held(pulls={"a:1": [Hang(), Hang(), IMAGE]}, api=api)

    async def script() -> None:
        api.begin("layer", total=9 * MIB, lease="lease")
        await trio.sleep(4.5)
        api.write("layer", MIB)

    await held.run(script, between(held, 10, 100))

    assert [(1, 130, 90, "stalled"), (2, 0, 0, "")] == held.ends


async def test_a_pull_that_does_not_move_stalls_however_often_it_is_paused(autojump_clock):
    """Three times ten seconds without a byte."""
    api = FakeContainerdApi()
    held = Held(pulls={"a:1": [Hang(), Hang(), Hang(), IMAGE]}, api=api)

    await held.run(between(held, 10, 20), between(held, 30, 40))

    assert [(1, 50, 20, "stalled"), (2, 0, 0, "")] == held.ends


async def test_a_pull_that_unpacks_goes_on(autojump_clock):
    api = FakeContainerdApi()
    held = Held(pulls={"a:1": [Hang(15, then=IMAGE)]}, api=api)

    async def script() -> None:
        manifest = b'{"layers": [{"digest": "layer", "size": 1}]}'
        api.begin("manifest", total=99, lease="lease", kind="manifest")
        api.commit("manifest", manifest, kind="manifest")
        api.begin("layer", total=1, lease="lease")
        api.commit("layer", 1)

    await held.run(script, between(held, 10, 30))

    assert [(1, 15, 0, "")] == held.ends


async def test_the_end_of_the_run_ends_a_paused_pull(autojump_clock):
    held = Held(pulls={"a:1": [Hang()]})

    with trio.move_on_after(40):
        await held.run(between(held, 10, 100))

    assert [(1, 40, 30, "cancelled")] == held.ends
    assert [] == held.pauses.running


async def test_a_credential_that_was_refused_after_a_pause_is_looked_up_again(autojump_clock):
    """It was valid for less time than the pause took."""
    refused = RuntimeFaultError("401", fault=Fault(kind=FaultClass.REFUSED, reason="unauthorized"))
    source = FakeCredentialSource(logins={"docker.io": ["user"]}, lifetime=20)
    held = Held(pulls={"a:1": [Hang(15), refused, IMAGE]}, credentials=source)

    await held.run(between(held, 10, 30))

    assert [(1, 30, 20, "unauthorized"), (2, 0, 0, "")] == held.ends
    assert ["a:1", "a:1"] == source.asked


@pytest.mark.parametrize("closed", [True, False])
async def test_saying_the_same_again_tells_nobody(autojump_clock, closed):
    held = Held(pulls={"a:1": [Hang(15), IMAGE]})
    hold = held.hold()

    async def script() -> None:
        await trio.sleep(1)
        for _ in range(3):
            hold.apply(closed=closed, paused=held.pauses.running)
        hold.release()
        hold.release()

    await held.run(script)

    assert [1, 1] == [len(held.told(PullsPaused)), len(held.told(PullsResumed))]
