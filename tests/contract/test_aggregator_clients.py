"""Clients that take nothing, say nothing, or take back what they asked for: raw connections to a real aggregator."""

import re
import socket
from contextlib import ExitStack, contextmanager, suppress

import h2.config
import h2.connection
import h2.events
import msgspec
import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes, Settings

from nodeprefetch.aggregator.server.middleware import REQUEST
from nodeprefetch.aggregator.settings import Bounds
from tests.support.aggregator import on_any_port, running_aggregator
from tests.support.batches import attempt, batch_of
from tests.support.patience import eventually
from tests.support.ticket_requests import waiting

LINES = {"content-type": "application/x-ndjson"}
MUCH = b"\n".join(msgspec.json.encode(batch_of(*[attempt("image" * 100) for _ in range(100)])) for _ in range(40))
"""Results whose JSON is more than all windows and buffers on the way hold."""


def gauge(running, name):
    text = running.ask("GET", "/metrics", headers={"accept": "text/plain"}).body.decode()
    return float(re.search(rf"^nodeprefetch_aggregator_{name} (\S+)$", text, re.MULTILINE)[1])


class Peer:
    """HTTP/2 by h2: it says what its streams' windows are, and opens them no further by itself."""

    def __init__(self, port, window=65535):
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.local_settings = Settings(initial_values={SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.h2.initiate_connection()
        self.flush()
        self.events = []
        self.data = {}

    def flush(self):
        with suppress(ConnectionError):  # what came before is read all the same
            self.socket.sendall(self.h2.data_to_send())

    def ask(self, stream, path, method="GET", *, end=True, **headers):
        fields = {":method": method, ":scheme": "http", ":path": path, ":authority": "x"} | headers
        self.h2.send_headers(stream, list(fields.items()), end_stream=end)

    def read_until(self, is_enough):
        """Read until the events so far are enough, or the connection ends. Returns whether they are."""
        while not is_enough(self.events):
            try:
                part = self.socket.recv(65536)
            except ConnectionError:
                part = b""
            if not part:
                return False
            for event in self.h2.receive_data(part):
                if isinstance(event, h2.events.DataReceived):
                    self.data[event.stream_id] = self.data.get(event.stream_id, b"") + event.data
                self.events.append(event)
            self.flush()
        return True

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def ended(count, kind=h2.events.StreamEnded):
    return lambda events: sum(isinstance(event, kind) for event in events) >= count


@contextmanager
def aggregator(**bounds):
    with running_aggregator(on_any_port(bounds=Bounds(**bounds))) as running:
        yield running


def test_an_answer_that_no_window_lets_through_is_reset_and_the_connection_goes_on():
    with aggregator(stuck_time=3) as running, Peer(running.http_port, window=0) as peer:
        assert 200 == running.ask("POST", "/v1/events", MUCH, LINES).status
        for stream in range(1, 11, 2):
            peer.ask(stream, "/metrics")
        peer.flush()

        assert peer.read_until(ended(5, h2.events.StreamReset))
        assert {ErrorCodes.CANCEL} == {event.error_code for event in peer.of(h2.events.StreamReset)}
        assert {} == peer.data
        assert 5 == gauge(running, "stuck_answers_total")
        assert REQUEST == gauge(running, "in_flight_bytes")  # the one that asks

        peer.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 65535})
        peer.ask(11, "/healthz")
        peer.flush()
        assert peer.read_until(ended(1))
        assert b"ok\n" == peer.data[11]


def test_an_open_request_for_a_ticket_ends_with_its_stream_and_others_of_the_connection_go_on():
    """The first is reset; the second is answered when the second that it may wait is over."""
    fields = {"content-type": "application/json"}
    with running_aggregator(on_any_port(pulling_nodes=0)) as running, Peer(running.http_port) as peer:
        for stream, wait in ((1, 25), (3, 1)):
            body = msgspec.json.encode(waiting(f"node-{stream}", wait=wait))
            peer.ask(stream, "/v1/tickets", "POST", end=False, **fields)
            peer.h2.send_data(stream, body, end_stream=True)
        peer.flush()
        assert eventually(lambda: 2 == gauge(running, "open_ticket_requests"))
        peer.h2.reset_stream(1)
        peer.flush()

        assert eventually(lambda: 1 >= gauge(running, "open_ticket_requests"))
        assert peer.read_until(ended(1))
        assert 0 == msgspec.json.decode(peer.data[3])["ask_again"]
        assert 0 == gauge(running, "open_ticket_requests")


def test_answers_that_nobody_takes_are_within_the_budget_and_the_rest_is_asked_to_come_later():
    """An answer counts for four requests: of 40, which is what one address may hold, 10 are begun."""
    with (
        aggregator(stuck_time=30, in_flight=80 * REQUEST, streams=100) as running,
        Peer(running.http_port, window=0) as peer,
    ):
        assert 200 == running.ask("POST", "/v1/events", MUCH[: 10 * REQUEST].rpartition(b"\n")[0], LINES).status
        for stream in range(1, 81, 2):
            peer.ask(stream, "/metrics")
        peer.flush()

        assert peer.read_until(ended(40, h2.events.ResponseReceived))
        statuses = [dict(event.headers)[":status"] for event in peer.of(h2.events.ResponseReceived)]
        assert {"200", "429"} == set(statuses)
        assert 200 == running.ask("GET", "/healthz").status


