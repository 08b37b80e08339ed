"""Measure what the board costs while all nodes pull: the aggregator's processor time without and with pages open."""

import http.client
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

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

_IMAGES, _AT_ONCE, _READERS = 40, 4, 3
"""Images of each node, those that it pulls at the same time, and pages that are open."""

_EVERY = 5.0
"""Seconds between two batches of a node, as `fetch` sends progress."""

_TURN = 3
"""Batches after which one of a node's pulls is done, and the next one begins."""

_MEASURED = 20.0
"""Seconds."""

_CONNECTIONS = 1_000
_SIZE = 200_000_000
_NAMES = [f"registry.example.com/team/application-{number}:2026.11" for number in range(_IMAGES)]


def board(around: Surroundings) -> Iterator[Figure]:
    """Let 1,000 nodes pull, then 5,000."""
    for nodes in (1_000, 5_000):
        with aggregator(around, f"board-{nodes}") as server:
            yield from trio.run(_measure, server, nodes)


async def _measure(server: Server, nodes: int) -> list[Figure]:
    fleet = [_Node(number) for number in range(nodes)]
    async with trio.open_nursery() as nursery:
        connections = min(nodes, _CONNECTIONS)
        for first in range(connections):
            nursery.start_soon(_follow, server, fleet[first::connections])
        while any(node.batches < 2 for node in fleet):  # noqa: ASYNC110, PLR2004 - all pull
            await trio.sleep(1)
        name = f"{nodes:,} nodes x {_IMAGES} images, all pull"
        figures = [await _share(server, fleet, f"{name}: processor time, nobody reads")]
        for _ in range(_READERS):
            nursery.start_soon(_read, server)
        await trio.sleep(3)
        figures.append(await _share(server, fleet, f"  {_READERS} pages open"))
        figures.append(_difference(figures, goal=10 if nodes == 1_000 else None))  # noqa: PLR2004
        seconds, size = await trio.to_thread.run_sync(_ask_often, server)
        figures += [
            milliseconds("  GET /v1/board as JSON", seconds),
            Figure(name="  its size", unit="KB", values=(size / 1000,)),
            mebibytes("  memory of the aggregator, at most", [peak_memory(server.pid)]),
        ]
        nursery.cancel_scope.cancel()
    return figures


async def _share(server: Server, fleet: "list[_Node]", name: str) -> Figure:
    """Return percent of a processor."""
    sent, used, began = sum(node.batches for node in fleet), processor_time(server.pid), time.monotonic()
    await trio.sleep(_MEASURED)
    seconds = time.monotonic() - began
    rate = (sum(node.batches for node in fleet) - sent) / seconds
    share = 100 * (processor_time(server.pid) - used) / seconds
    return Figure(name=f"{name} ({rate:.0f} batches/s)", unit="%", values=(share,))


def _difference(shares: list[Figure], goal: float | None) -> Figure:
    without, reading = (figure.median for figure in shares)
    return Figure(name="  of that for the pages", unit="%", values=(reading - without,), goal=goal)


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
    batches: int = 0
    _pulls: list[tuple[int, int]] = field(default_factory=list)
    """Images that are pulled, and bytes that are there."""

    _next: int = 0

    def batch(self) -> bytes:
        """Return what it says next."""
        events: list[AnyEvent] = []
        if not self.batches:
            events.append(self._run())
        elif self.batches % _TURN == self.number % _TURN and self._pulls:
            events += self._finish(self._pulls.pop(0)[0])
        while len(self._pulls) < _AT_ONCE and self._next < _IMAGES:
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
    """Send what the nodes of one connection say, each every few seconds."""
    await trio.sleep(random.uniform(0, _EVERY))
    async with _connected(server, nodes[0].number) as stream:
        due = trio.current_time()
        while True:
            for node in nodes:
                await trio.sleep_until(due)
                due += _EVERY / len(nodes)
                await _post(stream, node.batch())


@asynccontextmanager
async def _connected(server: Server, number: int) -> AsyncIterator[trio.SocketStream]:
    with trio.socket.socket() as socket:
        await socket.bind((f"127.0.{1 + number // 250}.{1 + number % 250}", 0))
        await socket.connect(server.submission)
        yield trio.SocketStream(socket)


async def _post(stream: trio.SocketStream, body: bytes) -> None:
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
