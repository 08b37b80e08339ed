"""Measure 1,000 nodes that ask the aggregator for tickets at the same time, over real HTTP."""

import os
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import trio

from benchmarks.figures import Figure, mebibytes
from benchmarks.processes import peak_memory
from benchmarks.results import Server, aggregator
from benchmarks.surroundings import Surroundings
from nodeprefetch.tickets.messages import TicketReply, TicketRequest, TicketState
from nodeprefetch.tickets.spread import place

_NODES, _AT_ONCE = 1000, 10
_PULL = 0.05
"""Seconds for which a node holds its ticket."""

_WAIT = 25.0
"""Seconds that a request may stay open."""

_ROUNDS = 2
"""How often each node asks in vain while the load of that is measured."""

_INSTANCE = "my-images"
_NAMES = [f"ip-10-0-{number // 250}-{number % 250}.eu-west-1.compute.internal" for number in range(_NODES)]


def tickets(around: Surroundings) -> Iterator[Figure]:
    """Let all nodes pull, ten at a time; then let them wait while nobody may pull."""
    with aggregator(around, "tickets", flags=["--pulling-nodes", str(_AT_ONCE)]) as server:
        nodes = _Nodes(server)
        trio.run(nodes.all_pull)
        took = nodes.granted_at[-1] - nodes.granted_at[0]
        yield Figure(name="1,000 nodes, ten at a time, 50 ms each: first to last ticket", unit="s", values=(took,))
        yield Figure(
            name="  places by which a ticket was early or late, at most",
            unit="",
            values=(nodes.disorder(),),
            goal=_AT_ONCE,
        )
        yield mebibytes("  memory of the aggregator, at most", [peak_memory(server.pid)], goal=60)
    with aggregator(around, "waiting", flags=["--pulling-nodes", "0"]) as server:
        share = trio.run(_Nodes(server).all_wait)
        yield Figure(name="1,000 nodes that wait: processor time of the aggregator", unit="%", values=(share,), goal=10)
        yield mebibytes("  memory of the aggregator, at most", [peak_memory(server.pid)], goal=60)


@dataclass
class _Nodes:
    """The nodes, each with a connection and an address of its own."""

    server: Server
    granted: list[str] = field(default_factory=list)
    """Nodes in the order in which they saw their tickets."""

    granted_at: list[float] = field(default_factory=list)
    _first_answer: trio.Event = field(default_factory=trio.Event)

    async def all_pull(self) -> None:
        async with trio.open_nursery() as nursery:
            for name in random.sample(_NAMES, _NODES):
                nursery.start_soon(self._pull, name)

    async def all_wait(self) -> float:
        """Return percent of a processor, from the first answer to the last."""
        async with trio.open_nursery() as nursery:
            for name in random.sample(_NAMES, _NODES):
                nursery.start_soon(self._wait, name)
            await self._first_answer.wait()
            began, used = time.monotonic(), processor_time(self.server.pid)
        return 100 * (processor_time(self.server.pid) - used) / (time.monotonic() - began)

    def disorder(self) -> int:
        """By how many places the order of tickets differs from that of the nodes' places, at most."""
        wanted = sorted(_NAMES, key=lambda name: place(_INSTANCE, name))
        return max(abs(self.granted.index(name) - number) for number, name in enumerate(wanted))

    async def _pull(self, name: str) -> None:
        async with self._connected(name) as client:
            reply = TicketReply(ask_again=0)
            while not reply.granted:
                await trio.sleep(reply.ask_again)
                reply = await client.ask(TicketState.WAITING)
            self.granted.append(name)
            self.granted_at.append(time.monotonic())
            await trio.sleep(_PULL)
            await client.ask(TicketState.DONE)

    async def _wait(self, name: str) -> None:
        async with self._connected(name) as client:
            for _ in range(1 + _ROUNDS):
                reply = await client.ask(TicketState.WAITING)
                self._first_answer.set()
                await trio.sleep(reply.ask_again)

    @asynccontextmanager
    async def _connected(self, name: str) -> AsyncIterator["_Client"]:
        number = _NAMES.index(name)
        with trio.socket.socket() as socket:
            await socket.bind((f"127.0.{1 + number // 250}.{1 + number % 250}", 0))
            await socket.connect(self.server.submission)
            yield _Client(trio.SocketStream(socket), name)


@dataclass
class _Client:
    """A connection of HTTP/1.1. Sends no more than needed, so that the load is the aggregator's."""

    stream: trio.SocketStream
    name: str

    async def ask(self, state: TicketState) -> TicketReply:
        """Ask, and wait for the answer."""
        body = msgspec.json.encode(
            TicketRequest(
                node=self.name,
                run_id="0123456789abcdef0123456789abcdef",
                state=state,
                instance=_INSTANCE,
                list_digest=f"sha256:{0:064}",
                zone="eu-west-1a",
                wait=_WAIT if state is TicketState.WAITING else 0,
            )
        )
        head = b"POST /v1/tickets HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        await self.stream.send_all(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        answer = b""
        while not answer.endswith(b"}"):
            part = await self.stream.receive_some(4096)
            if not part:
                raise RuntimeError(f"the aggregator hung up: {answer!r}")
            answer += part
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(answer[:500].decode(errors="replace"))
        return msgspec.json.decode(answer.partition(b"\r\n\r\n")[2], type=TicketReply)


def processor_time(pid: int) -> float:
    """Seconds used by a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
