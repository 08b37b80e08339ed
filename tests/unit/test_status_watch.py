"""`status --watch`: what is printed and drawn again, and which errors end it."""

import io
from typing import Any

import pytest
import trio
from rich.console import Console

from nodeprefetch.cli.status_watch import Drawing, Printer, follow
from nodeprefetch.cluster.picture import NodePicture, NodeState, Picture
from nodeprefetch.errors import NoAccessError, UsageError
from nodeprefetch.kube import UnreachableError

AWAY = UnreachableError("listing DaemonSets: no connection")


def picture(state: NodeState = NodeState.PULLING, *, notes: tuple[str, ...] = (), **more: Any) -> Picture:
    node = NodePicture(node="n", state=state, **more)
    return Picture(namespace="default", name="web", source="test", nodes=(node,), notes=notes, heard=more.get("heard"))


COLD, WARM = picture(), picture(NodeState.WARM)


class Log:
    """A viewer that remembers when it was told what."""

    def __init__(self) -> None:
        self.told: list[tuple[float, object]] = []
        self._began = trio.current_time()

    def show(self, pictures: object) -> None:
        self.told.append((trio.current_time() - self._began, pictures))

    def trouble(self, text: str) -> None:
        self.told.append((trio.current_time() - self._began, text))


async def followed(*answers: object, seconds: float = 5) -> Log:
    left, log = list(answers), Log()

    async def look() -> list[Picture]:
        answer = left.pop(0) if len(left) > 1 else left[0]
        await trio.lowlevel.checkpoint()
        if isinstance(answer, Exception):
            raise answer
        return [answer]

    with trio.move_on_after(seconds):
        await follow(look, log)
    return log


async def test_it_looks_every_two_seconds(autojump_clock):
    assert [(0, [COLD]), (2, [WARM]), (4, [WARM])] == (await followed(COLD, WARM)).told


async def test_an_error_that_may_pass_does_not_end_it(autojump_clock):
    assert [(0, str(AWAY)), (2, [WARM]), (4, str(AWAY))] == (await followed(AWAY, WARM, AWAY)).told


@pytest.mark.parametrize("error", [NoAccessError("forbidden"), UsageError(["no installation"])])
async def test_other_errors_end_it_at_the_first_look_alone(autojump_clock, error: Exception):
    assert [(0, [COLD]), (2, str(error)), (4, str(error))] == (await followed(COLD, error)).told
    with pytest.raises(type(error)):
        await followed(error)


def printed(*seen: object) -> list[str]:
    texts: list[str] = []
    printer = Printer(
        texts.append, texts.append, lambda pictures, _: ",".join(each.nodes[0].state for each in pictures), lambda: 0
    )
    for each in seen:
        printer.trouble(each) if isinstance(each, str) else printer.show([each])
    return texts


def test_it_prints_what_has_changed():
    assert ["pulling\n", "warm\n", "pulling\n"] == printed(COLD, COLD, WARM, WARM, COLD)


def test_bytes_rates_and_times_are_no_change():
    seen = [picture(done_bytes=number, total_bytes=9 + number, rate=number, heard=number) for number in range(5)]

    assert ["pulling\n"] == printed(*seen)


def test_an_image_and_a_note_are_a_change():
    assert 3 == len(printed(picture(present=1), picture(present=2), picture(present=2, notes=("old",))))


def test_an_outage_is_printed_once_and_what_is_known_after_it():
    assert ["warm\n", "away (trying again)", "warm\n"] == printed(WARM, "away", "away", WARM)


def drawn(drawing: Drawing, *, height: int = 20, width: int = 40) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    console.print(drawing.draw(height, width))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_drawing_says_how_old_it_is():
    clock = Clock()
    drawing = Drawing(lambda _, now: f"at {now:g}", clock)
    assert ["looking at the cluster", ""] == drawn(drawing)

    drawing.show([COLD])
    clock.now += 3
    assert ["seen 3s ago", "at 103"] == drawn(drawing)

    drawing.trouble("no connection\x1b")
    assert "seen 3s ago: no connection\\x1b (trying again)" == drawn(drawing, width=60)[0]


def test_a_drawing_fits_the_terminal():
    drawing = Drawing(lambda *_: "\n".join(["x" * 300] * 100))
    drawing.show([COLD])

    text = drawn(drawing, height=10, width=40)

    assert 10 == len(text)
    assert {40} == {len(line) for line in text[1:9]}
    assert "and 92 more lines" == text[9]
