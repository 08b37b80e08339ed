"""The submitter against image-prefetcher's aggregator: a gRPC server on grpcio, in a process of its own."""

import pytest
import trio

from nodeprefetch.errors import UsageError
from nodeprefetch.events import (
    AttemptFinished,
    AttemptStarted,
    ImageFinished,
    Outcome,
    RunEnd,
    RunFinished,
    RunStarted,
)
from nodeprefetch.settings import PullPolicy
from nodeprefetch.submit.submitter import Submitter
from tests.support.fake_aggregator import FakeAggregator
from tests.support.legacy_aggregator import LegacyAggregator
from tests.support.reporting import reporting, until

STARTED = RunStarted(run_id="r1", node="n1", version="1", runtime="x", socket="/s", images=("a",))
PULLED = AttemptFinished(
    attempt_id="a1",
    image="a:1",
    attempt=1,
    started_at=1700000000.9,
    duration=1.2345,
    limit=30,
    size=77,
    digest="sha256:2",  # these two it does not know
    moved_from="sha256:1",
)
FAILED = AttemptFinished(attempt_id="a2", image="b:1", attempt=1, started_at=5, duration=30, limit=30, error="too slow")
NEVER_TRIED = ImageFinished(
    image="c:1", outcome=Outcome.FAILED, policy=PullPolicy.ALWAYS, attempts=0, elapsed=9, error="cut", at=7.5
)
FINISHED = RunFinished(run_id="r1", end=RunEnd.TIMED_OUT, succeeded=1, present=0, failed=2, elapsed=1)
RUN = [
    STARTED,
    AttemptStarted(attempt_id="a1", image="a:1", attempt=1, limit=30),
    PULLED,
    FAILED,
    NEVER_TRIED,
    FINISHED,
]


@pytest.fixture
def older(tmp_path):
    with LegacyAggregator(tmp_path) as running:
        yield running


def submitter(endpoint, said=None, **options):
    warn = (said if said is not None else []).append
    return Submitter(endpoint, **{"warn": warn, "node": "n0", "jitter": lambda: 0.1, **options})


@pytest.mark.parametrize("protocol", ["auto", "grpc"])
async def test_the_older_aggregator_hears_of_every_attempt_and_every_failure(older, protocol):
    async with reporting(submitter(older.endpoint, protocol=protocol), *RUN):
        pass

    pulled, failed, never_tried = older.results()
    assert {
        "attempt_id": "a1",
        "started_at": 1700000000,
        "image": "a:1",
        "duration_ms": 1234,
        "node": "n1",
        "size_bytes": 77,
    } == pulled
    assert {
        "attempt_id": "a2",
        "started_at": 5,
        "image": "b:1",
        "error": "too slow",
        "duration_ms": 30000,
        "node": "n1",
    } == failed
    assert ("c:1", "cut", 7) == (never_tried["image"], never_tried["error"], never_tried["started_at"])
    assert 36 == len(never_tried["attempt_id"])


async def test_turning_to_the_older_protocol_is_said_once_and_kept(older):
    said = []
    reporter = submitter(older.endpoint, said)
    async with reporting(reporter, *RUN):
        await until(older.results)
        reporter.emit(FAILED)

    (line,) = said
    assert "does not support this protocol" in line
    assert "trying gRPC" in line
    assert 4 == len(older.results())


async def test_results_reach_the_older_aggregator_while_the_run_goes_on(older):
    async with reporting(submitter(older.endpoint), STARTED, PULLED):
        await until(older.results)


@pytest.mark.parametrize("protocol", ["auto", "grpc"])
async def test_an_older_aggregator_that_comes_late_or_is_killed_gets_everything(older, protocol):
    older.stop()
    said = []
    reporter = submitter(older.endpoint, said, protocol=protocol)
    async with reporting(reporter, STARTED, PULLED):
        await until(lambda: said)
        await trio.to_thread.run_sync(older.start)
        await until(older.results)
        first = older.results()
        await trio.to_thread.run_sync(older.stop)
        reporter.emit(FAILED)
        await trio.sleep(0.05)
        await trio.to_thread.run_sync(older.start)

    assert ["a1"] == [result["attempt_id"] for result in first]
    assert ["a2"] == [result["attempt_id"] for result in older.results()]


async def test_ten_thousand_results_arrive(older):
    events = [
        AttemptFinished(attempt_id=f"a{n}", image="a:1", attempt=1, started_at=1, duration=1, limit=30)
        for n in range(10_000)
    ]
    async with reporting(submitter(older.endpoint), STARTED, *events):
        pass

    assert [f"a{n}" for n in range(10_000)] == [result["attempt_id"] for result in older.results()]


async def test_a_peer_that_speaks_no_grpc_is_told_of_and_tried_again():
    said = []
    with FakeAggregator() as http_only:
        reporter = submitter(http_only.endpoint, said, protocol="grpc")
        reporter.emit(STARTED)
        reporter.emit(PULLED)
        with trio.move_on_after(0.5):
            await reporter.finish()

    assert "did not acknowledge 2 results" in said[-1]
    assert [] == http_only.events


@pytest.mark.parametrize("endpoint", ["https://host:8443", "http://host/prefix"])
def test_the_older_protocol_has_no_tls_and_no_path(endpoint):
    with pytest.raises(UsageError, match="supports neither TLS nor a path"):
        submitter(endpoint, protocol="grpc")
