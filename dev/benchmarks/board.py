"""Measure what the board costs while all nodes pull: the aggregator's processor time without and with pages open."""

import http.client
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import inf

import msgspec
import trio

from benchmarks.figures import Figure, mebibytes, milliseconds
from benchmarks.processes import peak_memory
from benchmarks.results import Server, aggregator
from benchmarks.surroundings import Surroundings
from benchmarks.tickets import processor_time
from nodeprefetch.batch import AnyEvent, Batch
from nodeprefetch.events import AttemptFinished, AttemptStarted, ImageFinished, Outcome, Phase, Progress, RunStarted
from nodeprefetch.settings import PullPolicy
from nodeprefetch.submit.submitter import PROGRESS_INTERVAL

_IMAGES, _AT_ONCE, _READERS = 40, 4, 3
"""Images of each node, those that it pulls at the same time, and pages that are open."""

_TURN = 15.0
"""Seconds after which one of a node's pulls is done, and the next one begins."""

_MEASURED = 20.0
"""Seconds."""

_CONNECTIONS = 1_000
_SIZE = 200_000_000
_NAMES = [f"registry.example.com/team/application-{number}:2026.11" for number in range(_IMAGES)]


def board(around: Surroundings) -> Iterator[Figure]:
    """Let 100 of 1,000 nodes pull, as with tickets, then all of 1,000 and of 5,000."""
    for nodes, pulling in ((1_000, 100), (1_000, 1_000), (5_000, 5_000)):
        with aggregator(around, f"board-{nodes}-{pulling}") as server:
            yield from trio.run(_measure, server, nodes, pulling)


async def _measure(server: Server, nodes: int, pulling: int) -> list[Figure]:
    fleet = [_Node(number, pulls=number < pulling) for number in range(nodes)]
    async with trio.open_nursery() as nursery:
        connections = min(nodes, _CONNECTIONS)
        for first in range(connections):
            nursery.start_soon(_follow, server, fleet[first::connections])
        while not all(node.has_turned for node in fleet[:pulling]):  # noqa: ASYNC110
            await trio.sleep(1)
        name = f"{nodes:,} nodes x {_IMAGES} images, {pulling:,} pull"
        figures = [await _share(server, fleet, f"{name}: processor time, nobody reads")]
        for _ in range(_READERS):
            nursery.start_soon(_read, server)
        await trio.sleep(3)
        goal = 10 if nodes == 1_000 else None  # noqa: PLR2004
        figures.append(await _share(server, fleet, f"  {_READERS} pages open", goal))
        figures.append(_difference(figures))
        seconds, size = await trio.to_thread.run_sync(_ask_often, server)
        figures += [
            milliseconds("  GET /v1/board as JSON", seconds),
            Figure(name="  its size", unit="KB", values=(size / 1000,)),
            mebibytes("  memory of the aggregator, at most", [peak_memory(server.pid)]),
        ]
        nursery.cancel_scope.cancel()
    return figures


async def _share(server: Server, fleet: "list[_Node]", name: str, goal: float | None = None) -> Figure:
    """Return percent of a processor."""
    sent, used, began = sum(node.batches for node in fleet), processor_time(server.pid), time.monotonic()
    await trio.sleep(_MEASURED)
    seconds = time.monotonic() - began
    rate = (sum(node.batches for node in fleet) - sent) / seconds
    share = 100 * (processor_time(server.pid) - used) / seconds
    return Figure(name=f"{name} ({rate:.0f} batches/s)", unit="%", values=(share,), goal=goal)


def _difference(shares: list[Figure]) -> Figure:
    without, reading = (figure.median for figure in shares)
    return Figure(name="  of that for the pages", unit="%", values=(reading - without,))


def _ask_often(server: Server) -> tuple[list[float], int]:
    seconds, size = [], 0
    for _ in range(5):
        time.sleep(1.1)
        began = time.monotonic()
        connection = http.client.HTTPConnection(*server.reading)
        connection.request("GET", "/v1/board")
        size = len(connection.getresponse().read())
        seconds.append(time.monotonic() - began)
        connection.close()
    return seconds, size


async def _read(server: Server) -> None:
    """Read a stream as a page does, and do nothing with it."""
    async with await trio.open_tcp_stream(*server.reading) as stream:
        await stream.send_all(b"GET /v1/board HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n")
        while await stream.receive_some(1 << 20):
            pass


