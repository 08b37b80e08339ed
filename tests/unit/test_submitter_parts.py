"""The submitter's parts without I/O: address, buffer, portions, retry, what an answer means."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.errors import UsageError
from nodeprefetch.events import (
    AttemptFinished,
    AttemptStarted,
    CredentialsMatched,
    ImageFinished,
    ImagesListed,
    Notice,
    Outcome,
    Phase,
    Progress,
    RunEnd,
    RunFinished,
    RunStarted,
    TagMoved,
)
from nodeprefetch.settings import PullPolicy
from nodeprefetch.submit.endpoint import Endpoint, deepest_text, parse_endpoint, short
from nodeprefetch.submit.http import HttpAnswer, parse_retry_after, result_for
from nodeprefetch.submit.queue import Buffer, Outbox, PendingProgress, is_worth_sending
from nodeprefetch.submit.retry import (
    Accepted,
    Rejected,
    RetryState,
    Unavailable,
    Undeliverable,
    UnsupportedProtocol,
    WireProtocol,
)
from nodeprefetch.text.known_secrets import knowing_secrets, remember_secrets

NOW = datetime(2025, 1, 1, tzinfo=UTC)
BOTH = (WireProtocol.HTTP, WireProtocol.GRPC)
STARTED = RunStarted(run_id="r1", node="n1", version="1", runtime="x", socket="/s", images=("a",))
MOVED = TagMoved(image="a", before="sha256:0", after="sha256:1")
FINISHED = RunFinished(run_id="r1", end=RunEnd.FINISHED, succeeded=1, present=0, failed=0, elapsed=1)


def attempt(name):
    return AttemptFinished(attempt_id=name, image="a", attempt=1, started_at=1, duration=1, limit=30)


def progress(attempt_id, done=0):
    return Progress(attempt_id=attempt_id, image="a", phase=Phase.DOWNLOADING, done_bytes=done)


def outcome(name):
    return ImageFinished(image=name, outcome=Outcome.PRESENT, policy=PullPolicy.ALWAYS, attempts=0, elapsed=1)


@pytest.mark.parametrize(
    ("text", "url", "prefix"),
    [
        ("metrics:8443", "http://metrics:8443", ""),
        (" metrics.ns.svc.cluster.local.:8443 ", "http://metrics.ns.svc.cluster.local.:8443", ""),
        ("10.0.0.1:1/", "http://10.0.0.1:1", ""),
        ("[::1]:8443", "http://[::1]:8443", ""),
        ("http://h", "http://h:80", ""),
        ("https://h", "https://h:443", ""),
        ("HTTPS://H:1/a/b/", "https://h:1/a/b", "/a/b"),
        ("https://[fe80::1%25eth0]:1", "https://[fe80::1%25eth0]:1", ""),
    ],
)
def test_an_address_is_understood(text, url, prefix):
    endpoint = parse_endpoint(text)

    assert url == str(endpoint)
    assert prefix == endpoint.prefix
    assert url.startswith("https") == endpoint.is_tls


@pytest.mark.parametrize(
    "text",
    [
        "", "host", ":1", "host:", "host:0", "host:65536", "host:x", "ftp://h:1", "unix:///s", "http://", "h:1?a=b",
        "h:1#f", "h h:1", "-h:1", "ü:1", "a..b:1", "x" * 64 + ":1", "http://h:1//a", "http://h:1/a b", "[::g]:1",
        "[v1.x]:1", ".".join(["abc"] * 64) + ":1",
    ],
)  # fmt: skip
def test_what_is_no_address_is_a_usage_error(text):
    with pytest.raises(UsageError, match="expected HOST:PORT"):
        parse_endpoint(text)


def test_a_password_in_an_address_is_refused_and_not_shown():
    with pytest.raises(UsageError) as error:
        parse_endpoint("https://user:s3cr3t@host")

    assert "s3cr3t" not in str(error.value)


@given(st.text(max_size=40))
def test_an_address_is_understood_or_a_usage_error(text):
    try:
        endpoint = parse_endpoint(text)
    except UsageError:
        return
    assert endpoint == parse_endpoint(str(endpoint))
    assert isinstance(endpoint, Endpoint)
    assert str(endpoint).isascii()


def test_what_is_for_this_nodes_log_alone_is_not_sent():
    assert not is_worth_sending(ImagesListed(when="after", images=()))
    assert not is_worth_sending(CredentialsMatched(image="a", credentials=(), complete=True))
    assert is_worth_sending(Notice(message="x"))


def test_a_buffer_gives_events_in_order():
    buffer = Buffer()
    events = (STARTED, Notice(message="x"), attempt("a"), MOVED, outcome("b"), FINISHED)
    for event in events:
        buffer.add(event)

    assert 5 == buffer.results
    assert events[:2] == buffer.take(2)
    assert events[2:] == buffer.take(9)
    assert (0, 0) == (len(buffer), buffer.results)
    assert () == buffer.take(1)


def test_past_the_bound_the_oldest_attempts_go_and_are_counted():
    buffer = Buffer(max_results=4)
    for event in (STARTED, outcome("x"), attempt("a"), attempt("b"), attempt("c"), FINISHED):
        buffer.add(event)

    assert 2 == buffer.dropped
    assert (STARTED, outcome("x").image, "c", FINISHED) == tuple(
        getattr(event, "image", event) if isinstance(event, ImageFinished) else getattr(event, "attempt_id", event)
        for event in buffer.take(9)
    )


def test_without_attempts_the_oldest_outcomes_go():
    buffer = Buffer(max_results=2)
    for event in (STARTED, outcome("x"), outcome("y")):
        buffer.add(event)

    assert ["y"] == [event.image for event in buffer.take(9)[1:]]


def test_progress_is_lost_before_any_result():
    buffer = Buffer(max_results=100, max_other=2)
    buffer.add(attempt("a"))
    for number in range(5):
        buffer.add(AttemptStarted(attempt_id="a", image="a", attempt=number, limit=1))

    assert 0 == buffer.dropped
    assert [1, 3, 4] == [event.attempt for event in buffer.take(9)]


def test_the_beginning_and_the_end_of_a_run_never_go():
    buffer = Buffer(max_results=1)
    for event in (STARTED, FINISHED):
        buffer.add(event)

    assert (STARTED, FINISHED) == buffer.take(9)


@given(st.lists(st.sampled_from("aomnst"), max_size=60), st.integers(1, 9), st.integers(0, 5))
def test_a_buffer_keeps_its_bounds_and_its_count(kinds, most, progress):
    buffer = Buffer(max_results=most, max_other=progress)
    attempts = given_in = 0
    for kind in kinds:
        if kind == "t":
            given_in += len([event for event in buffer.take(2) if not isinstance(event, Notice)])
            continue
        attempts += kind != "n"
        buffer.add({"a": attempt("a"), "o": outcome("o"), "m": MOVED, "n": Notice(message="n"), "s": STARTED}[kind])
        assert progress + max(most, buffer.results) >= len(buffer)
    assert attempts == buffer.results + buffer.dropped + given_in


def outbox_of(*names, most):
    buffer = Buffer()
    for name in names:
        buffer.add(attempt(name))
    return Outbox(buffer, PendingProgress(5, lambda: 0), most=most)


def names(events):
    return "".join(event.attempt_id for event in events)


def test_a_portion_is_the_same_until_it_is_acknowledged():
    outbox = outbox_of(*"abcde", most=2)

    assert "ab" == names(outbox.next_events())
    assert "ab" == names(outbox.next_events())
    assert 5 == outbox.results
    outbox.acknowledged()
    assert "cd" == names(outbox.next_events())
    assert 3 == outbox.results


def test_a_portion_that_is_too_large_is_halved_and_stays_so():
    outbox = outbox_of(*"abcdefghijk", most=8)
    sent = []

    outbox.next_events()
    assert outbox.split() is None
    while outbox:
        sent.append(names(outbox.next_events()))
        outbox.acknowledged()

    assert ["abcd", "efgh", "ijk"] == sent


def test_an_event_that_is_too_large_alone_goes_and_portions_grow_again():
    outbox = outbox_of(*"abcdefghij", most=4)
    sent = []

    outbox.next_events()
    assert outbox.split() is None
    outbox.next_events()
    assert outbox.split() is None
    outbox.next_events()
    assert "a" == outbox.split().attempt_id
    while outbox:
        sent.append(names(outbox.next_events()))
        outbox.acknowledged()

    assert "bcdefghij" == "".join(sent)
    assert [1, 2, 4, 2] == [len(portion) for portion in sent]


def test_portions_stop_growing_at_the_next_one_that_is_too_large():
    outbox = outbox_of("a", *map(str, range(12)), most=4)

    outbox.next_events()
    outbox.split()
    outbox.next_events()
    outbox.split()
    outbox.next_events()
    outbox.split()
    outbox.acknowledged()
    outbox.next_events()
    outbox.split()
    sizes = []
    while outbox:
        sizes.append(len(outbox.next_events()))
        outbox.acknowledged()

    assert {1} == set(sizes)


def test_pauses_double_up_to_half_a_minute_and_start_again_after_success():
    retry = RetryState((WireProtocol.HTTP,), lambda: 1.0)
    trouble = Unavailable("x")

    assert [0.5, 1, 2, 4, 8, 16, 30, 30] == [retry.delay_after(trouble) for _ in range(8)]
    assert 0 == retry.delay_after(Accepted())
    assert 0.5 == retry.delay_after(trouble)


def test_pauses_are_a_random_part_of_that():
    assert 0.25 == RetryState((WireProtocol.HTTP,), lambda: 0.5).delay_after(Unavailable("x"))


def test_at_the_end_pauses_are_short():
    retry = RetryState((WireProtocol.HTTP,), lambda: 1.0)
    retry.hurry()

    assert [0.25, 0.5, 0.5] == [retry.delay_after(Unavailable("x")) for _ in range(3)]
    assert 0.5 == retry.delay_after(Rejected("x"))
    assert 5.5 == retry.delay_after(Unavailable("x", 90.0))


def test_a_wish_to_be_left_alone_is_honoured_up_to_a_minute():
    retry = RetryState((WireProtocol.HTTP,), lambda: 1.0)

    assert 7.5 == retry.delay_after(Unavailable("x", 7.0))
    assert 61 == retry.delay_after(Unavailable("x", 9999.0))


@pytest.mark.parametrize("answer", [Rejected("x"), UnsupportedProtocol("x")])
def test_what_somebody_has_to_mend_is_tried_slowly(answer):
    retry = RetryState((WireProtocol.HTTP,), lambda: 1.0)

    assert [30, 30] == [retry.delay_after(answer), retry.delay_after(answer)]


def wires_after(*answers):
    retry = RetryState(BOTH, lambda: 0.0)
    wires = []
    for answer in answers:
        retry.delay_after(answer)
        wires.append(retry.protocol.value)
    return wires


def test_who_does_not_speak_our_stream_is_spoken_to_in_the_older_one_at_once():
    retry = RetryState(BOTH, lambda: 1.0)

    assert 0 == retry.delay_after(UnsupportedProtocol("x"))
    assert WireProtocol.GRPC is retry.protocol


def test_the_older_protocol_stays_once_it_has_worked():
    assert ["grpc"] * 4 == wires_after(UnsupportedProtocol("x"), Accepted(), Unavailable("x"), Rejected("x"))


@pytest.mark.parametrize(
    "answer", [Unavailable("x"), Rejected("x"), UnsupportedProtocol("x"), UnsupportedProtocol("x", certain=False)]
)
def test_the_older_protocol_is_left_again_when_it_never_worked(answer):
    assert ["grpc", "http", "grpc"] == wires_after(UnsupportedProtocol("x"), answer, UnsupportedProtocol("x"))


def test_what_one_protocol_has_shown_does_not_count_for_the_other():
    assert ["http", "grpc", "http"] == wires_after(Accepted(), UnsupportedProtocol("x"), Unavailable("y"))


def test_hanging_up_is_a_sign_only_before_our_stream_has_worked():
    silent = UnsupportedProtocol("x", certain=False)

    assert ["grpc"] == wires_after(silent)
    assert ["http", "http"] == wires_after(Accepted(), silent)


@pytest.mark.parametrize("answer", [Unavailable("x"), Unavailable("x", 1.0), Rejected("x"), Undeliverable("x")])
def test_trouble_alone_is_no_sign_of_another_protocol(answer):
    assert ["http"] == wires_after(answer)


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, Accepted()),
        (204, Accepted()),
        (302, Rejected("HTTP status 302: why")),
        (400, Rejected("HTTP status 400: why")),
        (401, Rejected("HTTP status 401: why")),
        (404, UnsupportedProtocol("HTTP status 404: why")),
        (405, UnsupportedProtocol("HTTP status 405: why")),
        (408, Unavailable("HTTP status 408: why", 7.0)),
        (413, Undeliverable("HTTP status 413: why")),
        (426, UnsupportedProtocol("HTTP status 426: why")),
        (429, Unavailable("HTTP status 429: why", 7.0)),
        (500, Unavailable("HTTP status 500: why", 7.0)),
        (503, Unavailable("HTTP status 503: why", 7.0)),
        (505, UnsupportedProtocol("HTTP status 505: why")),
    ],
)
def test_a_status_has_a_meaning(status, answer):
    headers = [(b"X", b"y"), (b"Retry-After", b"7")]
    assert answer == result_for(HttpAnswer(status=status, headers=headers, body=b"", shown="why"), now=NOW)


def test_a_status_without_a_text_or_a_wish_is_enough():
    assert Unavailable("HTTP status 503") == result_for(HttpAnswer(status=503, headers=[], body=b"", shown=""), now=NOW)


@pytest.mark.parametrize(
    ("body", "interval"),
    [
        (b'{"accepted": 1, "duplicates": 0, "progress_interval": 17}', 17),
        (b'{"accepted": 1, "duplicates": 0}', 0),
        (b'{"progress_interval": -1}', 0),
        (b'{"progress_interval": NaN}', 0),
        (b'{"progress_interval": "never"}', 0),
        (b"\xff", 0),
        (b"[" * 1000, 0),
        (b"", 0),
    ],
)
def test_an_aggregator_may_ask_for_less_progress(body, interval):
    answer = HttpAnswer(status=200, headers=[], body=body, shown="")
    assert Accepted(interval) == result_for(answer, now=NOW)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        (" 0 ", 0),
        ("9" * 4000, 999999999),
        ("Wed, 01 Jan 2025 00:01:00 GMT", 60),
        ("Wed, 01 Jan 2025 00:01:00", 60),
        ("Tue, 31 Dec 2024 00:00:00 GMT", 0),
        ("soon", None),
        ("-1", None),
        ("", None),
        ("\u0667", None),
    ],
)
def test_a_wish_is_a_number_of_seconds_or_a_date(text, seconds):
    assert seconds == parse_retry_after(text, NOW)


@given(st.text(max_size=40))
def test_no_wish_is_an_error(text):
    wish = parse_retry_after(text, NOW)

    assert wish is None or wish >= 0


def test_a_text_is_short_one_line_and_without_the_secret():
    text = short("a\nb s3cr3t " + "x" * 500, "s3cr3t")

    assert 200 == len(text)
    assert "\n" not in text
    assert "s3cr3t" not in text


def test_what_an_aggregator_says_shows_no_secret_that_was_handed_out():
    with knowing_secrets():
        remember_secrets(["hunter2-of-joe"])

        assert "got *** in *** (***)" == short("got hunter2-of-joe in aHVudGVyMi1vZi1qb2U= (s3cr3t)", "s3cr3t")


def test_the_innermost_error_is_the_one_that_says_something():
    inner = OSError("nobody there")
    outer = OSError("all attempts failed")
    outer.__cause__ = ExceptionGroup("several", [inner])

    assert "nobody there" == deepest_text(RuntimeError(outer))
    assert "ValueError" == deepest_text(ValueError())


def test_progress_makes_room_for_newer_progress_and_never_takes_that_of_a_result():
    buffer = Buffer(max_results=2, max_other=2)
    for event in (attempt("1"), progress("1", 1), progress("1", 2), attempt("2"), progress("1", 3)):
        buffer.add(event)

    assert ["1", 2, "2", 3] == [
        event.done_bytes if isinstance(event, Progress) else event.attempt_id for event in buffer.take(10)
    ]
    assert 0 == buffer.dropped