def test_a_live_stream_that_no_window_lets_through_gives_its_place_back():
    with aggregator(stuck_time=3) as running, Peer(running.http_port, window=0) as peer:
        for stream in range(1, 11, 2):
            peer.ask(stream, "/v1/events")
        peer.flush()
        assert eventually(lambda: gauge(running, "live_readers") == 5)
        for _ in range(3):
            assert 200 == running.ask("POST", "/v1/events", MUCH, LINES).status

        assert peer.read_until(ended(5, h2.events.StreamReset))
        assert eventually(lambda: gauge(running, "live_readers") == 0)


def test_a_stream_that_its_client_resets_is_worked_on_no_longer():
    with aggregator() as running, Peer(running.http_port) as peer:
        peer.ask(1, "/v1/events")
        peer.flush()
        assert eventually(lambda: gauge(running, "live_readers") == 1)
        peer.h2.reset_stream(1)
        peer.flush()

        assert eventually(lambda: gauge(running, "live_readers") == 0)


def test_a_slow_reader_gets_its_whole_answer():
    with aggregator(stuck_time=5) as running, Peer(running.http_port, window=1000) as peer:
        running.ask("POST", "/v1/events", MUCH, LINES)
        whole = running.ask("GET", "/metrics").body
        peer.ask(1, "/metrics")
        peer.flush()
        while not peer.of(h2.events.StreamEnded):
            before = len(peer.data.get(1, b""))
            assert peer.read_until(
                lambda _, before=before: len(peer.data.get(1, b"")) > before or peer.of(h2.events.StreamEnded)
            )
            taken = len(peer.data[1]) - before
            if taken and not peer.of(h2.events.StreamEnded):
                peer.h2.increment_flow_control_window(taken * 2, 1)
                peer.h2.increment_flow_control_window(taken)
                peer.flush()

        assert whole == peer.data[1]


def test_more_streams_than_the_bound_are_refused_one_by_one():
    with aggregator() as running, Peer(running.http_port) as peer:
        for stream in range(1, 31, 2):
            peer.ask(stream, "/v1/events", "POST", end=False, **{"content-type": "application/msgpack"})
        peer.flush()

        assert peer.read_until(ended(5, h2.events.StreamReset))
        assert {ErrorCodes.REFUSED_STREAM} == {event.error_code for event in peer.of(h2.events.StreamReset)}
        assert {21, 23, 25, 27, 29} == {event.stream_id for event in peer.of(h2.events.StreamReset)}


def test_who_takes_back_a_hundred_requests_is_hung_up_on():
    with aggregator() as running, Peer(running.http_port) as peer:
        for stream in range(1, 301, 2):
            peer.ask(stream, "/v1/events", "POST", end=False, **{"content-type": "application/msgpack"})
            peer.h2.reset_stream(stream)
        peer.flush()

        assert peer.read_until(ended(1, h2.events.ConnectionTerminated))
        (end,) = peer.of(h2.events.ConnectionTerminated)
        assert ErrorCodes.ENHANCE_YOUR_CALM == end.error_code
        assert not peer.read_until(lambda _: False)


@pytest.mark.parametrize("resets", [False, True], ids=["no request", "a request taken back"])
def test_an_http2_connection_without_requests_is_closed_when_it_was_idle_for_too_long(resets):
    with aggregator(idle_time=0.3) as running, Peer(running.http_port) as peer:
        if resets:
            peer.ask(1, "/v1/events")
            peer.h2.reset_stream(1)
            peer.flush()

        assert not peer.read_until(lambda _: False)


def opened(running, count):
    return [socket.create_connection(("127.0.0.1", running.http_port), 20) for _ in range(count)]


def test_idle_connections_make_room_for_others():
    with aggregator(connections=10) as running:
        idle = opened(running, 30)

        assert [200, 200] == [running.ask("GET", path).status for path in ("/healthz", "/v1/status")]
        assert gauge(running, "connections") <= 10
        assert gauge(running, "closed_connections_total") >= 20
        for each in idle:
            each.close()


@contextmanager
def full(**more):
    """An aggregator all of whose places have a request under way."""
    with aggregator(connections=4, retry_after=7, **more) as running, ExitStack() as stack:
        for each in opened(running, 2):  # half, which is all that one address gets
            stack.callback(each.close)
            each.sendall(b"GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n")
            assert each.recv(1000).startswith(b"HTTP/1.1 200")
        yield running


def test_where_all_places_are_busy_probes_are_answered_and_others_asked_to_come_later():
    with full() as running:
        for port in (running.http_port, running.grpc_port):
            assert [200, 200] == [running.ask("GET", path, port=port).status for path in ("/healthz", "/readyz")]
        turned_away = running.ask("GET", "/v1/status")

    assert (429, "7", "close") == (
        turned_away.status,
        turned_away.headers["retry-after"],
        turned_away.headers["connection"],
    )
    assert b'"reason":"too_many_connections"' in turned_away.body


def test_connections_that_wait_beyond_the_bound_do_not_keep_probes_out():
    with full() as running:
        waiting = opened(running, 300)

        assert 200 == running.ask("GET", "/healthz").status
        for each in waiting:
            each.close()


def test_a_request_with_two_lengths_is_refused_and_is_the_last_of_its_connection():
    """RFC 9112, section 6.1."""
    hidden = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    both = (
        b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n%b"
        % (5 + len(hidden), hidden)
    )
    with aggregator() as running, socket.create_connection(("127.0.0.1", running.http_port), 20) as client:
        client.sendall(both)
        answer = b"".join(iter(lambda: client.recv(1000), b""))

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert 1 == answer.count(b"HTTP/1.1 ")
    assert b'"reason":"two_lengths"' in answer
