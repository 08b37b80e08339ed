"""The board: what is shown, and that changes lead from one board to the next."""

from contextlib import asynccontextmanager

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.aggregator.settings import AggregatorSettings, Bounds
from nodeprefetch.aggregator.store.board import InstanceBoard
from nodeprefetch.aggregator.store.records import Submission
from nodeprefetch.aggregator.store.retention import forget
from nodeprefetch.aggregator.store.schema import open_database
from nodeprefetch.aggregator.store.store import Store
from nodeprefetch.board import BoardNode
from nodeprefetch.events import (
    AttemptFinished,
    AttemptStarted,
    GateOpened,
    ImageFinished,
    ListRejected,
    Outcome,
    Phase,
    Progress,
    PullsPaused,
    PullsResumed,
    RunEnd,
    RunFinished,
)
from nodeprefetch.settings import PullPolicy
from tests.support.batches import attempt, batch_of, begun, ended


@pytest.fixture
def store():
    with open_database(None) as database:
        yield Store(database, Bounds())


@asynccontextmanager
async def at_once():
    yield


def say(store, *events, now=1000, **about):
    store.write([[Submission(batch=batch_of(*events, **about))]], now)


async def board_of(store, instance="main"):
    """A board that is made anew."""
    number = store.records.instances.find(instance)
    board = InstanceBoard(store, instance, number)
    await board.refresh(at_once)
    board.close()
    return board.whole(0)


def pulling(image, attempt_id="a", at=91.0):
    return AttemptStarted(at=at, attempt_id=attempt_id, image=image, attempt=1, limit=30)


def progress(image, done, total, rate=0, attempt_id="a"):
    return Progress(
        attempt_id=attempt_id, image=image, phase=Phase.DOWNLOADING, done_bytes=done, total_bytes=total, rate=rate
    )


# What is shown


async def test_a_node_is_shown_with_a_character_for_each_image_of_the_list(store):
    say(store, begun("c:1", "a:1", "b:1", "d:1", "e:1"))
    say(store, ended("c:1"), ended("a:1", Outcome.PRESENT), ended("b:1", Outcome.FAILED), pulling("d:1"), now=1001)

    board = await board_of(store)

    assert ["c:1", "a:1", "b:1", "d:1", "e:1"] == [image.image for image in board.images]
    assert (BoardNode(node="node-1", state="failed", cells="srfpw", heard=1001, run_started=90),) == board.nodes
    assert {"failed": 1} == board.summary.nodes


async def test_an_image_that_is_not_in_the_list_of_a_node_has_a_dash(store):
    say(store, begun("a:1", "b:1"), node="node-1", run_id="1")
    say(store, begun("c:1", "b:1"), node="node-2", run_id="2")

    board = await board_of(store)

    assert ["c:1", "b:1", "a:1"] == [image.image for image in board.images]
    assert ["-ww", "ww-"] == [node.cells for node in board.nodes]


async def test_a_node_says_which_list_it_has(store):
    say(store, begun("a:1", list_digest="d1"))

    assert ["d1"] == [node.list_digest for node in (await board_of(store)).nodes]


@pytest.mark.parametrize("error_class", ["permanent", "refused", "no-space", "passing", "", "brand-new"])
async def test_images_have_failed_for_good_once_the_run_has_ended(store, error_class):
    """Only errors that do not pass count."""
    failed = msgspec.structs.replace(ended("c:1", Outcome.FAILED), error_class=error_class)
    say(store, begun("a:1", "b:1", "c:1"), ended("a:1"), failed, pulling("b:1"))
    reader = Reader(store)

    assert [()] == [node.final for node in (await reader.read()).nodes]

    say(
        store,
        ended("b:1"),
        RunFinished(run_id="run-1", end=RunEnd.FINISHED, succeeded=2, present=0, failed=1, elapsed=1, at=102.0),
        now=1001,
    )

    expected = (2,) if error_class in {"permanent", "refused", "no-space"} else ()
    assert [expected] == [node.final for node in (await reader.read()).nodes]
    assert [expected] == [node.final for node in (await board_of(store)).nodes]


# Changes


class Reader:
    """Applies messages as a page does."""

    def __init__(self, store, instance="main"):
        self.board = InstanceBoard(store, instance, store.records.instances.find(instance))
        self.revision = None
        self.shown = None
        self.changes = 0

    async def read(self):
        await self.board.refresh(at_once)
        change = self.board.change
        if self.board.revision == self.revision:
            return self.shown
        if self.revision is None or self.board.revision != self.revision + 1 or change is None:
            self.shown = self.board.whole(0)
        else:
            self.changes += 1
            self._apply(change)
        self.revision = self.board.revision
        return self.shown

    def _apply(self, change):
        nodes = {node.node: node for node in self.shown.nodes}
        assert set(change.removed) <= set(nodes)
        nodes = {name: node for name, node in nodes.items() if name not in change.removed}
        nodes |= {node.node: node for node in change.nodes}
        self.shown = msgspec.structs.replace(
            self.shown,
            summary=change.summary,
            nodes=tuple(nodes.values()),
            images=self.shown.images if change.images is None else change.images,
            causes=self.shown.causes if change.causes is None else change.causes,
        )


