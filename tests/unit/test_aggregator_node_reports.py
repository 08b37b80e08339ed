"""Nodes that promise reports and are gone when they fall silent, and nodes that reject their lists."""

import sqlite3

import pytest

from nodeprefetch.aggregator.settings import AggregatorSettings, Bounds
from nodeprefetch.aggregator.store.node_reports import rejection_of
from nodeprefetch.aggregator.store.overview import Overview, Overviews
from nodeprefetch.aggregator.store.records import Receipt, Submission
from nodeprefetch.aggregator.store.retention import forget
from nodeprefetch.aggregator.store.schema import open_database
from nodeprefetch.aggregator.store.store import Store
from nodeprefetch.events import GateOpened, ListRejected, Outcome
from tests.support.batches import attempt, batch_of, begun, ended

HOUR = 3600
SETTINGS = AggregatorSettings()
"""With a retention of 24 h, and of 3 h for nodes."""

PRESENT, FAILED = ("main", Outcome.PRESENT), ("main", Outcome.FAILED)


@pytest.fixture
def store():
    with open_database(None) as database:
        yield Store(database, Bounds())


def report(store, node="node-1", *, run="run-1", at=0, every=HOUR, first=(), outcome=Outcome.PRESENT):
    """A whole run of a node."""
    events = (*first, begun("a:1", run_id=run, node=node, report_every=every), ended("a:1", outcome))
    (receipt,) = store.write([[Submission(batch=batch_of(*events, run_id=run, node=node))]], at)
    assert isinstance(receipt, Receipt)
    return receipt


async def overview(store, at, *, settings=SETTINGS, started=0.0) -> Overview:
    """What is shown at that time."""
    await forget(store, settings, at, started=started)
    return await Overviews(store).latest()


async def test_a_silent_node_leaves_the_gauges_after_three_hours_and_is_counted(store):
    report(store)
    report(store, "node-2")
    report(store, "node-2", run="run-2", at=HOUR)

    before, after = await overview(store, 3 * HOUR - 1), await overview(store, 3 * HOUR)

    assert (2, {}) == (before.nodes[PRESENT], before.gone)
    assert (1, 1, {"main": 1}) == (after.nodes[PRESENT], after.images[PRESENT], after.gone)
    assert 1 == store.records.states


async def test_every_event_counts_as_news_of_a_node(store):
    """The attempt of a long run, two hours after its beginning: gone three hours after that."""
    report(store)
    store.write([[Submission(batch=batch_of(attempt()))]], 2 * HOUR)

    assert {} == (await overview(store, 5 * HOUR - 1)).gone
    assert {"main": 1} == (await overview(store, 5 * HOUR)).gone


async def test_a_node_that_promised_nothing_stays(store):
    """Of plain `fetch`, which reports once per pod, also where `keep` ran before."""
    report(store)
    report(store, run="run-2", every=0)

    shown = await overview(store, 23 * HOUR)

    assert (1, {}) == (shown.nodes[PRESENT], shown.gone)


async def test_a_node_may_always_miss_three_of_its_reports(store):
    report(store, every=2 * HOUR)

    assert {} == (await overview(store, 6 * HOUR - 1)).gone
    assert {"main": 1} == (await overview(store, 6 * HOUR)).gone


async def test_a_node_that_is_heard_of_again_comes_back(store):
    report(store)
    await overview(store, 4 * HOUR)

    report(store, run="run-2", at=5 * HOUR)
    shown = await overview(store, 5 * HOUR)

    assert (1, {}) == (shown.nodes[PRESENT], shown.gone)
    assert {"main": 1} == (await overview(store, 8 * HOUR)).gone


async def test_a_node_comes_back_in_the_middle_of_a_run_too(store):
    report(store)
    await overview(store, 4 * HOUR)

    store.write([[Submission(batch=batch_of(ended("b:1")))]], 4 * HOUR)

    assert {} == (await overview(store, 4 * HOUR)).gone


async def test_a_run_that_found_no_runtime_keeps_the_promise(store):
    report(store)
    store.write([[Submission(batch=batch_of(ended("a:1", Outcome.FAILED), run_id="run-2"))]], HOUR)

    assert 1 == (await overview(store, 4 * HOUR - 1)).nodes[FAILED]
    assert {"main": 1} == (await overview(store, 4 * HOUR)).gone


async def test_attempts_of_a_node_that_is_gone_stay(store):
    store.write([[Submission(batch=batch_of(begun("a:1", report_every=HOUR), attempt("a:1")))]], 0)
    await overview(store, 4 * HOUR)

    assert [(1,)] == store.database.execute("SELECT count(*) FROM attempt").fetchall()
    assert 1 == store.records.attempts


