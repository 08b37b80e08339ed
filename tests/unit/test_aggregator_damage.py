"""A database that is damaged: found at the start or by a reading, set aside, never served as an error for ever."""

import sqlite3
from contextlib import closing

import pytest
import trio
import trio.lowlevel

from nodeprefetch.aggregator.access.auth import Anyone
from nodeprefetch.aggregator.settings import AggregatorSettings, Bounds
from nodeprefetch.aggregator.store.damage import DamagedDatabaseError
from nodeprefetch.aggregator.store.records import Submission
from nodeprefetch.aggregator.store.retention import keep_in_bounds
from nodeprefetch.aggregator.store.schema import FILE, open_database
from nodeprefetch.aggregator.store.store import Store
from nodeprefetch.aggregator.web import legacy
from nodeprefetch.aggregator.web.app import make_app
from nodeprefetch.aggregator.web.service import make_service
from nodeprefetch.errors import UsageError
from tests.support.batches import attempt, batch_of, begun, ended

PAGE = 4096
READINGS = (("/metrics", "*/*"), ("/metrics", "text/plain"), ("/v1/status", "*/*"), ("/readyz", "*/*"))


def fill(store):
    for node in range(10):
        images = [f"image-{number}:1" for number in range(20)]
        events = [begun(*images), *map(attempt, images), *(ended(image, digest=f"sha256:{node}") for image in images)]
        store.write([[Submission(batch=batch_of(*events, node=f"node-{node}", run_id=f"run-{node}"))]], 2**40)


def filled(directory):
    """A file without a log beside it. Returns its number of pages."""
    with open_database(directory) as database:
        fill(Store(database, Bounds()))
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ((pages,),) = database.execute("PRAGMA page_count").fetchall()
    return pages


def garble(path, begin, size):
    with path.open("r+b") as file:
        file.seek(begin)
        file.write(b"\xa5" * size)


async def ask(app, path, accept):
    """The status and the body."""
    answers, body = [], []

    async def receive():
        await trio.lowlevel.checkpoint()
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        await trio.lowlevel.checkpoint()
        answers.append(message.get("status"))
        body.append(message.get("body", b""))

    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "http_version": "1.1"}
    await app({**scope, "headers": [(b"accept", accept.encode())]}, receive, send)
    return answers[0], b"".join(body)


def service_of(directory, database, log=lambda _: None):
    settings = AggregatorSettings(data_dir=directory)
    return make_service(settings, Store(database, settings.bounds, log=log), Anyone(), log)


