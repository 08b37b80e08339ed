"""The submitter against a real HTTP server that misbehaves."""

import subprocess
import sys
from contextlib import suppress
from functools import partial

import pytest
import trio

from nodeprefetch.events import AttemptFinished, RunEnd, RunFinished, RunStarted
from nodeprefetch.submit.submitter import Submitter
from tests.support.fake_aggregator import HTTP2_FRAMES, FakeAggregator, HangUp, Reply
from tests.support.reporting import reporting, until

STARTED = RunStarted(
    run_id="r1", node="n1", version="1.2", runtime="containerd 2.1", socket="/run/c.sock", images=("a",), instance="i"
)
FINISHED = RunFinished(run_id="r1", end=RunEnd.FINISHED, succeeded=1, present=0, failed=0, elapsed=1)


def attempt(number: int, error: str = "") -> AttemptFinished:
    return AttemptFinished(
        attempt_id=f"a{number}", image="a", attempt=1, started_at=1, duration=1, limit=30, error=error
    )


def attempt_ids(events) -> list[str]:
    return [event.attempt_id for event in events if isinstance(event, AttemptFinished)]


@pytest.fixture
def aggregator():
    with FakeAggregator() as running:
        yield running


def submitter(endpoint: str, said: list[str] | None = None, **options) -> Submitter:
    warn = (said if said is not None else []).append
    return Submitter(endpoint, **{"warn": warn, "node": "n0", "jitter": lambda: 0.1, **options})


async def seen(aggregator: FakeAggregator, is_so) -> None:
    await trio.to_thread.run_sync(partial(aggregator.wait_until, is_so))


async def test_an_event_arrives_while_the_run_goes_on(aggregator):
    async with reporting(submitter(aggregator.endpoint), STARTED):
        await seen(aggregator, lambda it: [STARTED] == it.events)


async def test_a_batch_says_who_sent_it(aggregator):
    async with reporting(submitter(aggregator.endpoint), STARTED, attempt(1), FINISHED):
        pass

    assert [STARTED, attempt(1).attempt_id, FINISHED] == [
        getattr(event, "attempt_id", event) for event in aggregator.events
    ]
    batch = aggregator.batches[0]
    assert ("r1", "n1", "i", "1.2") == (batch.run_id, batch.node, batch.instance, batch.version)
    request = aggregator.requests[0]
    assert "/v1/events" == request.path
    assert "application/msgpack" == request.headers["content-type"]
    assert "content-encoding" not in request.headers
    assert "authorization" not in request.headers


async def test_a_large_batch_is_compressed(aggregator):
    async with reporting(submitter(aggregator.endpoint), STARTED, *map(attempt, range(400))):
        pass

    request = aggregator.requests[0]
    assert "gzip" == request.headers["content-encoding"]
    assert 8000 > request.size
    assert 400 == len(attempt_ids(aggregator.events))


async def test_all_batches_travel_over_one_connection(aggregator):
    reporter = submitter(aggregator.endpoint)
    async with reporting(reporter, STARTED):
        for number in range(5):
            await seen(aggregator, lambda it, number=number: len(it.requests) == number + 1)
            reporter.emit(attempt(number))

    assert 6 == len(aggregator.requests)
    assert 1 == len({request.peer for request in aggregator.requests})


async def test_a_path_in_front_of_the_route_is_kept(aggregator):
    async with reporting(submitter(f"http://{aggregator.endpoint}/prefix/"), STARTED):
        pass

    assert "/prefix/v1/events" == aggregator.requests[0].path


async def test_an_aggregator_that_comes_late_gets_everything():
    aggregator = FakeAggregator()
    said: list[str] = []
    reporter = submitter(aggregator.endpoint, said)
    try:
        async with reporting(reporter, STARTED, *map(attempt, range(50))):
            await until(lambda: said)
            aggregator.start()
            await seen(aggregator, lambda it: len(it.events) == 51)
        assert [f"a{number}" for number in range(50)] == attempt_ids(aggregator.events)
    finally:
        aggregator.stop()
    (line,) = said
    assert "Connection refused" in line
    assert "\n" not in line


async def test_an_aggregator_without_a_name_in_dns_costs_nothing():
    said: list[str] = []
    reporter = submitter("no-such-host.invalid:8443", said)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reporter.run)
        reporter.emit(STARTED)
        await until(lambda: said)
        nursery.cancel_scope.cancel()

    assert "is unavailable, retrying: cannot connect" in said[0]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
