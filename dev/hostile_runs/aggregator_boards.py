"""Boards: readers that read nothing, crowds, and instances whose boards are as large and as varied as they can be."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

from hostile_runs.aggregator_http2_windows import STUCK, readers
from hostile_runs.attack import Run, attack
from hostile_runs.plain_http import batch, get, idle, lines, post
from nodeprefetch.batch import Batch
from nodeprefetch.events import ImageFinished, Outcome
from nodeprefetch.settings import PullPolicy
from tests.support.aggregator_program import AggregatorProgram

OK, READERS = 200, 100
STREAM = "Accept: text/event-stream\r\n"


def _ask(program: AggregatorProgram, stack: ExitStack, count: int, more: str = "", query: str = "") -> None:
    crowd = idle(program.http_port, count)
    for each in crowd:
        stack.callback(each.close)
    for each in crowd:
        each.sendall(f"GET /v1/board{query} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode())


def _ended(image: str, text: str, digest: str) -> ImageFinished:
    return ImageFinished(
        image=image,
        outcome=Outcome.FAILED if text else Outcome.SUCCEEDED,
        policy=PullPolicy.IF_NOT_PRESENT,
        attempts=1,
        elapsed=1,
        error=text,
        error_class="permanent" if text else "",
        reason=text,
        digest=digest,
    )


def _usual(nodes: int, images: int = 40) -> Iterator[Batch]:
    """Nodes with the same images."""
    for node in range(nodes):
        events = [_ended(f"registry.test/team/app-{image}:1", "", f"sha256:{image:064}") for image in range(images)]
        yield batch(events, node=f"node-{node}", run_id=f"run-{node}")


def _varied(nodes: int, images: int) -> Iterator[Batch]:
    """Nodes of which each has other images, for other reasons, and other digests."""
    for node in range(nodes):
        numbers = [(node * 7 + image * 13) % 10_000 for image in range(images)]
        events = [
            _ended(
                f"registry.test/{number}:{'t' * 100}",
                f"{node}-{number}" if number % 2 else "",
                f"sha256:{node}{number}",
            )
            for number in dict.fromkeys(numbers)
        ]
        yield batch(events, node=f"node-{node}", run_id=f"run-{node}")


def _send(program: AggregatorProgram, batches: Iterator[Batch], at_once: int) -> None:
    """Submit them, as many in a request."""
    waiting: list[Batch] = []
    for each in (*batches, None):
        if each is not None:
            waiting.append(each)
        if len(waiting) == at_once or (each is None and waiting):
            status, said = post(program, *lines(waiting, compressed=True))
            if status != OK:
                raise RuntimeError(f"the results were answered {status} {said[:200]!r}")
            waiting.clear()


@attack("boards", "800 ask for a stream of a board with 1,000 nodes that changes each second, and read nothing")
def unread_boards(run: Run) -> None:
    """At most 100 are admitted, and all are disconnected after their timeout."""
    with run.aggregator(keeps=False) as program, ExitStack() as stack:
        _send(program, _usual(1_000), 100)
        _ask(program, stack, 800, STREAM)
        run.count = 800
        time.sleep(2)
        inside = readers(program)
        run.expect(inside <= READERS, f"{inside} readers were admitted")
        ends = time.monotonic() + STUCK
        while time.monotonic() < ends:
            _send(program, _usual(200), 100)
            time.sleep(1)
        left = readers(program)
        run.expect(left == 0, f"{left} readers that read nothing are connected after {STUCK:.0f} s")


@attack("boards", "400 ask for the board of 1,000 nodes at once, 400 for boards of unknown instances, and read nothing")
def crowds_of_boards(run: Run) -> None:
    """Others do not wait for all of them, and one who reads is answered."""
    with run.aggregator(keeps=False) as program, ExitStack() as stack:
        _send(program, _usual(1_000), 100)
        _ask(program, stack, 400)
        _ask(program, stack, 400, query="?instance=unknown")
        run.count = 800
        time.sleep(STUCK)
        status, _ = get(program, "/v1/board")
        run.expect(status == OK, f"one who reads got {status}")


@attack("boards", "1,000 nodes with 100 images each, other ones, other digests, other errors; then 20 streams of it")
def varied_board(run: Run) -> None:
    """1,000 images are shown, the memory stays within its bound."""
    with run.aggregator(keeps=False) as program, ExitStack() as stack:
        _send(program, _varied(1_000, 100), 50)
        run.count = 100_000
        status, body = get(program, "/v1/board", patience=60)
        run.expect(status == OK, f"the board was answered {status}")
        run.expect(b'"images_left_out":' in body, "all images are shown")
        _ask(program, stack, 20, STREAM)
        for _ in range(5):
            _send(program, _varied(100, 100), 50)
            time.sleep(1)


@attack("boards", "300 streams of 20 instances")
def many_boards(run: Run) -> None:
    """Only some boards are kept in memory."""
    with run.aggregator(keeps=False) as program, ExitStack() as stack:
        for instance in range(20):
            events = [_ended("a:1", "", "sha256:1")]
            _send(program, iter([batch(events, node="node-1", run_id=f"{instance}", instance=f"i{instance}")]), 1)
        for instance in range(20):
            _ask(program, stack, 15, STREAM, f"?instance=i{instance}")
        run.count = 300
        time.sleep(10)
        status, _ = get(program, "/v1/status")
        run.expect(status == OK, f"/v1/status was answered {status}")
