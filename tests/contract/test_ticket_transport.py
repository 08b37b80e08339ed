"""Requests for tickets over real HTTP, and what is no answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
import trio

from nodeprefetch.submit.destination import read_destination
from nodeprefetch.submit.tickets import HttpTickets, open_tickets
from nodeprefetch.tickets.client import NoAnswerError
from nodeprefetch.tickets.messages import TicketReply, TicketRequest, TicketState

REQUEST = TicketRequest(
    node="n1", run_id="r1", state=TicketState.WAITING, instance="web", list_digest="abc", zone="z1", wait=25
)
REPLY = TicketReply(granted=False, ask_again=20, position=17, pulling=10, limit=10)


@dataclass(kw_only=True)
class Canned:
    """Answers every request with the same bytes; none: it closes the connection."""

    answer: bytes
    port: int = 0
    connections: int = 0
    received: list[bytes] = field(default_factory=list)

    async def serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        async with stream:
            read = b""
            while data := await stream.receive_some():
                read += data
                head, _, body = read.partition(b"\r\n\r\n")
                if b"content-length: %d" % len(body) in head.lower() and body:
                    self.received.append(read)
                    read = b""
                    if not self.answer:
                        return
                    await stream.send_all(self.answer)


@asynccontextmanager
async def canned(answer: bytes) -> AsyncIterator[Canned]:
    server = Canned(answer=answer)
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        server.port = listener.socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, server.serve, [listener])
        yield server
        nursery.cancel_scope.cancel()


def http(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


def tickets_at(port: int, path: str = "", token_file: str | None = None):
    return open_tickets(read_destination(f"http://127.0.0.1:{port}{path}", token_file=token_file))


async def ask(tickets: HttpTickets) -> TicketReply:
    with trio.fail_after(300):
        return await tickets.ask(REQUEST)


async def test_a_request_is_json_with_the_token_on_a_kept_connection(tmp_path: Path):
    (tmp_path / "token").write_text("s3cr3t")
    async with (
        canned(http("200 OK", msgspec.json.encode(REPLY))) as server,
        tickets_at(server.port, "/prefix", str(tmp_path / "token")) as tickets,
    ):
        replies = [await ask(tickets), await ask(tickets)]

    head, _, body = server.received[0].partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert "post /prefix/v1/tickets http/1.1" == lines[0]
    assert {"content-type: application/json", "authorization: bearer s3cr3t"} <= set(lines)
    assert REQUEST == msgspec.json.decode(body, type=TicketRequest)
    assert [REPLY, REPLY] == replies
    assert 1 == server.connections


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (http("401 Unauthorized", b'{"error": "invalid token"}'), r"HTTP status 401: .*invalid token"),
        (http("404 Not Found", b""), "HTTP status 404"),
        (http("503 Service Unavailable", b"too many"), "HTTP status 503: too many"),
        (http("200 OK", b"<html>"), "invalid answer"),
        (http("200 OK", b'{"ask_again": "soon"}'), "invalid answer"),
        (http("204 No Content", b""), "HTTP status 204"),
        (b"\x00\x00\x06\x04\x00\x00\x00\x00\x00", "127.0.0.1"),
        (b"", "127.0.0.1"),
    ],
)
async def test_anything_else_is_no_answer(answer, why):
    async with canned(answer) as server, tickets_at(server.port) as tickets:
        with pytest.raises(NoAnswerError, match=why):
            await ask(tickets)


async def test_an_aggregator_that_is_away_is_found_again():
    async with canned(http("200 OK", msgspec.json.encode(REPLY))) as server:
        port = server.port
    async with tickets_at(port) as tickets:
        with pytest.raises(NoAnswerError, match=f"http://127.0.0.1:{port}: .*refused"):
            await ask(tickets)
        (listener,) = await trio.open_tcp_listeners(port, host="127.0.0.1")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, server.serve, [listener])
            assert REPLY == await ask(tickets)
            nursery.cancel_scope.cancel()


async def test_the_token_is_in_no_message(tmp_path: Path):
    (tmp_path / "token").write_text("s3cr3t-value")
    answer = http("403 Forbidden", b"the token s3cr3t-value may not")
    async with canned(answer) as server, tickets_at(server.port, token_file=str(tmp_path / "token")) as tickets:
        with pytest.raises(NoAnswerError, match=r"the token \*\*\* may not"):
            await ask(tickets)
