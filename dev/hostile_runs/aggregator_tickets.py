"""Requests for tickets that are left open, and names that fill the aggregator's memory."""

import http.client
import re
import socket
import time
from contextlib import ExitStack, closing

import msgspec

from hostile_runs.attack import Run, attack
from hostile_runs.plain_http import packed, post, results
from nodeprefetch.tickets.messages import TicketRequest, TicketState
from tests.support.aggregator_program import AggregatorProgram

_HEAD = b"POST /v1/tickets HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_LONGEST = 253
"""Bytes of a name."""

_ADDRESSES = 4
_PAUSE = 0.003
"""Seconds between two connections. Faster ones would wait for the aggregator, and /healthz with them."""

_MOST_OPEN = 1_000
_WAITED = 35.0
"""Seconds in which each request is answered that may stay open for 25 s."""


def _waiting(number: int) -> bytes:
    request = TicketRequest(node=f"node-{number}", run_id="1", state=TicketState.WAITING, wait=25)
    body = msgspec.json.encode(request)
    return _HEAD % len(body) + body


def _connected(program: AggregatorProgram, number: int) -> socket.socket:
    address = ("127.0.0.1", program.http_port)
    return socket.create_connection(address, timeout=10, source_address=(f"127.0.0.{2 + number % _ADDRESSES}", 0))


def _open_requests(program: AggregatorProgram) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", program.http_port, timeout=30)) as connection:
        connection.request("GET", "/metrics", headers={"Accept": "text/plain"})
        found = re.search(
            rb"^nodeprefetch_aggregator_open_ticket_requests (\d+)", connection.getresponse().read(), re.MULTILINE
        )
    assert found
    return int(found[1])


@attack("tickets", "2,000 open requests for tickets from four addresses, whose answers nobody reads")
def open_requests(run: Run) -> None:
    """Results are stored meanwhile, and a stop does not wait for the nodes."""
    with run.aggregator("--pulling-nodes", "0", keeps=False) as program, ExitStack() as stack:
        for number in range(2_000):
            connection = stack.enter_context(closing(_connected(program, number)))
            connection.sendall(_waiting(number))
            time.sleep(_PAUSE)
        run.count = 2_000
        ends = time.monotonic() + _WAITED
        while time.monotonic() < ends:
            status, body = post(program, packed(results(10)))
            run.expect(status == 200, f"a submission got {status}: {body[:100]!r}")
            run.expect(_open_requests(program) <= _MOST_OPEN, "too many requests are open")
            time.sleep(1)
        run.expect(_open_requests(program) == 0, "requests are open after their time")


@attack("tickets", "60 nodes that ask for a ticket and hang up, 50 times each")
def hung_up(run: Run) -> None:
    """None of them waits any more."""
    with run.aggregator("--pulling-nodes", "0", keeps=False) as program:
        for number in range(3_000):
            with closing(_connected(program, number)) as connection:
                connection.sendall(_waiting(number % 60))
            time.sleep(_PAUSE)
        run.count = 3_000
        time.sleep(2)
        run.expect(_open_requests(program) == 0, "requests of nodes that have gone are open")


@attack("tickets", "20,000 nodes with names of the maximum length that wait")
def many_names(run: Run) -> None:
    """They hold what they must, and no more."""
    with (
        run.aggregator("--pulling-nodes", "0", keeps=False) as program,
        closing(http.client.HTTPConnection("127.0.0.1", program.http_port, timeout=30)) as connection,
    ):
        for number in range(20_000):
            name = f"{number:0{_LONGEST}}"
            request = TicketRequest(node=name, run_id=name, list_digest=name, zone=name, state=TicketState.WAITING)
            connection.request(
                "POST", "/v1/tickets", msgspec.json.encode(request), {"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            response.read()
            run.expect(response.status == 200, f"a request got {response.status}")
        run.count = 20_000