@dataclass
class _Node:
    """A node that pulls."""

    number: int
    pulls: bool
    """Otherwise it waits for a ticket."""

    batches: int = 0
    has_turned: bool = False
    """Whether one of its pulls is done."""

    due: float = 0.0
    """When it sends its next batch."""

    _turn: float = 0.0
    _pulls: list[tuple[int, int]] = field(default_factory=list)
    """Images that are pulled, and bytes that are there."""

    _next: int = 0

    def __post_init__(self) -> None:
        self.due = self._turn = trio.current_time() + random.uniform(0, _TURN)

    def batch(self) -> bytes:
        """Return what it says next: at its turns, and for progress."""
        events: list[AnyEvent] = []
        if not self.batches:
            events.append(self._run())
        elif self.due >= self._turn:
            events += self._finish(self._pulls.pop(0)[0])
            self.has_turned = True
        if self.due >= self._turn:
            self._turn += _TURN
        while self.pulls and len(self._pulls) < _AT_ONCE and self._next < _IMAGES:
            events.append(
                AttemptStarted(attempt_id=self._attempt(self._next), image=_NAMES[self._next], attempt=1, limit=30)
            )
            self._pulls.append((self._next, 0))
            self._next += 1
        self._pulls = [(image, min(_SIZE, done + 7_654_321)) for image, done in self._pulls]
        events += [self._progress(image, done) for image, done in self._pulls]
        self.batches += 1
        about = {"run_id": f"run-{self.number}", "node": f"ip-10-0-{self.number}.eu-west-1.internal"}
        return msgspec.msgpack.encode(Batch(**about, version="1", instance="my-images", events=tuple(events)))

    def answered(self, progress_interval: float) -> None:
        """Set when it sends its next batch."""
        self.due = min(self.due + progress_interval, self._turn) if self.pulls else inf

    def _attempt(self, image: int) -> str:
        return f"00000000-0000-4000-8000-{self.number:06x}{image:03x}{self.batches:03x}"

    def _run(self) -> RunStarted:
        return RunStarted(
            run_id=f"run-{self.number}",
            node="node",
            version="1",
            runtime="containerd 2.1.4",
            socket="/run/containerd/containerd.sock",
            images=tuple(_NAMES),
            instance="my-images",
        )

    def _progress(self, image: int, done: int) -> Progress:
        return Progress(
            attempt_id="a",
            image=_NAMES[image],
            phase=Phase.DOWNLOADING,
            done_bytes=done,
            total_bytes=_SIZE,
            rate=random.randrange(1_000_000, 2_000_000),
        )

    def _finish(self, image: int) -> list[AnyEvent]:
        about = {"image": _NAMES[image], "size": _SIZE, "digest": f"sha256:{image:064}"}
        attempt = AttemptFinished(
            attempt_id=self._attempt(image), attempt=1, started_at=time.time(), duration=15, limit=30, **about
        )
        end = ImageFinished(
            outcome=Outcome.SUCCEEDED, policy=PullPolicy.IF_NOT_PRESENT, attempts=1, elapsed=15, **about
        )
        return [attempt, end]


async def _follow(server: Server, nodes: list[_Node]) -> None:
    """Send what the nodes of one connection say."""
    async with _connected(server, nodes[0].number) as stream:
        while True:
            node = min(nodes, key=lambda each: each.due)
            await trio.sleep_until(node.due)
            answer = msgspec.json.decode(await _post(stream, node.batch()))
            node.answered(answer.get("progress_interval", PROGRESS_INTERVAL))


@asynccontextmanager
async def _connected(server: Server, number: int) -> AsyncIterator[trio.SocketStream]:
    with trio.socket.socket() as socket:
        await socket.bind((f"127.0.{1 + number // 250}.{1 + number % 250}", 0))
        await socket.connect(server.submission)
        yield trio.SocketStream(socket)


async def _post(stream: trio.SocketStream, body: bytes) -> bytes:
    """Return the body of the answer."""
    head = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/msgpack\r\n"
    await stream.send_all(head + b"content-length: %d\r\n\r\n" % len(body) + body)
    answer = b""
    while not answer.endswith(b"}"):
        part = await stream.receive_some(4096)
        if not part:
            raise RuntimeError(f"the aggregator hung up: {answer!r}")
        answer += part
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(answer[:500].decode(errors="replace"))
    return answer.partition(b"\r\n\r\n")[2]
