"""When the submitter sends what, on virtual time, by a delivery that answers what a script says."""

from collections import deque
from contextlib import asynccontextmanager

import pytest
import trio

from nodeprefetch import __version__
from nodeprefetch.events import (
    AttemptFinished,
    CredentialsMatched,
    Event,
    NodeLabelled,
    Notice,
    Phase,
    Progress,
    RunEnd,
    RunFinished,
    RunStarted,
)
from nodeprefetch.report.readers import reporting as around_a_run
from nodeprefetch.submit import submitter as module
from nodeprefetch.submit.queue import Buffer, Outbox
from nodeprefetch.submit.retry import Accepted, Rejected, Unavailable, Undeliverable, UnsupportedProtocol
from nodeprefetch.submit.submitter import Submitter
from tests.support.reporting import reporting

STARTED = RunStarted(run_id="r1", node="n1", version="1", runtime="x", socket="/s", images=("a",), instance="i1")
FINISHED = RunFinished(run_id="r1", end=RunEnd.FINISHED, succeeded=1, present=0, failed=0, elapsed=1)


class Script:
    """Deliveries that take so long and answer so; each request's time, protocol and batch."""

    def __init__(self, *answers, takes=0.0):
        self.answers = deque(answers)
        self.takes = takes
        self.times = []
        self.wires = []
        self.batches = []
        self.open = 0

    @asynccontextmanager
    async def __call__(self, wire):
        self._wire = wire
        self.open += 1
        try:
            yield self
        finally:
            self.open -= 1

    async def deliver(self, batch):
        self.times.append(trio.current_time())
        self.wires.append(self._wire.value)
        self.batches.append(batch)
        await trio.sleep(self.takes)
        answer = self.answers.popleft() if self.answers else Accepted()
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def events(self):
        return [event for batch in self.batches for event in batch.events]


def submitter(script, said=None, **options):
    warn = (said if said is not None else []).append
    return Submitter(
        "host:1",
        **{"warn": warn, "node": "n0", "instance": "i0", "jitter": lambda: 1.0, "open_transport": script} | options,
    )


def progress(name, done):
    return Progress(attempt_id=name, image="a", phase=Phase.DOWNLOADING, done_bytes=done)


def reported(script, name):
    return [
        (name, event.done_bytes) for event in script.events if isinstance(event, Progress) and event.attempt_id == name
    ]


def attempt(name):
    return AttemptFinished(attempt_id=name, image="a", attempt=1, started_at=1, duration=1, limit=30)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """The tests below state moments without this time, which every batch waits for more events."""
    monkeypatch.setattr(module, "GATHERING", 0.0)


async def test_events_wait_a_moment_for_others_but_not_at_the_end(autojump_clock, monkeypatch):
    monkeypatch.setattr(module, "GATHERING", 0.1)
    script = Script()
    reporter = submitter(script)
    async with reporting(reporter, STARTED):
        await trio.sleep(0.05)
        reporter.emit(attempt("a"))
        await trio.sleep(1)
        reporter.emit(attempt("b"))
        await trio.sleep(0.05)
        reporter.emit(FINISHED)
        await trio.sleep(1)

    assert pytest.approx([0.1, 1.1]) == script.times
    assert [2, 2] == [len(batch.events) for batch in script.batches]


async def test_a_batch_that_is_sent_again_waits_for_nothing_else(autojump_clock, monkeypatch):
    monkeypatch.setattr(module, "GATHERING", 0.1)
    script = Script(Unavailable("away"))
    async with reporting(submitter(script), STARTED):
        await trio.sleep(5)

    assert pytest.approx([0.1, 0.6]) == script.times


