"""When the first pull of a run starts, on virtual time."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import trio

from nodeprefetch.events import ImageFinished, Outcome, RunEnd, StartAllowed, StartDelayed
from nodeprefetch.pull.start import DelayReport
from nodeprefetch.runtime.api import ImageRecord
from nodeprefetch.runtime.errors import RuntimeFaultError
from nodeprefetch.settings import FetchSettings
from nodeprefetch.testing import HANG, FakeContainerdApi, FakeCredentialSource, FakeImageService, FakeRun, Hang
from nodeprefetch.tickets.client import StartDelay
from nodeprefetch.tickets.messages import TicketReply

IMAGE = "sha256:" + "1" * 64
PRESENT = ImageRecord(id=IMAGE, repo_tags=("docker.io/library/a:1",))


@dataclass(kw_only=True)
class FakePermit:
    """Obtained after a time."""

    after: float
    told: list[tuple[float, str]] = field(default_factory=list)

    def tell(self, what: str) -> None:
        self.told.append((trio.current_time(), what))

    async def obtain(self, run_id: str) -> bool:
        assert run_id
        self.tell("wanted")
        await trio.sleep(self.after)
        self.tell("obtained")
        return True

    async def keep(self) -> None:
        await trio.sleep_forever()

    async def give_back(self, run_id: str, *, is_warm: bool) -> None:
        assert run_id
        self.tell("warm" if is_warm else "cold")


async def test_pulls_start_when_the_permit_is_there_and_it_is_given_back_at_the_end(autojump_clock):
    """100 s of waiting, two pulls of 10 s at a time."""
    permit = FakePermit(after=100)
    service = FakeImageService(pulls={"a:1": [Hang(10, then=IMAGE)], "b:1": [Hang(10, then=IMAGE)]})
    run = FakeRun(service=service, permit=permit)

    await run.fetch("a:1", "b:1")

    assert [100, 100] == service.call_times
    assert [(0, "wanted"), (100, "obtained"), (110, "warm")] == permit.told
    assert [(100, True)] == [(event.after, event.has_ticket) for event in run.told(StartAllowed)]


async def test_a_run_whose_images_are_all_present_only_says_that_it_is_warm(autojump_clock):
    permit = FakePermit(after=100)

    await FakeRun(service=FakeImageService(images=[PRESENT]), permit=permit).fetch("a:1")

    assert [(0, "warm")] == permit.told


async def test_present_images_are_not_delayed(autojump_clock):
    permit = FakePermit(after=100)
    run = FakeRun(service=FakeImageService(images=[PRESENT], pulls={"b:1": [IMAGE]}), permit=permit)

    await run.fetch("b:1", "a:1")

    finished = [(event.image, at) for event, at in zip(run.events, run.times, strict=True) if _is_finished(event)]
    assert [("a:1", 0), ("b:1", 100)] == finished


async def test_a_run_with_a_failed_image_is_not_warm(autojump_clock):
    permit = FakePermit(after=0)
    settings = FetchSettings(overall_timeout=50)

    await FakeRun(service=FakeImageService(pulls={"a:1": [HANG] * 9}), settings=settings, permit=permit).fetch("a:1")

    assert [(0, "wanted"), (0, "obtained"), (50, "cold")] == permit.told


async def test_waiting_does_not_count_toward_the_overall_timeout(autojump_clock):
    """The timeout is 60 s: a begins after an hour and is pulled, b hangs until 60 s after that."""
    settings = FetchSettings(overall_timeout=60)
    service = FakeImageService(pulls={"a:1": [Hang(25, then=IMAGE)], "b:1": [HANG, HANG]})

    report = await FakeRun(service=service, settings=settings, permit=FakePermit(after=3600)).fetch("a:1", "b:1")

    assert [Outcome.SUCCEEDED, Outcome.FAILED] == [image.outcome for image in report.images]
    assert RunEnd.TIMED_OUT == report.end
    assert 3660 == trio.current_time()


async def test_waiting_does_not_shorten_the_time_that_a_registry_may_ask_for(autojump_clock):
    """An hour of waiting in a run of 20 minutes, then a pause of 10 and as much jitter as there is."""
    error = RuntimeFaultError.from_status("UNKNOWN", "toomanyrequests: Retry-After: 600")
    service = FakeImageService(pulls={"a:1": [error, IMAGE]})

    report = await FakeRun(service=service, permit=FakePermit(after=3600)).fetch("a:1")

    assert () == report.failed
    assert [3600, 3600 + 660] == service.call_times


async def test_waiting_does_not_shorten_the_leases(autojump_clock):
    """An hour of waiting, an overall timeout of 20 min, and the hour that a lease outlives its run."""
    containerd = FakeContainerdApi()
    service = FakeImageService(pulls={"a:1": [Hang(10, then=IMAGE)]})
    run = FakeRun(service=service, containerd=containerd, permit=FakePermit(after=3600))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.fetch, "a:1")
        await trio.sleep(3605)
        (lease,) = containerd.leases_held.values()

    assert pytest.approx(time.time() + 20 * 60 + 60 * 60, abs=600) == lease.expires_at


async def test_attempts_and_credentials_begin_after_the_wait(autojump_clock):
    """A credential is valid for 60 s."""
    credentials = FakeCredentialSource(logins={"docker.io": ["u"]}, lifetime=60)
    service = FakeImageService(pulls={"a:1": [IMAGE]})
    run = FakeRun(service=service, permit=FakePermit(after=100), credentials=credentials)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.fetch, "a:1")
        await trio.sleep(99)
        asked_before = list(credentials.asked)

    assert ([], ["a:1"]) == (asked_before, credentials.asked)
    assert ["u"] == [call.auth.username for call in service.calls]
    assert 1 == run.result("a:1").attempts


async def test_an_image_that_came_during_the_wait_is_not_pulled(autojump_clock):
    """The kubelet has pulled it for a pod."""
    service = FakeImageService(pulls={"a:1": [IMAGE]})
    run = FakeRun(service=service, permit=FakePermit(after=100))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.fetch, "a:1")
        await trio.sleep(50)
        await service.pull_image("a:1")

    assert [50] == service.call_times
    assert (Outcome.PRESENT, 0) == (run.result("a:1").outcome, run.result("a:1").attempts)


async def test_a_signal_ends_the_wait(autojump_clock):
    permit = FakePermit(after=100)

    async def signals() -> AsyncIterator[int]:
        await trio.sleep(30)
        yield 15

    report = await FakeRun(service=FakeImageService(), permit=permit, signals=signals()).fetch("a:1")

    assert (RunEnd.STOPPED, 15, 30) == (report.end, report.signal, trio.current_time())
    assert [(0, "wanted"), (30, "cold")] == permit.told


async def test_delays_are_reported_less_and_less_often(autojump_clock):
    """At 0, and then 1, 2, 4, 8, 10 and 10 min after the last time."""
    told: list[float] = []
    report = DelayReport(lambda _: told.append(trio.current_time() / 60))

    for _ in range(36 * 6):
        report(StartDelay(reply=TicketReply(position=17, pulling=10, limit=10)))
        await trio.sleep(10)

    assert [0, 1, 3, 7, 15, 25, 35] == told


async def test_an_aggregator_that_falls_silent_is_reported_at_once(autojump_clock):
    told = []
    report = DelayReport(told.append)

    report(StartDelay(reply=TicketReply(position=17, pulling=10, limit=10)))
    report(StartDelay(starts_in=300, problem="away"))
    report(StartDelay(starts_in=300, problem="away"))

    assert [
        StartDelayed(at=told[0].at, ahead=17, pulling=10, limit=10),
        StartDelayed(at=told[1].at, starts_in=300, error="away"),
    ] == told


def _is_finished(event: object) -> bool:
    return isinstance(event, ImageFinished)
