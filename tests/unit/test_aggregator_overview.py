"""What is counted and shown of very many states: in slices, between which others go on."""

import pytest
import trio
import trio.lowlevel
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.aggregator.access.auth import Anyone
from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.settings import AggregatorSettings, Bounds
from nodeprefetch.aggregator.store import overview, slices
from nodeprefetch.aggregator.store.overview import Overviews
from nodeprefetch.aggregator.store.records import Submission
from nodeprefetch.aggregator.store.retention import forget
from nodeprefetch.aggregator.store.schema import open_database
from nodeprefetch.aggregator.store.slices import WITHIN
from nodeprefetch.aggregator.store.store import Store
from nodeprefetch.aggregator.web import exposition as exposition_module
from nodeprefetch.aggregator.web import status
from nodeprefetch.aggregator.web.exposition import exposition
from nodeprefetch.aggregator.web.service import make_service
from nodeprefetch.events import Outcome
from tests.support.batches import batch_of, begun, ended


@pytest.fixture
def database():
    with open_database(None) as database:
        yield database


def say(store, *events, now=1000, **about):
    (answer,) = store.write([[Submission(batch=batch_of(*events, **about))]], now)
    return answer


def fill(store, nodes, images, **how):
    for node in range(nodes):
        say(store, *(ended(f"{image}:1", **how) for image in range(images)), node=f"node-{node}", run_id=f"{node}")


@given(
    keys=st.sets(st.tuples(*[st.integers(1, 4)] * 3), max_size=40),
    rows=st.integers(1, 7),
    after=st.tuples(*[st.integers(0, 5)] * 3),
    last=st.tuples(*[st.integers(0, 5)] * 3),
)
async def test_slices_together_are_all_in_their_order_once(keys, rows, after, last):
    with open_database(None) as database, pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "_ROWS", rows)
        database.executemany(
            "INSERT INTO state (instance, node, image, run, state, since, attempt, duration, error, error_class,"
            " reason, size, digest, received)"
            " VALUES (?, ?, ?, 1, 'present', 1, 1, 1, '', '', '', 1, '', 1)",
            [(instance, node, image) for node, instance, image in sorted(keys)],
        )
        found = []
        async for part in slices.slices(database, after, last):
            part_of = database.execute(
                f"SELECT node, instance, image FROM state WHERE {WITHIN} ORDER BY 1, 2, 3", part
            ).fetchall()
            assert rows >= len(part_of)
            found += part_of

    assert [key for key in sorted(keys) if after < key <= last] == found


@pytest.mark.parametrize("rows", [1, 7, 2000])
async def test_an_overview_is_the_same_however_it_is_cut(database, monkeypatch, rows):
    store = Store(database, Bounds())
    fill(store, 5, 4)
    say(store, ended("0:1", Outcome.FAILED), node="node-5", run_id="x")
    monkeypatch.setattr(slices, "_ROWS", rows)

    found = await Overviews(store).latest()

    assert {("main", "succeeded"): 20, ("main", "failed"): 1} == found.images
    assert {("main", "succeeded"): 5, ("main", "failed"): 1} == found.nodes
    assert {"main": 1000} == found.last_runs


async def missing_series(store):
    service = make_service(AggregatorSettings(), store, Anyone(), lambda _: None)
    text, _ = await exposition(service, "text/plain", "a")
    return [line.split("nodes")[1] for line in text.decode().splitlines() if line.startswith("nodeprefetch_image_mi")]


async def test_an_image_counts_as_missing_on_each_node_whose_list_has_it_and_that_lacks_it(database):
    store = Store(database, Bounds())
    say(store, begun("a:1", "b:1", "c:1"), ended("a:1"), ended("b:1", Outcome.FAILED), node="node-1", run_id="1")
    say(store, begun("b:1", "c:1"), ended("c:1", Outcome.PRESENT), node="node-2", run_id="2")
    say(store, begun("c:1"), node="node-3", run_id="3", instance="other")

    assert [
        '{image="b:1",instance="main"} 2.0',
        '{image="c:1",instance="main"} 1.0',
        '{image="c:1",instance="other"} 1.0',
    ] == await missing_series(store)