async def test_an_event_goes_at_once_when_nothing_is_under_way_and_else_with_the_next_request(autojump_clock):
    """A request takes 1 s. STARTED goes at 0, a at 5, and what is told at 5.2 and 5.8 together at 6."""
    script = Script(takes=1)
    reporter = submitter(script)
    async with reporting(reporter, STARTED):
        for moment, name in ((5, "a"), (5.2, "b"), (5.8, "c")):
            await trio.sleep(moment - trio.current_time())
            reporter.emit(attempt(name))

    assert pytest.approx([0, 5, 6]) == script.times
    assert [1, 1, 2] == [len(batch.events) for batch in script.batches]
    assert 0 == script.open


async def test_a_request_has_a_bounded_number_of_events(autojump_clock):
    script = Script()
    async with reporting(submitter(script), STARTED, *map(attempt, map(str, range(1200)))):
        pass

    assert [500, 500, 201] == [len(batch.events) for batch in script.batches]


async def test_events_wait_for_the_run_to_have_a_name(autojump_clock):
    script = Script()
    reporter = submitter(script)
    async with reporting(reporter, Notice(message="early")):
        await trio.sleep(10)
        assert [] == script.batches
        reporter.emit(STARTED)
        await trio.sleep(10)

    (batch,) = script.batches
    assert ("r1", "n1", "i1", "1") == (batch.run_id, batch.node, batch.instance, batch.version)
    assert [Notice, RunStarted] == [type(event) for event in batch.events]


async def test_a_run_that_never_started_is_told_of_at_its_end(autojump_clock):
    script = Script()
    async with reporting(submitter(script), Notice(message="no runtime"), FINISHED):
        pass

    (batch,) = script.batches
    assert ("r1", "n0", "i0", __version__) == (batch.run_id, batch.node, batch.instance, batch.version)


async def test_what_nobody_needs_is_not_sent(autojump_clock):
    script = Script()
    unneeded = CredentialsMatched(image="a", credentials=(), complete=True)
    async with reporting(submitter(script), STARTED, unneeded):
        pass

    assert [STARTED] == script.events


async def test_without_events_nothing_is_opened(autojump_clock):
    script = Script()
    async with reporting(submitter(script), Notice(message="no run")):
        pass

    assert [] == script.times


async def test_trouble_is_met_with_growing_pauses(autojump_clock):
    """Pauses of 0.5, 1, 2, 4 after answers that come at once."""
    script = Script(*[Unavailable("x")] * 4)
    reporter = submitter(script)
    async with reporting(reporter, STARTED):
        await trio.sleep(60)

    assert [0, 0.5, 1.5, 3.5, 7.5] == script.times
    assert 1 == len({batch.events for batch in script.batches})


async def test_a_request_without_an_answer_is_cut_after_ten_seconds(autojump_clock):
    """Cut at 10, pause 0.5; cut at 20.5, pause 1."""
    said = []
    script = Script(takes=1000)
    async with trio.open_nursery() as nursery:
        reporter = submitter(script, said)
        nursery.start_soon(reporter.run)
        reporter.emit(STARTED)
        await trio.sleep(22)
        nursery.cancel_scope.cancel()

    assert [0, 10.5, 21.5] == script.times
    assert ["metrics: the aggregator at http://host:1 is unavailable, retrying: no answer in 10s"] == said
    assert 0 == script.open


async def test_at_the_end_a_long_pause_is_cut_short(autojump_clock):
    """Rejected at 0, the next try would be at 30; the run ends at 3, and tries follow at 3, 3.25, 3.75."""
    script = Script(*[Rejected("x")] * 3)
    async with reporting(submitter(script), STARTED):
        await trio.sleep(3)

    assert [0, 3, 3.25, 3.75] == script.times


async def test_finishing_sends_what_is_left_when_the_run_was_cut(autojump_clock):
    script = Script(takes=5)
    reporter = submitter(script)
    reporter.emit(STARTED)
    with trio.move_on_after(2):
        await reporter.run()
    await reporter.finish()

    assert [0, 2] == script.times
    assert 0 == script.open


