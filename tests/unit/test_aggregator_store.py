"""What transactions leave in the database."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.settings import AggregatorSettings, Bounds
from nodeprefetch.aggregator.store.overview import Overviews
from nodeprefetch.aggregator.store.records import Receipt, Submission
from nodeprefetch.aggregator.store.retention import forget
from nodeprefetch.aggregator.store.schema import FILE, open_database
from nodeprefetch.aggregator.store.store import Store, StoreError
from nodeprefetch.errors import UsageError
from nodeprefetch.events import GateOpened, Notice, Outcome, RegistryThrottled, RunEnd, RunFinished, TagMoved
from tests.support.batches import attempt, batch_of, begun, ended

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def database():
    with open_database(None) as database:
        yield database


def one(store, batch, now=1000, **how):
    (answer,) = store.write([[Submission(batch=batch, **how)]], now)
    return answer


def rows(database, select):
    return database.execute(select).fetchall()


def test_temporary_data_are_in_memory(database):
    """The file system of the aggregator's container is read-only: statements that need temporary files would fail."""
    assert [(2,)] == rows(database, "PRAGMA temp_store")


def test_events_are_accepted_once(database):
    store = Store(database, Bounds())
    finished = RunFinished(run_id="run-1", end=RunEnd.FINISHED, succeeded=1, present=0, failed=0, elapsed=2.0)
    batch = batch_of(begun("a:1"), attempt(), ended(), finished)

    assert Receipt(accepted=4, duplicates=0) == one(store, batch)
    assert Receipt(accepted=0, duplicates=4) == one(store, batch)
    assert [(1, 1, 1, 1)] == rows(
        database,
        "SELECT (SELECT count(*) FROM attempt), (SELECT count(*) FROM state), (SELECT count(*) FROM run),"
        " (SELECT count(*) FROM live)",
    )


def test_of_a_batch_known_in_part_the_rest_is_news(database):
    store = Store(database, Bounds())
    first, second = attempt(), attempt()
    one(store, batch_of(first))

    assert Receipt(accepted=2, duplicates=1) == one(store, batch_of(first, second, Notice(message="x")))
    assert 2 == store.records.attempts


def test_of_two_attempts_with_one_id_in_a_batch_the_first_is_news(database):
    store = Store(database, Bounds())

    assert Receipt(accepted=1, duplicates=1) == one(store, batch_of(attempt(attempt_id="x"), attempt(attempt_id="x")))
    assert [(1,)] == rows(database, "SELECT count(*) FROM attempt")


def test_a_node_cannot_speak_for_the_run_of_another(database):
    store = Store(database, Bounds())
    one(store, batch_of(begun("a:1"), attempt(attempt_id="x"), ended()))

    answer = one(store, batch_of(begun("a:1", node="node-2"), attempt(attempt_id="x"), ended(), node="node-2"))

    assert Receipt(accepted=3, duplicates=0) == answer


def test_a_result_of_the_older_tool_replaces_the_one_with_its_id(database):
    store = Store(database, Bounds())
    one(store, batch_of(attempt("a:1", attempt_id="x"), run_id=""), legacy=True)

    answer = one(store, batch_of(attempt("b:1", attempt_id="x"), run_id=""), legacy=True)

    assert Receipt(accepted=0, duplicates=1) == answer
    assert [("b:1", "node-1")] == rows(
        database,
        "SELECT image.name, node.name FROM attempt JOIN image ON image.id = image JOIN node ON node.id = node",
    )


def test_a_node_replaces_no_result_of_another(database):
    store = Store(database, Bounds())
    one(store, batch_of(attempt("a:1", attempt_id="x"), run_id=""), legacy=True)

    answer = one(store, batch_of(attempt("b:1", attempt_id="x"), run_id="", node="node-2"), legacy=True)

    assert Receipt(accepted=1, duplicates=0) == answer
    assert [("a:1", "node-1"), ("b:1", "node-2")] == rows(
        database,
        "SELECT image.name, node.name FROM attempt JOIN image ON image.id = image JOIN node ON node.id = node",
    )


def test_a_refused_submission_reads_no_table_again(database):
    """However many names and tallies there are, it costs what it has done itself."""
    store = Store(database, Bounds(instances=1))
    one(store, batch_of(*(attempt(f"image-{number}:1") for number in range(50))))
    statements: list[str] = []
    database.set_trace_callback(statements.append)

    answers = store.write([[Submission(batch=batch_of(attempt(), instance=f"other-{n}"))] for n in range(10)], 5)

    database.set_trace_callback(None)
    assert ["too_many_instances"] * 10 == [answer.reason for answer in answers]
    assert [] == [statement for statement in statements if statement.startswith(("SELECT", "INSERT OR REPLACE"))]


