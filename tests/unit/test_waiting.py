"""When `wait` looks, how it ends, and what it makes of errors: on virtual time."""

import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from nodeprefetch.cluster.goal import Goal, Impossible, Pending, Reached
from nodeprefetch.cluster.picture import NodePicture, NodeState, Picture
from nodeprefetch.cluster.waiting import End, Look, Trouble, wait_for
from nodeprefetch.errors import NoAccessError, UsageError
from nodeprefetch.kube import KubeConfigError, NotFoundError, UnreachableError

HANG = object()
A, B = "docker.io/library/a:1", "docker.io/library/b:1"


def picture(state: NodeState = NodeState.PULLING, *, is_final: bool = False, images: tuple[str, ...] | None = None):
    node = NodePicture(node="n", state=state, is_final=is_final)
    return Picture(namespace="default", name="web", source="test", nodes=(node,), list_images=images)


COLD, WARM, FAILED = picture(), picture(NodeState.WARM), picture(NodeState.FAILED, is_final=True)
AWAY = UnreachableError("listing pods: no connection")


class Script:
    """Answers looks in order, the last answer for ever. Knows when it was asked."""

    def __init__(self, *answers: object, takes: float = 0, opening: float = 0) -> None:
        self._answers = list(answers)
        self._takes = takes
        self._opening = opening
        self.times: list[float] = []

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Callable[[], Awaitable[Picture]]]:
        await trio.sleep(self._opening)
        yield self.look

    async def look(self) -> Picture:
        self.times.append(trio.current_time() - self._began)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        await trio.sleep(math.inf if answer is HANG else self._takes)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Picture)
        return answer

    async def wait(self, goal: Goal = Goal(), limit: float = 60) -> End:  # noqa: B008 - frozen
        self._began = trio.current_time()
        self.seen: list[Look | Trouble] = []
        try:
            return await wait_for(self.open, goal, limit=limit, watch=self.seen.append)
        finally:
            self.took = trio.current_time() - self._began

    def troubles(self) -> list[tuple[float, str]]:
        return [(each.elapsed, each.text) for each in self.seen if isinstance(each, Trouble)]


async def test_what_is_warm_is_reached_at_the_first_look(autojump_clock):
    script = Script(WARM)

    assert End.REACHED is await script.wait()
    assert [0] == script.times
    assert 0 == script.took


async def test_it_looks_every_two_seconds_until_the_nodes_are_warm(autojump_clock):
    script = Script(COLD, COLD, WARM)

    assert End.REACHED is await script.wait()
    assert [0, 2, 4] == script.times
    assert [Pending, Pending, Reached] == [type(each.verdict) for each in script.seen if isinstance(each, Look)]
    assert [0, 2, 4] == [each.elapsed for each in script.seen]


async def test_a_slow_api_server_is_asked_half_of_the_time_at_most(autojump_clock):
    """A look takes 5 s, then come 5 s of rest."""
    script = Script(COLD, COLD, WARM, takes=5)

    assert End.REACHED is await script.wait()
    assert [0, 10, 20] == script.times


async def test_it_ends_as_soon_as_the_goal_cannot_be_reached(autojump_clock):
    script = Script(COLD, FAILED)

    assert End.IMPOSSIBLE is await script.wait()
    assert 2 == script.took
    assert isinstance(script.seen[-1], Look)
    assert isinstance(script.seen[-1].verdict, Impossible)


async def test_the_timeout_ends_it(autojump_clock):
    script = Script(COLD)

    assert End.TIMEOUT is await script.wait(limit=5)
    assert [0, 2, 4] == script.times
    assert 5 == script.took


async def test_a_look_that_hangs_does_not_delay_the_timeout(autojump_clock):
    script = Script(COLD, HANG)

    assert End.TIMEOUT is await script.wait(limit=5)
    assert 5 == script.took


async def test_a_look_that_hangs_is_given_up(autojump_clock):
    """Given up after 30 s, then 30 s of rest."""
    script = Script(HANG, WARM)

    assert End.REACHED is await script.wait(limit=600)
    assert [0, 60] == script.times
    assert [(30, "no answer in 30s")] == script.troubles()