async def test_the_end_waits_for_all_to_be_acknowledged(autojump_clock):
    script = Script(takes=3)
    reporter = submitter(script)
    async with reporting(reporter, STARTED):
        await trio.sleep(1)
        reporter.emit(FINISHED)

    assert [STARTED, FINISHED] == script.events
    assert 6 == trio.current_time()


async def test_what_did_not_arrive_is_said_at_the_end(autojump_clock):
    said = []
    reporter = submitter(Script(*[Unavailable("down")] * 99), said)
    reporter.emit(STARTED)
    reporter.emit(attempt("a"))
    reporter.emit(Notice(message="not a result"))
    with trio.move_on_after(15) as grace:
        await reporter.finish()

    assert grace.cancelled_caught
    assert [
        "metrics: the aggregator at http://host:1 is unavailable, retrying: down",
        "metrics: the aggregator at http://host:1 did not acknowledge 2 results in time: down",
    ] == said


async def test_results_that_had_to_go_are_counted_once_at_the_end(autojump_clock):
    said = []
    script = Script(takes=5)
    reporter = submitter(script, said)
    reporter._buffer = Buffer(max_results=10)
    reporter._outbox = Outbox(reporter._buffer, reporter._progress)
    async with reporting(reporter, STARTED):
        await trio.sleep(1)
        for number in range(25):
            reporter.emit(attempt(str(number)))
    await reporter.finish()

    assert ["15 oldest"] == [line.partition("the ")[2].partition("the ")[2].partition(" results")[0] for line in said]
    assert [str(number) for number in range(15, 25)] == [event.attempt_id for event in script.events[1:]]


async def test_each_trouble_is_said_once(autojump_clock):
    said = []
    script = Script(Unavailable("a"), Unavailable("b"), Rejected("c"), Rejected("d"), Unavailable("e"))
    async with reporting(submitter(script, said), STARTED):
        await trio.sleep(200)

    assert ["retrying: a", "will keep retrying: c"] == [line.partition(", ")[2] for line in said]


async def test_a_complaint_that_becomes_an_event_is_delivered_too(autojump_clock):
    script = Script(Unavailable("a"))
    reporter = submitter(script, warn=lambda text: reporter.emit(Notice(message=text)))
    async with reporting(reporter, STARTED):
        await trio.sleep(5)

    assert [RunStarted, RunStarted, Notice] == [type(event) for event in script.events]


@pytest.mark.parametrize("error", [RuntimeError("odd"), ExceptionGroup("several", [ValueError("odd")])])
async def test_an_error_nobody_thought_of_is_said_and_tried_again(autojump_clock, error):
    said = []
    script = Script(error)
    async with reporting(submitter(script, said), STARTED):
        pass

    assert 2 == len(script.times)
    assert "retrying: unexpected error: odd" in said[0]


async def test_a_part_that_does_not_fit_is_left_out_and_the_rest_arrives(autojump_clock):
    """Of 4 events the first half is refused twice: STARTED, alone too large, goes."""
    said = []
    script = Script(*[Undeliverable("HTTP status 413")] * 3)
    async with reporting(submitter(script, said), STARTED, *map(attempt, "abc")):
        pass

    assert [4, 2, 1, 1, 2] == [len(batch.events) for batch in script.batches]
    assert "cannot receive an event (RunStarted): HTTP status 413" in said[0]


async def test_a_peer_of_the_older_protocol_is_spoken_to_in_it_for_the_rest_of_the_run(autojump_clock):
    said = []
    script = Script(UnsupportedProtocol("HTTP status 404"))
    reporter = submitter(script, said)
    async with reporting(reporter, STARTED):
        await trio.sleep(1)
        reporter.emit(FINISHED)

    assert ["http", "grpc", "grpc"] == script.wires
    assert [0, 0, 1] == script.times
    assert ["does not support this protocol (HTTP status 404), trying gRPC"] == [
        line.partition("host:1 ")[2] for line in said
    ]