@pytest.mark.parametrize("module", [overview, exposition_module])
async def test_beyond_a_number_of_missing_images_the_others_of_an_instance_share_a_series(
    database, monkeypatch, module
):
    monkeypatch.setattr(module, "_MISSING_COUNTED" if module is overview else "_IMAGES_NAMED", 2)
    store = Store(database, Bounds())
    fill(store, 3, 2, outcome=Outcome.FAILED)
    say(store, *(ended(f"{image}:1", Outcome.FAILED) for image in (2, 3)), node="node-0", run_id="0")

    assert [
        '{image="0:1",instance="main"} 3.0',
        '{image="1:1",instance="main"} 3.0',
        '{image="(others)",instance="main"} 2.0',
    ] == await missing_series(store)


async def test_others_go_on_while_an_overview_or_a_page_is_made(database):
    store = Store(database, Bounds())
    fill(store, 30, 300)
    service = make_service(AggregatorSettings(), store, Anyone(), lambda _: None)
    turns = 0

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async def turns_during(work):
        before = turns
        await work
        return turns - before

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        during = [
            await turns_during(exposition(service, "text/plain", "a")),
            await turns_during(status._rows(store, {"state": "failed"}, None, 10)),
            await turns_during(status._rows(store, {"image": "7:1"}, None, 100)),
        ]
        nursery.cancel_scope.cancel()

    assert 9000 // slices._ROWS <= min(during)


async def test_who_asks_together_is_given_one_overview_that_has_what_was_stored_before(database):
    store = Store(database, Bounds())
    overviews = Overviews(store)
    say(store, ended("a:1"))
    found = []

    async def ask():
        found.append(await overviews.latest())

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask)

    assert 1 == len({id(each) for each in found})
    say(store, ended("b:1"))
    assert {("main", "succeeded"): 2} == (await overviews.latest()).images


async def test_of_very_many_digests_few_are_named_and_all_nodes_counted(database, monkeypatch):
    monkeypatch.setattr(overview, "_DIGESTS_NAMED", 2)
    monkeypatch.setattr(overview, "_IMAGES_NAMED", 1)
    store = Store(database, Bounds())
    for node in range(5):
        digest = f"sha256:{node}"
        say(store, ended("a:1", digest=digest), ended("b:1", digest=digest), node=f"node-{node}", run_id=f"{node}")
    overviews = Overviews(store)

    (skew,) = await overviews.skew()

    assert 2 == len((await overviews.latest()).skewed)
    assert ("a:1", [("sha256:0", 1), ("sha256:1", 1), ("(others)", 3)]) == (
        skew.image,
        [(each.digest, each.nodes) for each in skew.digests],
    )


async def test_a_refused_submission_of_a_new_instance_is_in_no_overview(database):
    store = Store(database, Bounds(images=1))
    say(store, ended("a:1"), now=1000)
    assert isinstance(say(store, ended("b:1"), instance="other", now=2000), RefusedError)
    assert isinstance(say(store, ended("b:1"), now=2000), RefusedError)

    assert {"main": 1000} == (await Overviews(store).latest()).last_runs


async def test_an_instance_that_is_forgotten_has_no_last_run(database):
    store = Store(database, Bounds())
    say(store, ended("a:1"), now=1000)
    say(store, ended("a:1"), instance="other", now=9000)

    await forget(store, AggregatorSettings(retention=100), 9000)

    assert {"other": 9000} == (await Overviews(store).latest()).last_runs


async def test_a_page_of_long_errors_ends_before_its_limit_and_goes_on(database, monkeypatch):
    monkeypatch.setattr(status, "_LARGE", 20)
    store = Store(database, Bounds())
    fill(store, 1, 10, outcome=Outcome.FAILED)
    found, after, has_more = [], None, True
    while has_more:
        page, has_more = await status._rows(store, {}, after, 100)
        assert len(page) <= 3  # "not found", 9 characters each
        found += page
        after = page[-1][:3]

    assert 10 == len(found)