def test_what_a_refused_submission_has_named_is_forgotten_and_what_it_heard_again_too(database):
    store = Store(database, Bounds(images=1))
    one(store, batch_of(attempt("a:1")), now=1000)

    refused = one(store, batch_of(attempt("b:1"), node="node-2", run_id="run-2"), now=2000)
    one(store, batch_of(attempt("a:1")), now=2000)

    assert isinstance(refused, RefusedError)
    assert (None, 1) == (store.records.nodes.find("node-2"), store.records.runs.count)
    assert [("node-1", 2000)] == rows(database, "SELECT name, heard FROM node")
    assert [2000] == [heard for (heard,) in rows(database, "SELECT heard FROM image")]


def test_runs_have_a_bound_and_a_batch_without_events_begins_none(database):
    store = Store(database, Bounds(runs=1))
    empty = one(store, batch_of(run_id="run-0"))

    first = one(store, batch_of(attempt()))
    second = one(store, batch_of(attempt(), run_id="run-2"))

    assert Receipt(accepted=0, duplicates=0) == empty
    assert Receipt(accepted=1, duplicates=0) == first
    assert (429, "too_many_runs") == (second.status, second.reason)
    assert [("run-1",)] == rows(database, "SELECT run_id FROM run")


def test_a_full_disk_is_named_and_results_are_taken_again_afterwards(tmp_path):
    said = []
    with open_database(tmp_path) as database:
        store = Store(database, Bounds(), log=said.append)
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        database.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match="disk is full"):
            one(store, batch_of(*(attempt(f"image-{number}:1", error="x" * 5000) for number in range(20))))
        with pytest.raises(StoreError, match="disk is full"):
            one(store, batch_of(*(attempt(f"image-{number}:1", error="x" * 5000) for number in range(20))))
        unhealthy = not store.is_healthy
        database.execute("PRAGMA max_page_count = 100000")
        store.recover()

        assert (True, True, 2) == (unhealthy, store.is_healthy, len(said))
        assert "disk is full" in said[0]
        assert Receipt(accepted=1, duplicates=0) == one(store, batch_of(attempt()))
        assert 1 == store.records.attempts


def test_space_of_a_new_file_can_be_given_back(tmp_path):
    with open_database(tmp_path) as database:
        assert [(2,)] == rows(database, "PRAGMA auto_vacuum")  # incremental


_TO_2 = "DROP TABLE throttled; PRAGMA user_version = 2;"
_TO_1 = """
CREATE TABLE one AS SELECT * FROM attempt; DROP TABLE attempt; ALTER TABLE one RENAME TO attempt;
PRAGMA user_version = 1;
"""
_EARLIER = {
    4: ("results-4.sql", ""),
    3: ("results-3.sql", ""),
    2: ("results-3.sql", _TO_2),
    1: ("results-3.sql", _TO_2 + _TO_1),
}
"""Databases of earlier versions: a recorded one, and what makes it still older."""


def _record(directory, version):
    name, changes = _EARLIER[version]
    with closing(sqlite3.connect(directory / FILE)) as earlier:
        earlier.executescript((DATA / name).read_text() + changes)


@pytest.mark.parametrize("version", _EARLIER)
def test_a_file_of_an_earlier_version_is_taken_over(tmp_path, version):
    _record(tmp_path, version)
    moved = TagMoved(image="a:latest", before="sha256:1", after="sha256:2")

    with open_database(tmp_path) as database, open_database(None) as new:
        store = Store(database, Bounds())
        assert _columns(new) == _columns(database)
        assert Receipt(accepted=0, duplicates=1) == one(store, batch_of(attempt("a:latest", attempt_id="x")))
        assert Receipt(accepted=2, duplicates=0) == one(
            store, batch_of(RegistryThrottled(registry="quay.io", seconds=3, total=3), moved)
        )
        assert ([3], [1]) == ([*store.records.throttles.totals.values()], [*store.records.tag_moves.totals.values()])
        assert [("a:latest", "succeeded", "sha256:1"), ("b:1", "waiting", "")] == rows(
            database, "SELECT name, state, moved_from FROM state JOIN image ON image.id = image ORDER BY name"
        )


@pytest.mark.parametrize("version", _EARLIER)
def test_a_file_of_an_earlier_version_takes_what_later_ones_store(tmp_path, version):
    _record(tmp_path, version)

    with open_database(tmp_path) as database:
        one(Store(database, Bounds()), batch_of(begun("a:1", run_id="2", list_digest="0123"), attempt(), run_id="2"))

        assert [(1, ""), (2, "0123")] == rows(database, "SELECT id, list_digest FROM run")
        assert [("x", 0), ("y", 0), ("", 30)] == rows(
            database, "SELECT iif(run = 1, attempt_id, ''), timeout FROM attempt ORDER BY seq"
        )


