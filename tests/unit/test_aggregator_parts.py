"""Parts of the aggregator alone, on virtual time: the way into the store, bounds in hand, what all requests pass."""

import re
from contextlib import aclosing

import pytest
import trio
import trio.lowlevel

from nodeprefetch.aggregator.access.auth import Anyone
from nodeprefetch.aggregator.counters import Budget
from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.serve import serve
from nodeprefetch.aggregator.server.middleware import drained
from nodeprefetch.aggregator.settings import AggregatorSettings, Bounds
from nodeprefetch.aggregator.store.records import Receipt, Submission
from nodeprefetch.aggregator.store.retention import _move_log, keep_in_bounds
from nodeprefetch.aggregator.store.schema import FILE, open_database
from nodeprefetch.aggregator.store.store import Store
from nodeprefetch.aggregator.store.writer import Writer
from nodeprefetch.aggregator.web.grpc import MetricsRoute
from nodeprefetch.aggregator.web.metrics import wants_exposition
from nodeprefetch.aggregator.web.service import make_service
from nodeprefetch.aggregator.web.submit import read_body
from nodeprefetch.rpc import Status
from nodeprefetch.rpc.frames import frame_message
from nodeprefetch.rpc.metrics import Result
from tests.support.aggregator import on_any_port
from tests.support.batches import attempt, batch_of


class CountingStore(Store):
    """Remembers how many requests each transaction had."""

    def write(self, requests, now):
        self.groups = [*getattr(self, "groups", []), len(requests)]
        return super().write(requests, now)


def submission(**about):
    return Submission(batch=batch_of(attempt(), **about))


async def test_who_waits_together_is_stored_in_one_transaction(autojump_clock):
    with open_database(None) as database:
        store = CountingStore(database, Bounds())
        writer = Writer(store)
        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as submitting:
                for _ in range(20):
                    submitting.start_soon(writer.submit, [submission()])
                await trio.sleep(1)
                nursery.start_soon(writer.run)
            nursery.cancel_scope.cancel()

        assert [20] == store.groups


async def test_what_its_client_has_taken_back_is_not_stored(autojump_clock):
    with open_database(None) as database:
        store = CountingStore(database, Bounds())
        writer = Writer(store)
        async with trio.open_nursery() as nursery:
            with trio.move_on_after(1):
                await writer.submit([submission()])
            nursery.start_soon(writer.run)
            await writer.submit([submission(node="node-2")])
            nursery.cancel_scope.cancel()

        assert [1] == store.groups


async def test_a_transaction_has_a_bound(autojump_clock):
    large = Submission(batch=batch_of(*[attempt() for _ in range(4000)]))
    with open_database(None) as database:
        store = CountingStore(database, Bounds())
        writer = Writer(store)
        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as submitting:
                for _ in range(5):
                    submitting.start_soon(writer.submit, [large])
                await trio.sleep(1)
                nursery.start_soon(writer.run)
            nursery.cancel_scope.cancel()

        assert [2, 2, 1] == store.groups


async def test_what_cannot_be_stored_is_not_acknowledged_and_may_come_again(tmp_path, autojump_clock):
    with open_database(tmp_path) as database:
        writer = Writer(Store(database, Bounds()))
        one = submission()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            database.execute("PRAGMA query_only = 1")
            with pytest.raises(RefusedError) as caught:
                await writer.submit([one], b"body")
            database.execute("PRAGMA query_only = 0")
            receipt = await writer.submit([one], b"body")
            nursery.cancel_scope.cancel()

    assert (503, "not_stored", 5) == (caught.value.status, caught.value.reason, caught.value.retry_after)
    assert Status.UNAVAILABLE == caught.value.grpc_status
    assert Receipt(accepted=1, duplicates=0) == receipt


def test_all_requests_together_have_a_bound():
    budget = Budget(100, 5)
    with budget.reservation() as one, budget.reservation() as other:
        one.take(60)
        with pytest.raises(RefusedError) as caught:
            other.take(41)
        other.take(40)

    assert ("busy", Status.UNAVAILABLE, 0) == (caught.value.reason, caught.value.grpc_status, budget.used)


async def test_a_compressed_body_is_bounded_as_it_comes():
    async def receive():
        return {"type": "http.request", "body": b"\x1f\x8b\x08" + b"\0" * 7, "more_body": True}

    with Budget(10_000, 5).reservation() as held, pytest.raises(RefusedError) as caught:
        await read_body(receive, {"content-encoding": "gzip"}, Bounds(body=5), held)

    assert 413 == caught.value.status


async def test_a_web_socket_is_turned_away():
    sent = []

    async def send(message):
        sent.append(message)

    async def unused(*_):
        raise AssertionError

    await drained(unused)({"type": "websocket"}, unused, send)

    assert [{"type": "websocket.close"}] == sent