async def test_protocols_alternate_while_none_works(autojump_clock):
    """Ours, the older one at once, a pause of 0.5; both again, a pause of 1; then ours works."""
    script = Script(UnsupportedProtocol("x"), Unavailable("y"), UnsupportedProtocol("x"), Unavailable("y"))
    async with reporting(submitter(script), STARTED):
        await trio.sleep(10)

    assert ["http", "grpc", "http", "grpc", "http"] == script.wires
    assert [0, 0, 0.5, 0.5, 1.5] == script.times


@pytest.mark.parametrize(
    ("endpoint", "protocol", "wires"),
    [
        ("host:1", "auto", ["http", "grpc"]),
        ("host:1", "http", ["http", "http"]),
        ("host:1", "grpc", ["grpc", "grpc"]),
        ("https://host", "auto", ["http", "http"]),
        ("http://host/prefix", "auto", ["http", "http"]),
    ],
)
async def test_the_older_protocol_is_tried_only_where_it_can_be_spoken(autojump_clock, endpoint, protocol, wires):
    script = Script(UnsupportedProtocol("x"))
    reporter = Submitter(endpoint, warn=lambda _: None, node="n", protocol=protocol, open_transport=script)
    async with reporting(reporter, STARTED):
        await trio.sleep(100)

    assert wires == script.wires


async def test_telling_a_hundred_thousand_events_waits_for_nothing(autojump_clock):
    reporter = submitter(Script(takes=5))
    for number in range(100_000):
        reporter.emit(attempt(str(number)))

    assert 0 == trio.current_time()
    assert 100_000 == reporter._outbox.results


def test_a_submitter_shows_its_endpoint_alone():
    assert "Submitter('http://host:1')" == repr(submitter(Script()))


def test_the_limit_of_a_request_is_below_the_grace_given_at_the_end():
    assert 15 > module.REQUEST_LIMIT


def test_an_unknown_event_is_sent():
    reporter = submitter(Script())
    reporter.emit(Event())

    assert 1 == len(reporter._buffer)


EVERY = 0.7
"""Seconds: no multiple of it is a moment at which progress goes out."""


async def pulling(sender, names, seconds):
    """Each of these attempts progresses by one byte every 0.7 seconds."""
    for number in range(int(seconds / EVERY) + 1):
        for name in names:
            sender.emit(progress(name, number))
        await trio.sleep(EVERY)


@pytest.mark.parametrize(
    ("answer", "moments"),
    [
        (Accepted(), [0, 5, 10, 15, 20]),
        (Accepted(2), [0, 5, 10, 15, 20]),
        (Accepted(7.5), [0, 7.5, 15, 22.5]),
        (Accepted(1e9), [0]),
    ],
)
async def test_the_latest_progress_of_all_goes_together_every_few_seconds(autojump_clock, answer, moments):
    """Every five, or as rarely as the aggregator asks, but once a minute."""
    script = Script(*[answer] * 100)
    sender = submitter(script)
    async with reporting(sender):
        sender.emit(STARTED)
        await pulling(sender, "xy", 24)

    assert moments == script.times
    assert [("x", int(at / EVERY)) for at in moments] == reported(script, "x")
    assert [("y", int(at / EVERY)) for at in moments] == reported(script, "y")


async def test_an_aggregator_cannot_ask_for_silence(autojump_clock):
    script = Script(*[Accepted(1e9)] * 100)
    sender = submitter(script)
    async with reporting(sender):
        sender.emit(STARTED)
        await pulling(sender, "x", 130)

    assert [0, 60, 120] == script.times


async def test_progress_goes_along_with_other_events(autojump_clock):
    """What is sent at 3.6 makes the next due at 8.6."""
    script = Script()
    sender = submitter(script)
    async with reporting(sender), trio.open_nursery() as nursery:
        sender.emit(STARTED)
        nursery.start_soon(pulling, sender, "x", 9)
        await trio.sleep(3.6)
        sender.emit(attempt("y"))

    assert [0, 3.6, 8.6] == script.times
    assert [("x", int(at / EVERY)) for at in script.times] == reported(script, "x")