async def test_trouble_that_passes_is_waited_for(aggregator, status):
    aggregator.script.extend([Reply(status=status, body=b"later")] * 3)

    async with reporting(submitter(aggregator.endpoint), STARTED, attempt(1)):
        pass

    assert ["a1"] == attempt_ids(aggregator.events)
    assert 4 == len(aggregator.requests)


async def test_a_batch_that_is_too_large_goes_in_parts(aggregator):
    aggregator.max_body = 5000

    async with reporting(submitter(aggregator.endpoint), STARTED, *map(attempt, range(300))):
        pass

    assert [f"a{number}" for number in range(300)] == attempt_ids(aggregator.events)


async def test_an_event_that_is_too_large_alone_is_dropped_and_said(aggregator):
    aggregator.max_body = 5000
    said: list[str] = []

    async with reporting(
        submitter(aggregator.endpoint, said), STARTED, attempt(1), attempt(2, "x" * 6000), attempt(3), FINISHED
    ):
        pass

    assert ["a1", "a3"] == attempt_ids(aggregator.events)
    assert FINISHED == aggregator.events[-1]
    assert ["cannot receive an event (AttemptFinished): HTTP status 413"] == [
        line.partition(aggregator.endpoint + " ")[2] for line in said
    ]


async def test_a_text_that_cannot_be_written_does_not_hold_up_the_rest(aggregator):
    async with reporting(submitter(aggregator.endpoint), STARTED, attempt(1, "bad \udc80"), attempt(2)):
        pass

    assert ["a2"] == attempt_ids(aggregator.events)


@pytest.mark.parametrize("after", [0, 100, 2000])
async def test_a_connection_closed_in_mid_batch_loses_nothing(aggregator, after):
    aggregator.script.append(Reply())
    aggregator.script.extend([HangUp(after)] * 2)
    reporter = submitter(aggregator.endpoint)

    async with reporting(reporter, STARTED):
        await seen(aggregator, lambda it: it.events)
        for number in range(500):
            reporter.emit(attempt(number))

    assert [f"a{number}" for number in range(500)] == attempt_ids(aggregator.events)


async def test_an_aggregator_killed_and_restarted_gets_everything_that_was_not_acknowledged(aggregator):
    reporter = submitter(aggregator.endpoint)
    async with reporting(reporter, STARTED):
        for number in range(100):
            reporter.emit(attempt(number))
            await trio.sleep(0.003)
            if number % 40 == 20:
                await trio.to_thread.run_sync(aggregator.stop)
            if number % 40 == 30:
                aggregator.start()

    assert {f"a{number}" for number in range(100)} == set(attempt_ids(aggregator.events))


async def test_a_slow_aggregator_does_not_slow_who_tells(aggregator):
    aggregator.always = Reply(after=600)
    reporter = submitter(aggregator.endpoint)
    async with reporting(reporter, STARTED):
        await seen(aggregator, lambda it: it.requests)
        for number in range(100_000):
            reporter.emit(attempt(number))
        assert 1 == len(aggregator.requests)
        aggregator.always = Reply()
        await trio.to_thread.run_sync(aggregator.stop)
        aggregator.start()

    assert 100_000 == len(set(attempt_ids(aggregator.events)))


async def test_finishing_with_a_dead_aggregator_ends_when_the_caller_says_so():
    said: list[str] = []
    reporter = submitter(FakeAggregator().endpoint, said)
    reporter.emit(STARTED)
    reporter.emit(attempt(1))
    with trio.move_on_after(0.3) as grace:
        await reporter.finish()

    assert grace.cancelled_caught
    assert "did not acknowledge 2 results in time: cannot connect" in said[-1]


async def test_finishing_a_request_without_an_answer_ends_when_the_caller_says_so(aggregator):
    aggregator.always = Reply(after=30)
    reporter = submitter(aggregator.endpoint)
    reporter.emit(STARTED)
    with trio.move_on_after(0.3) as grace:
        await reporter.finish()

    assert grace.cancelled_caught


async def test_what_was_under_way_when_the_run_was_cut_is_sent_again_at_the_end(aggregator):
    aggregator.script.append(Reply(status=500, after=30))
    reporter = submitter(aggregator.endpoint)
    reporter.emit(STARTED)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reporter.run)
        await seen(aggregator, lambda it: it.requests)
        nursery.cancel_scope.cancel()
    with trio.fail_after(300):
        await reporter.finish()

    assert [STARTED] == aggregator.events