def sorted_by_name(board):
    return msgspec.structs.replace(board, nodes=tuple(sorted(board.nodes, key=lambda node: node.node)))


IMAGES = [f"{letter}:1" for letter in "abcde"]
image = st.sampled_from(IMAGES)
lists = st.permutations(IMAGES).flatmap(lambda images: st.integers(0, 5).map(lambda count: images[:count]))
moment = st.integers(90, 95).map(float)
text = st.sampled_from(["", "not found", "timed out"])
events = st.one_of(
    st.builds(
        lambda images, at, warm: msgspec.structs.replace(begun(*images, at=at, report_every=10), is_warm=warm),
        lists,
        moment,
        st.booleans(),
    ),
    st.builds(pulling, image, at=moment),
    st.builds(progress, image, st.integers(0, 120), st.sampled_from([0, 100, 200]), st.integers(0, 9)),
    st.builds(lambda image, error, at: attempt(image, at=at, error=error), image, text, moment),
    st.builds(
        lambda image, outcome, error, reason, digest, size, at: ImageFinished(
            at=at,
            image=image,
            outcome=outcome,
            policy=PullPolicy.ALWAYS,
            attempts=1,
            elapsed=1,
            size=size,
            digest=digest,
            error=error,
            error_class="permanent" if error else "",
            reason=reason if error else "",
        ),
        image,
        st.sampled_from([Outcome.SUCCEEDED, Outcome.PRESENT, Outcome.FAILED]),
        text,
        st.sampled_from(["not_found", "timeout"]),
        st.sampled_from(["", "sha256:1", "sha256:2"]),
        st.integers(0, 3),
        moment,
    ),
    st.builds(lambda images: PullsPaused(reason="io-pressure", images=tuple(images)), st.lists(image, max_size=2)),
    st.builds(
        lambda images: PullsResumed(reason="io-pressure", after=1, images=tuple(images)), st.lists(image, max_size=2)
    ),
    st.builds(lambda at: GateOpened(at=at, after=1, gave_up=True, missing_count=1), moment),
    st.builds(lambda: ListRejected(problems=("bad",), since=1)),
    st.builds(
        lambda at: RunFinished(at=at, run_id="", end=RunEnd.FINISHED, succeeded=1, present=0, failed=0, elapsed=1),
        moment,
    ),
)
steps = st.one_of(
    st.tuples(
        st.just("say"),
        st.lists(events, min_size=1, max_size=4),
        st.sampled_from(["node-1", "node-2", "node-3"]),
        st.sampled_from(["1", "2", "3"]),
        st.sampled_from(["main", "main", "other"]),
        st.sampled_from([False, False, False, True]),
    ),
    st.tuples(st.just("wait"), st.sampled_from([1, 20, 40, 200, 300])),
    st.tuples(st.just("read")),
    st.tuples(st.just("fail")),
)


@given(st.lists(steps, max_size=30), st.booleans())
async def test_changes_lead_from_the_first_board_to_what_a_new_one_shows(steps, is_small):
    """A retention of 100 s deletes states and runs, one of 30 s makes nodes go, and 120 s later names are forgotten."""
    settings = AggregatorSettings(retention=100, node_retention=30)
    with open_database(None) as database:
        store = Store(database, Bounds())
        if is_small:
            store.records.progress._most = 1
        now = 1000
        say(store, begun("a:1", "b:1"), now=now)
        reader = Reader(store)
        await reader.read()
        for kind, *what in steps:
            if kind == "say":
                events, node, run_id, instance, legacy = what
                if legacy:
                    events = [event for event in events if isinstance(event, AttemptFinished)]
                batch = batch_of(*events, node=node, run_id=run_id, instance=instance)
                store.write([[Submission(batch=batch, legacy=legacy)]], now)
            elif kind == "wait":
                now += what[0]
                await forget(store, settings, now)
            elif kind == "fail":
                store.fail("could not store", database.Error("disk I/O error"))
                store.recover()
            if store.records.instances.find("main") != reader.board.number:
                return
            if kind == "read":
                shown = sorted_by_name(await reader.read())
                assert sorted_by_name(await board_of(store)) == shown

        assert sorted_by_name(await board_of(store)) == sorted_by_name(await reader.read())