@pytest.mark.parametrize(("first", "end"), [(WARM, End.REACHED), (COLD, End.TIMEOUT), (AWAY, End.TIMEOUT)])
async def test_without_time_it_looks_once(autojump_clock, first: object, end: End):
    script = Script(first, takes=3)

    assert end is await script.wait(limit=0)
    assert [0] == script.times
    assert 3 == script.took


async def test_a_login_that_hangs_does_not_delay_the_timeout(autojump_clock):
    script = Script(WARM, opening=math.inf)

    assert End.TIMEOUT is await script.wait(limit=5)
    assert 5 == script.took


async def test_times_count_from_before_the_login(autojump_clock):
    script = Script(WARM, opening=3)

    assert End.REACHED is await script.wait()
    assert [3] == [each.elapsed for each in script.seen]


async def test_without_time_a_login_that_hangs_ends(autojump_clock):
    script = Script(WARM, opening=math.inf)

    assert End.TIMEOUT is await script.wait(limit=0)
    assert 60 == script.took


async def test_without_time_a_look_that_hangs_ends(autojump_clock):
    script = Script(HANG)

    assert End.TIMEOUT is await script.wait(limit=0)
    assert [(30, "no answer in 30s")] == script.troubles()


async def test_an_api_server_that_is_away_is_asked_again_until_the_timeout(autojump_clock):
    script = Script(AWAY)

    assert End.TIMEOUT is await script.wait(limit=5)
    assert [(at, "listing pods: no connection") for at in (0, 2, 4)] == script.troubles()


async def test_errors_of_calls_that_ran_together_are_one_trouble(autojump_clock):
    both = ExceptionGroup("", [AWAY, ExceptionGroup("", [AWAY, UnreachableError("listing nodes:\ntimeout")])])

    script = Script(both, WARM)

    assert End.REACHED is await script.wait()
    assert [(0, "listing pods: no connection; listing nodes:; timeout")] == script.troubles()


@pytest.mark.parametrize("error", [NoAccessError("no"), KubeConfigError("bad"), UsageError(["web not found"])])
async def test_what_no_retry_helps_ends_it_at_the_first_look(autojump_clock, error: Exception):
    script = Script(error)

    with pytest.raises(type(error)):
        await script.wait()
    assert 0 == script.took


async def test_an_installation_that_was_seen_may_be_forbidden_for_a_while(autojump_clock):
    """An API server that has just started refuses what it later allows."""
    script = Script(COLD, *[NoAccessError("forbidden")] * 14, WARM)

    assert End.REACHED is await script.wait()
    assert 30 == script.took


async def test_access_that_does_not_come_back_ends_it(autojump_clock):
    script = Script(COLD, NoAccessError("forbidden"))

    with pytest.raises(NoAccessError):
        await script.wait()
    assert 30 == script.took


@pytest.mark.parametrize("error", [UsageError(["web not found"]), NotFoundError("reading DaemonSet web: not found")])
async def test_an_installation_that_is_deleted_ends_it(autojump_clock, error: Exception):
    """30 s later: it may also be created anew."""
    script = Script(COLD, error)

    assert End.GONE is await script.wait()
    assert 30 == script.took


async def test_a_defect_of_ours_is_no_trouble_of_the_cluster(autojump_clock):
    script = Script(COLD, ExceptionGroup("", [AWAY, ZeroDivisionError()]))

    with pytest.raises(ExceptionGroup):
        await script.wait()
    assert 2 == script.took


async def test_an_image_that_is_not_listed_is_an_error_of_the_user(autojump_clock):
    script = Script(picture(images=("a:1",)))

    with pytest.raises(UsageError, match="is not in the image list of web"):
        await script.wait(Goal(images=(B,)))


async def test_images_are_checked_when_the_list_is_known(autojump_clock):
    script = Script(picture(), picture(images=("a:1",)))

    with pytest.raises(UsageError, match="is not in the image list of web"):
        await script.wait(Goal(images=(B,)))
    assert 2 == script.took


async def test_a_list_that_loses_an_image_asked_for_ends_it(autojump_clock):
    script = Script(picture(images=("a:1", "b:1")), picture(images=("b:1",)))

    assert End.IMPOSSIBLE is await script.wait(Goal(images=(A,)))


async def test_who_waits_is_cancelled_at_once(autojump_clock):
    script = Script(HANG)

    with trio.move_on_after(1):
        await script.wait()
    assert 1 == script.took