def test_a_file_of_an_earlier_version_takes_what_gates_say(tmp_path):
    _record(tmp_path, 3)

    with open_database(tmp_path) as database:
        store = Store(database, Bounds())
        one(store, batch_of(GateOpened(after=900, gave_up=True)))

        assert [1] == [*store.records.gates.gave_up().values()]


def _columns(database):
    """Name, type and default of all columns; their order may differ."""
    tables = [name for (name,) in rows(database, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    return {table: sorted(row[1:] for row in rows(database, f"PRAGMA table_info({table})")) for table in tables}


def test_a_new_run_forgets_images_its_list_has_no_more(database):
    store = Store(database, Bounds())
    one(store, batch_of(begun("a:1", "b:1"), ended("a:1"), ended("b:1")))
    one(store, batch_of(begun("b:1", "c:1", run_id="run-2"), run_id="run-2"))

    assert [("b:1", "waiting"), ("c:1", "waiting")] == rows(
        database, "SELECT name, state FROM state JOIN image ON image.id = image ORDER BY name"
    )
    assert 2 == store.records.states


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [
        (Bounds(nodes=1), "too_many_nodes"),
        (Bounds(images=1), "too_many_images"),
        (Bounds(instances=1), "too_many_instances"),
        (Bounds(states=1), "too_many_states"),
    ],
)
def test_beyond_a_bound_a_submission_leaves_nothing_and_harms_no_other(database, bounds, reason):
    store = Store(database, bounds)
    good, bad = batch_of(attempt("a:1")), batch_of(attempt("b:1"), node="node-2", instance="other", run_id="run-2")

    first, second, third = store.write([[Submission(batch=each)] for each in (good, bad, batch_of(attempt("a:1")))], 5)

    assert isinstance(second, RefusedError)
    assert (429, reason, 5) == (second.status, second.reason, second.retry_after)
    assert [Receipt(accepted=1, duplicates=0)] * 2 == [first, third]
    assert [("node-1", 2)] == rows(
        database, "SELECT node.name, count(*) FROM attempt JOIN node ON node.id = node GROUP BY 1"
    )
    assert [("a:1",)] == rows(database, "SELECT name FROM image")
    assert 2 == sum(sum(tally.counts) for _, _, tally in store.records.tallies)


def test_a_database_that_cannot_be_written_is_told_and_recovers(tmp_path):
    with open_database(tmp_path) as database:
        store = Store(database, Bounds())
        database.execute("PRAGMA query_only = 1")
        with pytest.raises(StoreError, match="could not store results"):
            one(store, batch_of(attempt()))
        unhealthy = store.is_healthy
        database.execute("PRAGMA query_only = 0")

        assert Receipt(accepted=1, duplicates=0) == one(store, batch_of(attempt()))
        assert (False, True, 1) == (unhealthy, store.is_healthy, store.records.attempts)


def test_everything_is_there_again_after_a_restart(tmp_path):
    batch = batch_of(begun("a:1"), attempt(), ended())
    with open_database(tmp_path) as database:
        one(Store(database, Bounds()), batch)

    with open_database(tmp_path) as database:
        store = Store(database, Bounds())

        assert Receipt(accepted=0, duplicates=3) == one(store, batch)
        assert (1, 1, 1) == (store.records.attempts, store.records.states, len(list(store.records.tallies)))


def test_two_processes_do_not_share_a_directory(tmp_path):
    with (
        open_database(tmp_path),
        pytest.raises(UsageError, match="another aggregator uses it"),
        open_database(tmp_path),
    ):
        pass


def test_a_directory_that_cannot_be_made_is_wrong_usage(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match="/file: File exists"), open_database(tmp_path / "file"):
        pass


def test_a_file_that_is_no_database_is_wrong_usage(tmp_path):
    (tmp_path / FILE).write_bytes(b"no database" * 100)

    with pytest.raises(UsageError, match="file is not a database"), open_database(tmp_path):
        pass


def test_a_database_of_another_version_is_wrong_usage(tmp_path):
    other = sqlite3.connect(tmp_path / FILE)
    other.execute("PRAGMA user_version = 99")
    other.close()

    with pytest.raises(UsageError, match="it has version 99"), open_database(tmp_path):
        pass


async def test_what_is_old_is_forgotten_and_what_is_new_stays(database):
    store, settings = Store(database, Bounds()), AggregatorSettings(retention=100)
    one(store, batch_of(begun("old:1"), attempt("old:1"), ended("old:1")), now=1000)
    one(store, batch_of(attempt("new:1"), run_id="run-2", node="node-2", instance="other"), now=2000)

    await forget(store, settings, 2050)

    assert {"attempt": 1, "state": 1, "run": 1, "live": 1} == store.records.forgotten
    for table in ("node", "image", "instance", "run", "attempt", "state", "live", "tally"):
        assert (table, [(1,)]) == (table, rows(database, f"SELECT count(*) FROM {table}"))
    assert ["new:1"] == [name for (name,) in rows(database, "SELECT name FROM image")]
    assert (1, 1) == (store.records.attempts, store.records.states)


async def test_a_name_that_is_heard_again_stays(database):
    store = Store(database, Bounds())
    one(store, batch_of(attempt("a:1")), now=1000)
    one(store, batch_of(attempt("a:1")), now=2000)

    await forget(store, AggregatorSettings(retention=100), 2050)

    assert [("a:1",)] == rows(database, "SELECT name FROM image")
    assert 1 == store.records.attempts


async def test_of_too_many_results_the_oldest_are_forgotten(database):
    store, settings = Store(database, Bounds()), AggregatorSettings(max_results=3)
    attempts = [attempt() for _ in range(1200)]
    one(store, batch_of(*attempts))

    await forget(store, settings, 1000)

    assert [(each.attempt_id,) for each in attempts[-3:]] == rows(database, "SELECT attempt_id FROM attempt")
    assert 1200 == sum(sum(tally.counts) for _, _, tally in store.records.tallies)


async def test_the_backlog_of_the_stream_has_a_bound_in_bytes(database):
    store, settings = Store(database, Bounds()), AggregatorSettings(bounds=Bounds(backlog=1000))
    for _ in range(20):
        one(store, batch_of(attempt()))

    await forget(store, settings, 1000)

    ((kept, size),) = rows(database, "SELECT count(*), sum(length(body)) FROM live")
    assert 0 < kept < 20
    assert size <= 1000
    assert size == store.records.live_bytes


async def test_a_tag_that_means_two_digests_is_seen(database):
    store = Store(database, Bounds())
    for node, digest in (("node-1", "sha256:1"), ("node-2", "sha256:2"), ("node-3", "sha256:2")):
        one(store, batch_of(ended("a:1", digest=digest), ended("b:1", digest="sha256:3"), node=node))

    (skew,) = await Overviews(store).skew()

    assert ("a:1", [("sha256:1", 1, ["node-1"]), ("sha256:2", 2, ["node-2", "node-3"])]) == (
        skew.image,
        [(each.digest, each.nodes, each.examples) for each in skew.digests],
    )


async def test_a_node_is_as_its_worst_image(database):
    store = Store(database, Bounds())
    one(store, batch_of(ended("a:1"), ended("b:1", Outcome.FAILED)))
    one(store, batch_of(ended("a:1"), ended("b:1", Outcome.PRESENT), node="node-2"))
    one(store, batch_of(ended("a:1", Outcome.PRESENT), node="node-3"))
    one(store, batch_of(ended("a:1"), begun("a:1", "b:1", node="node-4"), node="node-4"))

    assert {("main", "failed"): 1, ("main", "succeeded"): 1, ("main", "present"): 1, ("main", "waiting"): 1} == (
        (await Overviews(store).latest()).nodes
    )


async def test_an_overview_is_made_again_only_after_a_change(database):
    store = Store(database, Bounds())
    overviews = Overviews(store)
    before = await overviews.latest()

    assert before is await overviews.latest()
    one(store, batch_of(ended()))
    assert before is not await overviews.latest()


def test_never_more_results_are_kept_than_were_asked_for_while_they_come(database):
    store = Store(database, Bounds(backlog=10_000), results_kept=50)
    for number in range(20):
        store.write([[Submission(batch=batch_of(*(attempt() for _ in range(30)), run_id=str(number)))]], 1000)

        assert rows(database, "SELECT count(*) FROM attempt") == [(store.records.attempts,)]
        assert 50 >= store.records.attempts
        assert 10_000 >= store.records.live_bytes
    assert 550 == store.records.forgotten["attempt"]


def test_a_transaction_deletes_no_more_than_twice_what_it_adds(database):
    """After a restart with a smaller number the rest is left to the retention, which does it in steps."""
    one(Store(database, Bounds()), batch_of(*(attempt() for _ in range(100))))
    store = Store(database, Bounds(), results_kept=10)

    one(store, batch_of(attempt(), attempt(), attempt()))

    assert [(97,)] == rows(database, "SELECT count(*) FROM attempt")


def test_nothing_is_looked_at_after_the_first_refusal_of_a_request(database):
    store = Store(database, Bounds(instances=1))
    batches = [batch_of(attempt(attempt_id=f"{n}"), instance=name) for n, name in enumerate(["main", "other", "main"])]

    first, second = store.write(
        [[Submission(batch=each) for each in batches], [Submission(batch=batch_of(attempt(attempt_id="4")))]], 5
    )

    assert ("too_many_instances", Receipt(accepted=1, duplicates=0)) == (first.reason, second)
    assert [("0",), ("4",)] == rows(database, "SELECT attempt_id FROM attempt")