async def test_no_progress_follows_the_end_of_an_attempt(autojump_clock):
    """An aggregator would take it for an image that is still pulled."""
    script = Script()
    sender = submitter(script)
    async with reporting(sender):
        sender.emit(STARTED)
        await pulling(sender, "xy", 3)
        sender.emit(attempt("x"))
        await trio.sleep(60)

    assert [("x", 0)] == reported(script, "x")
    assert 2 == len(reported(script, "y"))
    assert 2 == len(script.times)


async def test_no_progress_follows_the_end_of_the_run(autojump_clock):
    script = Script(takes=1)
    sender = submitter(script)
    async with reporting(sender):
        sender.emit(STARTED)
        await pulling(sender, "x", 3)
        sender.emit(FINISHED)

    assert FINISHED == script.events[-1]
    assert [("x", 0)] == reported(script, "x")


async def test_no_progress_piles_up_while_nobody_answers(autojump_clock):
    script = Script(*[Unavailable("away")] * 5, takes=1)
    sender = submitter(script)
    async with reporting(sender):
        sender.emit(STARTED)
        await pulling(sender, "x", 120)
        await trio.sleep(60)

    assert len(script.batches) > 10
    assert {1} == {len([event for event in batch.events if event != STARTED]) for batch in script.batches[1:]}


class Label:
    """A stand-in for the node label: says at its end that it is written."""

    def __init__(self, takes, emit):
        self.takes = takes
        self.tell_label = emit

    def emit(self, event):
        pass

    async def run(self):
        await trio.sleep_forever()

    async def finish(self):
        try:
            await trio.sleep(self.takes)
        finally:
            self.tell_label(NodeLabelled(key="k", value="succeeded"))


@pytest.mark.parametrize(("takes", "labelled_at"), [(0.5, 0.5), (100, 14)])
async def test_the_label_is_delivered_last_and_holds_nothing_up(autojump_clock, takes, labelled_at):
    """Of a grace of 15 s the label may take 14."""
    script = Script()
    sender = submitter(script)

    async with around_a_run([sender], grace=15, speakers=[Label(takes, sender.emit)]):
        sender.emit(STARTED)
        sender.emit(FINISHED)

    assert [STARTED, FINISHED] == script.events[:2]
    assert ["NodeLabelled"] == [type(event).__name__ for event in script.events[2:]]
    assert [0, labelled_at] == script.times


async def test_the_label_follows_the_results(autojump_clock):
    """A request takes 0.4 s, and the label waits for it."""
    script = Script(takes=0.4)
    sender = submitter(script)
    label = Label(0, sender.emit)

    async with around_a_run([sender], grace=15, speakers=[label]):
        sender.emit(STARTED)
        sender.emit(FINISHED)

    assert [0, 0.4] == script.times


async def test_flushing_waits_for_what_was_taken_and_for_nothing_else(autojump_clock):
    """Two failures, with pauses of 0.5 and 1 s."""
    script = Script(Unavailable("no"), Unavailable("no"))
    sender = submitter(script)
    times = []

    async with reporting(sender):
        await sender.flush()
        times.append(trio.current_time())
        sender.emit(STARTED)
        await sender.flush()
        times.append(trio.current_time())

    assert [0, 1.5] == times


async def test_the_end_of_the_run_ends_a_long_pause(autojump_clock):
    """The fourth request would come at 0.5 + 1 + 2 + 4 = 7.5 s; the run ends at 4 s."""
    script = Script(*[Unavailable("no")] * 4)
    sender = submitter(script)

    async with reporting(sender, STARTED):
        await trio.sleep(4)
        sender.emit(FINISHED)
        await trio.sleep(1)

    assert [0, 0.5, 1.5, 3.5, 4] == script.times[:5]
