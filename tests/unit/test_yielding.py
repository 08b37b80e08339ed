"""Yielding to the pulls of others, on virtual time: looks are at 0 s, 0.5 s, 1 s …"""

import math
from collections.abc import Callable

import pytest
import trio

from nodeprefetch.events import Event, Notice, PullsPaused, PullsResumed
from nodeprefetch.pull.pauses import PausablePull, Pauses
from nodeprefetch.pull.yielding import Yielding
from nodeprefetch.runtime.api import ResourceKind
from nodeprefetch.runtime.errors import RuntimeFaultError
from nodeprefetch.runtime.lease_labels import new_lease
from nodeprefetch.settings import FetchSettings
from nodeprefetch.testing import FakeContainerdApi, FakeImageService, FakeRun

IMAGE = "sha256:" + "1" * 64
MIB = 2**20
GONE = RuntimeFaultError.gone("connection refused")


class Beside:
    """One pull of ours, which takes for ever, and what others do on the node."""

    def __init__(self, *, lease: str = "ours") -> None:
        self.api = FakeContainerdApi()
        self.events: list[tuple[float, Event]] = []
        self.pauses = Pauses(self._emit)
        self._pull = PausablePull("a:1", lease)
        self._yielding = Yielding(self.api, self.pauses, self._emit, wall=trio.current_time)

    async def run(self, script: Callable[[], object], *, until: float) -> None:
        with trio.move_on_after(until):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._yielding.run)
                nursery.start_soon(self.pauses.run, self._pull, trio.sleep_forever)
                nursery.start_soon(script)

    async def pull(self, lease: str = "other", *, begin: float, end: float = math.inf) -> None:
        """Another's pull of one layer, which grows each second."""
        await trio.sleep_until(begin)
        await self.api.create_lease(lease, expires_at=math.inf, labels={})
        self.api.begin(f"layer of {lease}", total=99 * MIB, lease=lease)
        for step in range(1, math.ceil(min(end - begin, 99))):
            await trio.sleep_until(begin + step)
            self.api.write(f"layer of {lease}", step * MIB)
        await trio.sleep_until(end)
        await self.api.delete_lease(lease)

    @property
    def told(self) -> list[tuple[float, str]]:
        """When pulls were paused (-) and resumed (+)."""
        marks = {PullsPaused: "-", PullsResumed: "+"}
        return [(at, marks[type(event)]) for at, event in self.events if type(event) in marks]

    @property
    def notices(self) -> list[str]:
        return [event.message for _, event in self.events if isinstance(event, Notice)]

    def _emit(self, event: Event) -> None:
        self.events.append((trio.current_time(), event))


async def test_pulls_pause_at_the_next_look_and_go_on_after_two_without_another_pull(autojump_clock):
    beside = Beside()

    await beside.run(lambda: beside.pull(begin=5.2, end=9.2), until=20)

    assert [(5.5, "-"), (10, "+")] == beside.told


async def test_between_two_pulls_of_the_kubelet_ours_stay_paused(autojump_clock):
    beside = Beside()

    async def script() -> None:
        await beside.pull("first", begin=5.2, end=9.2)
        await beside.pull("second", begin=9.6, end=12.2)

    await beside.run(script, until=20)

    assert [(5.5, "-"), (13, "+")] == beside.told


async def test_another_pull_counts_until_it_ends_also_while_it_only_unpacks(autojump_clock):
    beside = Beside()

    async def script() -> None:
        await trio.sleep(1.2)
        await beside.api.create_lease("other", expires_at=math.inf, labels={})
        beside.api.begin("layer", total=1, lease="other")
        beside.api.commit("layer", 1)
        await trio.sleep(9)
        await beside.api.delete_lease("other")

    await beside.run(script, until=20)

    assert [(1.5, "-"), (11, "+")] == beside.told


async def test_a_lease_without_blobs_is_no_pull(autojump_clock):
    """As containerd makes one for each container that it creates."""
    beside = Beside()

    async def script() -> None:
        await beside.api.create_lease("container", expires_at=math.inf, labels={})
        beside.api.hold("container", ResourceKind.SNAPSHOT, "root")

    await beside.run(script, until=20)

    assert [] == beside.told


