"""The backlog of the live stream: how rows are cut, and how readers share their text."""

import msgspec
import pytest
import trio

from nodeprefetch.aggregator.access.auth import Anyone
from nodeprefetch.aggregator.counters import Budget
from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.settings import AggregatorSettings, Bounds
from nodeprefetch.aggregator.store.backlog import PART, RenderedRow, RenderedRows, rows_of
from nodeprefetch.aggregator.store.schema import open_database
from nodeprefetch.aggregator.store.store import Store
from nodeprefetch.aggregator.web.app import make_app
from nodeprefetch.aggregator.web.service import make_service
from nodeprefetch.batch import Batch
from nodeprefetch.events import RetryPlanned
from tests.support.batches import attempt, batch_of, begun

LONG = "x" * 512


def rows(count, **about):
    """A batch of small events with names as long as they may be."""
    events = [RetryPlanned(at=1.0, image=f"{number}:1", delay=1.0) for number in range(count)]
    batch = Batch(run_id=LONG, node=LONG, version=LONG, instance=LONG, events=tuple(events))
    return rows_of(batch, events)


@pytest.fixture
def database():
    with open_database(None) as database:
        yield database


def stored(database, *bodies):
    database.executemany("INSERT INTO live (received, body) VALUES (1, ?)", [(body,) for body in bodies])


def test_a_small_body_of_many_events_becomes_rows_of_a_bounded_text():
    """2,500 events with 2 KiB of names each are 5 MiB of text; no row of it is larger than a part or two."""
    texts = [RenderedRow(number, body) for number, body in enumerate(rows(2500), 1)]

    assert 2500 * 4 * 512 < sum(map(len, texts))
    assert max(map(len, texts)) < 2 * PART


def test_rows_together_are_all_events_in_their_order():
    found = [event.image for body in rows(100) for event in msgspec.msgpack.decode(body, type=Batch).events]

    assert [f"{number}:1" for number in range(100)] == found


def test_a_large_event_is_sent_in_parts():
    (body,) = rows_of(batch_of(), [begun(*(f"{number:>1000}" for number in range(1000)))])
    parts = list(RenderedRow(1, body).after(-1))

    assert 1000 * 1000 < sum(map(len, parts))
    assert [PART] * (len(parts) - 1) == [len(part) for part in parts[:-1]]


def test_an_event_larger_than_any_body_is_a_gap():
    rows = rows_of(batch_of(), [begun(*(f"{number:>1000}" for number in range(5000)))])

    assert [b""] == rows
    assert [b'id: 7-0\nevent: gap\ndata: {"missed":true}\n\n'] == list(RenderedRow(7, b"").after(-1))


def test_readers_of_one_row_share_its_text_and_it_counts_once(database):
    stored(database, *rows_of(batch_of(), [attempt()]))
    budget = Budget(1000, 5)
    texts = RenderedRows(database, budget)

    first, second = texts.acquire_next(0), texts.acquire_next(0)

    assert first is second
    assert next(first.after(-1)) is next(second.after(-1))
    assert len(first) == budget.used
    texts.release(first)
    assert len(second) == budget.used
    texts.release(second)
    assert 0 == budget.used


def test_a_text_that_there_is_no_room_for_is_not_held(database):
    stored(database, *rows_of(batch_of(), [attempt()]))
    budget = Budget(100, 5)
    texts = RenderedRows(database, budget)

    with pytest.raises(RefusedError) as caught:
        texts.acquire_next(0)

    assert ("busy", 0) == (caught.value.reason, budget.used)


def test_what_follows_an_event_of_a_row_is_the_rest_of_it():
    (body,) = rows_of(batch_of(), [attempt("a:1"), attempt("b:1"), attempt("c:1")])
    text = RenderedRow(3, body)

    assert [b"".join(text.after(place)).count(b"\n\n") for place in (-1, 0, 1, 2, 3)] == [3, 2, 1, 0, 0]
    assert next(text.after(1)).startswith(b"id: 3-2\n")


async def test_readers_that_come_at_once_have_the_same_bound(database, autojump_clock):
    """Each is counted where it is checked, not once it has been sent its first byte."""
    settings = AggregatorSettings(bounds=Bounds(readers=2))
    service = make_service(settings, Store(database, settings.bounds), Anyone(), lambda _: None)
    app = make_app(service, with_queries=True)
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/events",
        "headers": [],
        "query_string": b"",
        "http_version": "1.1",
    }
    statuses = []

    async def receive():
        await trio.sleep_forever()

    async def send(message):
        await trio.sleep(1)
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    with trio.move_on_after(10):
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(app, dict(scope), receive, send)

    assert [200] * 2 + [429] * 3 == sorted(statuses)
    assert 0 == service.readers.used