async def test_whichever_page_is_damaged_everything_is_answered_after_the_start(tmp_path):
    """Garbled wholly, or in its middle; the first page behind its header, which would else be no database's."""
    whole = tmp_path / "whole"
    pages = filled(whole)
    bad, aside = [], 0
    for page in range(pages):
        for begin, size in ((100 if page == 0 else 0, PAGE - 100), (PAGE // 2, 64)):
            directory = tmp_path / f"{page}-{begin}"
            directory.mkdir()
            (directory / FILE).write_bytes((whole / FILE).read_bytes())
            garble(directory / FILE, page * PAGE + begin, size)
            said = []
            with open_database(directory, said.append) as database:
                app = make_app(service_of(directory, database), with_queries=True)
                bad += [(page, begin, path) for path, accept in READINGS if (await ask(app, path, accept))[0] != 200]
            aside += len(said)
            assert bool(said) == (directory / f"{FILE}.damaged").exists()

    assert [] == bad
    assert pages < aside


async def test_a_damaged_file_is_kept_and_a_new_one_begun(tmp_path):
    filled(tmp_path)
    garble(tmp_path / FILE, PAGE, 50 * PAGE)
    damaged, said = (tmp_path / FILE).read_bytes(), []

    with open_database(tmp_path, said.append) as database:
        assert 0 == Store(database, Bounds()).records.attempts

    (line,) = said
    assert line.startswith(f"database {tmp_path / FILE} is damaged: ")
    assert line.endswith(f" (kept as {FILE}.damaged; creating a new one)")
    assert damaged == (tmp_path / f"{FILE}.damaged").read_bytes()


def damage_under(database, path):
    """Damage the file of an open database, whose pages in memory become stale by the write of another."""
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE other (x)")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    garble(path, PAGE, 50 * PAGE)


async def test_damage_that_a_reading_meets_ends_the_aggregator_and_the_file_is_set_aside(tmp_path, autojump_clock):
    said = []
    with open_database(tmp_path) as database:
        fill(Store(database, Bounds()))
        service = service_of(tmp_path, database, said.append)
        app = make_app(service, with_queries=True)
        damage_under(database, tmp_path / FILE)

        answers = [await ask(app, path, accept) for path, accept in (*READINGS, READINGS[0])]
        assert {503} == {status for status, _ in answers}
        assert {b"malformed" in body for _, body in answers} == {True}
        with pytest.raises(DamagedDatabaseError, match=r"is damaged: .* \(kept as .*; restart to create a new one\)"):
            await keep_in_bounds(service.store, service.settings)

    assert 1 == len(said)
    with open_database(tmp_path) as database:
        assert 0 == Store(database, Bounds()).records.attempts


async def test_a_reading_that_fails_for_a_while_is_told_once_and_so_is_its_end(tmp_path, autojump_clock, monkeypatch):
    said = []
    with open_database(tmp_path) as database:
        fill(Store(database, Bounds()))
        service = service_of(tmp_path, database, said.append)
        app = make_app(service, with_queries=True)
        service.store.fail_reading(sqlite3.OperationalError("disk I/O error"))
        service.store.fail_reading(sqlite3.OperationalError("disk I/O error"))
        before = await ask(app, "/readyz", "*/*")
        service.store.write([[Submission(batch=batch_of(attempt()))]], 2**40)
        still = await ask(app, "/readyz", "*/*")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_in_bounds, service.store, service.settings)
            while not service.store.is_healthy:  # noqa: ASYNC110 - by a thread, in real time
                await trio.sleep(1)
            nursery.cancel_scope.cancel()
        after = await ask(app, "/readyz", "*/*")

    assert [503, 503, 200] == [status for status, _ in (before, still, after)]
    assert b'{"reason":"not_readable","error":"could not read results: disk I/O error"}' == before[1]
    assert [
        "could not read results: disk I/O error (not ready until the database can be read again)",
        "database can be read again",
    ] == said


async def test_an_answer_whose_rest_cannot_be_read_is_cut_so_that_it_is_no_whole_list(tmp_path, monkeypatch):
    monkeypatch.setattr(legacy, "_PART", 1000)
    with open_database(tmp_path) as database:
        fill(Store(database, Bounds()))
        service = service_of(tmp_path, database)
        ends = []

        async def receive():
            await trio.sleep_forever()

        async def send(message):
            await trio.lowlevel.checkpoint()
            ends.append(message.get("more_body"))
            database.set_authorizer(lambda *_: sqlite3.SQLITE_DENY)

        scope = {"type": "http", "method": "GET", "path": "/metrics", "query_string": b"", "http_version": "1.1"}
        await make_app(service, with_queries=True)({**scope, "headers": []}, receive, send)
        database.set_authorizer(None)

    assert False not in ends
    assert "not_readable" == service.store.problem.reason


@pytest.mark.parametrize("fails", [True, False])
async def test_a_reader_of_the_live_stream_is_let_go_when_it_cannot_be_read(tmp_path, fails):
    with open_database(tmp_path) as database:
        fill(Store(database, Bounds()))
        service = service_of(tmp_path, database)
        if fails:
            database.set_authorizer(lambda *_: sqlite3.SQLITE_DENY)
        service.writer.stop()

        answer = await ask(make_app(service, with_queries=True), "/v1/events", "*/*")
        database.set_authorizer(None)

    assert (200, b"retry: 2000\n\n") == answer
    assert fails is not service.store.is_healthy


@pytest.mark.parametrize("version", [0, 7])
def test_a_damaged_database_of_somebody_else_stays_as_it_is(tmp_path, version):
    with closing(sqlite3.connect(tmp_path / FILE)) as other:
        other.executescript(
            f"PRAGMA user_version = {version}; CREATE TABLE a (x); INSERT INTO a VALUES (zeroblob(9000))"
        )
    garble(tmp_path / FILE, PAGE, PAGE)
    before = (tmp_path / FILE).read_bytes()

    with pytest.raises(UsageError), open_database(tmp_path):
        pass

    assert before == (tmp_path / FILE).read_bytes()
    assert not (tmp_path / f"{FILE}.damaged").exists()