async def test_leases_of_nodeprefetch_are_not_anothers_whatever_the_installation(autojump_clock):
    beside = Beside()

    async def script() -> None:
        lease = new_lease("docker.io/library/b:1", instance="another", run="x", expires_at=9999)
        await beside.api.create_lease(lease.id, expires_at=9999, labels=lease.labels)
        beside.api.begin("layer", total=99, lease=lease.id)

    await beside.run(script, until=20)

    assert [] == beside.told


async def test_an_old_lease_counts_only_once_something_of_it_moves(autojump_clock):
    """A crashed containerd left it an hour ago. At 3610.2 s somebody goes on with it."""
    beside = Beside()
    await beside.api.create_lease("old", expires_at=math.inf, labels={})
    beside.api.begin("layer", total=99 * MIB, lease="old")
    await trio.sleep(3600)

    async def script() -> None:
        await trio.sleep(10.2)
        beside.api.write("layer", MIB)

    await beside.run(script, until=20)

    assert [(3610.5, "-")] == beside.told


async def test_a_pull_that_stands_still_for_30_s_no_longer_counts_until_it_moves(autojump_clock):
    beside = Beside()

    async def script() -> None:
        await trio.sleep(1.2)
        await beside.api.create_lease("other", expires_at=math.inf, labels={})
        beside.api.begin("layer", total=99 * MIB, lease="other")
        await trio.sleep(2)
        beside.api.write("layer", MIB)
        await trio.sleep(47)
        beside.api.write("layer", 2 * MIB)

    await beside.run(script, until=60)

    assert [(1.5, "-"), (34, "+"), (50.5, "-")] == beside.told


async def test_a_pull_of_ours_without_a_lease_is_not_taken_for_anothers(autojump_clock):
    """containerd makes one for it."""
    beside = Beside(lease="")

    await beside.run(lambda: beside.pull(begin=1), until=20)

    assert [] == beside.told


async def test_nobody_is_asked_while_there_are_no_pulls_of_ours(autojump_clock):
    api = FakeContainerdApi()
    with trio.move_on_after(60):
        await Yielding(api, Pauses(), lambda _: None).run()

    assert [] == api.asked


async def test_a_look_is_one_call_where_nobody_else_pulls(autojump_clock):
    beside = Beside()

    await beside.run(trio.sleep_forever, until=9.9)

    assert ["leases"] * 20 == beside.api.asked


async def test_while_containerd_is_away_ours_are_not_held_and_after_five_looks_it_is_given_up(autojump_clock):
    beside = Beside()

    async def script() -> None:
        beside.api.gone = GONE
        await trio.sleep(2)
        beside.api.gone = None
        await beside.pull(begin=2.2, end=90)

    async def fails_later() -> None:
        await trio.sleep(5.2)
        beside.api.gone = GONE

    async def both() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(script)
            nursery.start_soon(fails_later)

    await beside.run(both, until=20)

    assert [(2.5, "-"), (6, "+")] == beside.told
    assert ["no longer yielding to other pulls on this node: connection refused"] == beside.notices


@pytest.mark.parametrize(
    ("settings", "api", "text"),
    [
        (FetchSettings(yields=True), None, "--yield has no effect: fake does not show other pulls"),
        (FetchSettings(yields=True, resume=False), FakeContainerdApi(), "--yield has no effect: --no-resume"),
        (FetchSettings(), None, None),
        (FetchSettings(resume=False), FakeContainerdApi(), None),
        (FetchSettings(yields=True), FakeContainerdApi(), None),
    ],
)
async def test_where_others_cannot_be_seen_only_who_asked_for_it_hears_so(autojump_clock, settings, api, text):
    run = FakeRun(service=FakeImageService(pulls={"a:1": [IMAGE]}), settings=settings, containerd=api)

    await run.fetch("a:1")

    told = [notice.message for notice in run.told(Notice) if "yield" in notice.message]
    assert ([text] if text else []) == told