async def test_a_node_that_is_gone_is_counted_until_its_last_run_is_forgotten(store):
    report(store)
    await overview(store, 4 * HOUR)

    assert {"main": 1} == (await overview(store, 24 * HOUR)).gone
    assert {} == (await overview(store, 24 * HOUR + 1)).gone
    assert [] == store.database.execute("SELECT * FROM node_report").fetchall()


async def test_what_gates_have_done_does_not_count_on_nodes_that_are_gone(store):
    report(store, first=(GateOpened(after=900, gave_up=True),))

    assert {"main": 1} == (await overview(store, HOUR)).gave_up
    assert {} == (await overview(store, 4 * HOUR)).gave_up


async def test_nodes_that_cannot_be_dropped_are_dropped_later(store):
    """As on a full disk."""
    report(store)
    report(store, "node-2")
    store.database.execute("CREATE TRIGGER full BEFORE DELETE ON state BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(sqlite3.IntegrityError):
        await forget(store, SETTINGS, 4 * HOUR)
    store.database.execute("DROP TRIGGER full")

    assert {"main": 2} == (await overview(store, 4 * HOUR + 1)).gone


async def test_a_restart_forgets_no_news_but_waits_for_a_report_first(tmp_path):
    """Last heard of at 0. The aggregator starts again after 5 h, and a report comes within 1.5 h if the node lives."""
    with open_database(tmp_path) as database:
        report(Store(database, Bounds()))
    with open_database(tmp_path) as database:
        store, started = Store(database, Bounds()), 5.0 * HOUR

        assert {} == (await overview(store, int(6.5 * HOUR) - 1, started=started)).gone
        assert {"main": 1} == (await overview(store, int(6.5 * HOUR), started=started)).gone


async def test_a_short_restart_delays_nothing(tmp_path):
    with open_database(tmp_path) as database:
        report(Store(database, Bounds()))
    with open_database(tmp_path) as database:
        assert {"main": 1} == (await overview(Store(database, Bounds()), 3 * HOUR, started=1.0 * HOUR)).gone


async def test_a_fleet_that_is_gone_is_named_by_ten(store):
    for number in range(12):
        report(store, f"node-{number}")

    await overview(store, 4 * HOUR)

    ((nodes, examples),) = store.records.node_reports.gone().values()
    assert (12, 10) == (nodes, len(examples))


async def test_nodes_that_report_each_hour_do_not_use_up_the_runs():
    """A day of three nodes has 72 runs, and 30 may be stored. Those of the last six hours are kept: 3 * 7 at most."""
    bounds = Bounds(runs=30)
    settings = AggregatorSettings(bounds=bounds)
    with open_database(None) as database:
        store = Store(database, bounds)
        most = 0
        for hour in range(24):
            for node in ("a", "b", "c"):
                report(store, node, run=f"run-{hour}", at=hour * HOUR)
            shown = await overview(store, hour * HOUR, settings=settings)
            most = max(most, store.records.runs.count)

        assert (21, 3) == (most, shown.nodes[PRESENT])
        assert [(21,)] == database.execute("SELECT count(*) FROM run").fetchall()


async def test_the_newest_run_of_a_node_is_kept():
    settings = AggregatorSettings(bounds=Bounds(runs=1))
    with open_database(None) as database:
        store = Store(database, Bounds())
        report(store, every=0)

        assert 1 == (await overview(store, 20 * HOUR, settings=settings)).nodes[PRESENT]
        assert 1 == store.records.runs.count


def rejected(*problems, since=50.0):
    return ListRejected(problems=problems, since=since)


def shown_rejection(store):
    return rejection_of(store.database, 1, 1)


async def test_a_rejected_list_is_shown_until_a_run_does_not_say_so_any_more(store):
    report(store, first=(rejected("x:2: no", "x:3: no"),))
    shown, counted = shown_rejection(store), (await overview(store, 0)).rejecting

    report(store, run="run-2")

    assert ({"since": 50.0, "problem": "x:2: no", "problems": 2}, {"main": 1}) == (shown, counted)
    assert ({}, {}) == (shown_rejection(store), (await overview(store, 0)).rejecting)


def test_it_is_repeated_by_each_run_and_counts_once_in_each(store):
    report(store, first=(rejected("x"),))
    again = report(store, first=(rejected("x"),))
    report(store, run="run-2", first=(rejected("x"),))

    assert Receipt(accepted=0, duplicates=3) == again
    assert 50.0 == shown_rejection(store)["since"]


def test_a_late_batch_of_an_earlier_run_changes_nothing(store):
    report(store)
    report(store, run="run-2")
    report(store, first=(rejected("x"),))

    assert {} == shown_rejection(store)


def test_a_rejection_without_a_problem_is_one(store):
    report(store, first=(rejected(),))

    assert {"since": 50.0, "problem": "", "problems": 0} == shown_rejection(store)


async def test_a_node_that_is_gone_rejects_nothing(store):
    report(store, first=(rejected("x"),))

    assert {} == (await overview(store, 4 * HOUR)).rejecting