@pytest.mark.parametrize("status", [400, 401, 403, 302])
async def test_a_refusal_is_said_once_and_tried_again(aggregator, status):
    aggregator.script.extend([Reply(status=status, body=b"because\nof " + b"x" * 5000)] * 3)
    said: list[str] = []

    async with reporting(submitter(aggregator.endpoint, said), STARTED):
        pass

    assert [STARTED] == aggregator.events
    (line,) = said
    assert f"rejects results, will keep retrying: HTTP status {status}: because" in line
    assert "\n" not in line
    assert 400 > len(line)


async def test_where_only_our_stream_is_spoken_a_missing_route_is_a_refusal(aggregator):
    aggregator.script.extend([Reply(status=404)] * 2)
    said: list[str] = []

    async with reporting(submitter(aggregator.endpoint, said, protocol="http"), STARTED):
        pass

    assert [STARTED] == aggregator.events
    assert "rejects results" in said[0]


@pytest.mark.parametrize("sign", [Reply(status=404), Reply(status=405), Reply(status=426), HTTP2_FRAMES, HangUp()])
async def test_a_wrong_guess_at_the_older_tool_is_taken_back(aggregator, sign):
    """The fake speaks no gRPC: the guess fails, and our stream's next try goes through."""
    aggregator.script.append(sign)
    said: list[str] = []

    async with reporting(submitter(aggregator.endpoint, said), STARTED, attempt(1)):
        pass

    assert ["a1"] == attempt_ids(aggregator.events)
    assert "trying gRPC" in said[0]


@pytest.mark.parametrize(("sign", "is_clear"), [(HTTP2_FRAMES, True), (HangUp(), False)])
async def test_who_has_spoken_our_stream_is_doubted_only_for_a_clear_sign(aggregator, sign, is_clear):
    aggregator.script.extend([Reply(), sign])
    said: list[str] = []
    reporter = submitter(aggregator.endpoint, said)
    async with reporting(reporter, STARTED):
        await seen(aggregator, lambda it: it.events)
        reporter.emit(attempt(1))

    assert ["a1"] == attempt_ids(aggregator.events)
    assert is_clear == ("trying gRPC" in said[0])


async def test_a_lost_acknowledgement_makes_a_repetition_and_no_loss(aggregator):
    aggregator.script.extend([Reply(), HangUp(keeps=True)])
    reporter = submitter(aggregator.endpoint)
    async with reporting(reporter, STARTED):
        await seen(aggregator, lambda it: it.events)
        reporter.emit(attempt(1))
        reporter.emit(FINISHED)

    assert [STARTED, FINISHED, FINISHED] == [event for event in aggregator.events if event in (STARTED, FINISHED)]
    assert ["a1", "a1"] == attempt_ids(aggregator.events)


async def test_no_connection_is_left_at_the_end(aggregator):
    async with reporting(submitter(aggregator.endpoint), STARTED):
        await seen(aggregator, lambda it: it.events)
        assert 1 == aggregator.connections
    await until(lambda: aggregator.connections == 0)


async def test_no_connection_is_left_when_it_is_cut_in_mid_request(aggregator):
    aggregator.always = Reply(after=1)
    reporter = submitter(aggregator.endpoint)
    reporter.emit(STARTED)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reporter.run)
        await seen(aggregator, lambda it: it.requests)
        nursery.cancel_scope.cancel()
    await until(lambda: aggregator.connections == 0)


async def test_an_answer_without_an_end_does_not_hold_up_the_next_batch():
    """The status says all that is needed: the rest is waited for one second."""
    bodies = []

    async def answer_without_end(stream):
        bodies.append(await stream.receive_some())
        await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await stream.send_all(b"5\r\nhello\r\n")
            await trio.sleep(0.05)

    async def serve(task_status):
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            task_status.started(listener.socket.getsockname()[1])
            async with listener:
                while True:
                    nursery.start_soon(tolerant(answer_without_end), await listener.accept())

    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve)
        reporter = submitter(f"127.0.0.1:{port}")
        for event in (STARTED, *map(attempt, range(600))):
            reporter.emit(event)
        with trio.fail_after(300):
            await reporter.finish()
        nursery.cancel_scope.cancel()

    assert 2 == len(bodies)


def tolerant(handler):
    async def handle(stream):
        async with stream:
            with suppress(trio.BrokenResourceError):
                await handler(stream)

    return handle


def test_httpcore_is_not_imported_before_there_is_something_to_send():
    code = "import sys, nodeprefetch.submit.submitter; print([m for m in ('httpcore', 'anyio') if m in sys.modules])"
    assert "[]\n" == subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