async def test_a_refused_body_is_taken_in_for_two_seconds_and_no_longer(autojump_clock):
    """Parts of it come each half a second: four are taken in before the answer ends."""
    events = []

    async def receive():
        await trio.sleep(0.5)
        events.append("part")
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def send(message):
        events.append(message["type"])

    async def app(scope, receive, send):
        await send({"type": "http.response.start"})
        await send({"type": "http.response.body"})

    await drained(app)({"type": "http"}, receive, send)

    assert 2 == trio.current_time()
    assert ["http.response.start", *["part"] * 3] == events[:4]
    assert "http.response.body" == events[-1] or "http.response.body" == events[-2]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("text/html", False),
        ("text/plain", True),
        ("Text/Plain; version=0.0.4", True),
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5,*/*;q=0.1", True),
    ],
)
def test_the_exposition_is_for_who_names_its_type(accept, expected):
    assert expected == wants_exposition(accept)


async def test_the_log_is_moved_into_the_database(tmp_path, autojump_clock):
    with open_database(tmp_path) as database:
        settings = AggregatorSettings(data_dir=tmp_path, max_results=100)
        store = Store(database, Bounds())
        service = make_service(settings, store, Anyone(), lambda _: None)
        for number in range(20):
            batch = batch_of(*[attempt(f"{number}:1", error="x" * 1000) for _ in range(300)])
            store.write([[Submission(batch=batch)]], 2**40)
        before = (tmp_path / FILE).stat().st_size
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_in_bounds, service.store, service.settings)
            while (tmp_path / FILE).stat().st_size == before:  # noqa: ASYNC110 - by a thread, in real time
                await trio.sleep(1)
            nursery.cancel_scope.cancel()

        assert 100 == store.records.attempts
        assert 5900 == store.records.forgotten["attempt"]


async def test_a_file_gets_smaller_when_its_results_are_forgotten(tmp_path, autojump_clock):
    """However small the log is, which alone knows at first that the end of the file is free."""
    with open_database(tmp_path) as database:
        settings = AggregatorSettings(data_dir=tmp_path, retention=1)
        store = Store(database, Bounds())
        store.write([[Submission(batch=batch_of(*[attempt(error="x" * 1000) for _ in range(3000)]))]], 1)
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        before = (tmp_path / FILE).stat().st_size
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_in_bounds, store, settings)
            while (tmp_path / FILE).stat().st_size > before / 2:  # noqa: ASYNC110 - by a thread, in real time
                await trio.sleep(1)
            nursery.cancel_scope.cancel()


async def test_many_pages_are_given_back_in_a_round(tmp_path):
    def pages():
        ((count,),) = database.execute("PRAGMA page_count").fetchall()
        return count

    with open_database(tmp_path) as database:
        store = Store(database, Bounds())
        store.write([[Submission(batch=batch_of(*[attempt(error="x" * 1000) for _ in range(3000)]))]], 1)
        database.execute("DELETE FROM attempt")
        before = pages()

        await _move_log(database, tmp_path / FILE)

        assert before - 200 == pages()


async def test_a_round_that_fails_is_told_and_the_next_one_tried(tmp_path, autojump_clock):
    said = []
    with open_database(tmp_path) as database:
        store = Store(database, Bounds(), log=said.append)
        store.write([[submission()]], 1)
        service = make_service(AggregatorSettings(retention=1), store, Anyone(), said.append)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_in_bounds, service.store, service.settings)
            database.execute("PRAGMA query_only = 1")
            await trio.sleep(3.5)
            failed, unhealthy = len(said), not store.is_healthy
            database.execute("PRAGMA query_only = 0")
            await trio.sleep(1)
            nursery.cancel_scope.cancel()

    assert (1, True, 0) == (failed, unhealthy, store.records.attempts)
    assert store.is_healthy
    assert "database can be written again" == said[1]


async def test_a_signals_number_ends_it_and_comes_back():
    async def signals():
        await trio.lowlevel.checkpoint()
        yield 15

    lines = []
    async with aclosing(signals()) as stop:
        assert 15 == await serve(on_any_port(), log=lines.append, stop=stop)
    assert [
        "listening on http://127.0.0.1:* (queries and submissions)",
        "listening on http://127.0.0.1:* (submissions)",
    ] == [re.sub(r":\d+", ":*", line) for line in lines]


async def submit_by_grpc(service, parts, ends):
    """Call `Metrics/Submit` with a body in these parts, and record the time of its end."""
    remaining = list(parts)

    async def receive():
        return {"type": "http.request", "body": remaining.pop(0), "more_body": bool(remaining)}

    async def send(_):
        await trio.lowlevel.checkpoint()

    headers = [(b"content-type", b"application/grpc")]
    await MetricsRoute(service)({"method": "POST", "http_version": "2", "headers": headers}, receive, send)
    ends.append(trio.current_time())


@pytest.mark.parametrize(("size", "part", "end"), [(100, 10_000, 0), (5000, 10_000, 10), (5000, 500, 10)])
async def test_a_large_grpc_message_waits_for_the_lock_in_whatever_parts_it_arrives(
    tmp_path, autojump_clock, size, part, end
):
    """Something else holds the lock until 10; a small message does not need it."""
    body, ends = frame_message(bytes(Result(attempt_id="x", image="a:1", node="n", error="x" * size))), []
    with open_database(tmp_path) as database:
        service = make_service(AggregatorSettings(), Store(database, Bounds()), Anyone(), lambda _: None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(service.writer.run)
            async with service.lock.hold("other"):
                parts = [body[begin : begin + part] for begin in range(0, len(body), part)]
                nursery.start_soon(submit_by_grpc, service, parts, ends)
                await trio.sleep(10)
            await trio.sleep(1)
            nursery.cancel_scope.cancel()

    assert [end] == ends
