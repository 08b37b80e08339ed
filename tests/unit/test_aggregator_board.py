"""The board: what is shown, and that changes lead from one board to the next."""

from contextlib import asynccontextmanager

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.aggregator.settings import AggregatorSettings, Bounds
from nodeprefetch.aggregator.store import board as board_module
from nodeprefetch.aggregator.store import board_columns, board_counts, board_node
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
    NodeDescribed,
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


async def test_pulls_have_shares_and_a_paused_one_has_no_rate(store):
    say(store, begun("a:1", "b:1", "c:1"), *(pulling(image) for image in ("a:1", "b:1", "c:1")))
    say(store, progress("a:1", 25, 100, rate=10), progress("c:1", 50, 100, rate=7))
    say(store, PullsPaused(reason="io-pressure", images=("c:1",)))

    board = await board_of(store)

    (node,) = board.nodes
    assert ("ppp", {"0": 25, "2": 50}) == (node.cells, node.shares)
    assert (75, 200, 10) == (node.done_bytes, node.total_bytes, node.rate)
    assert (75, 200, 10) == (board.summary.done_bytes, board.summary.total_bytes, board.summary.rate)


async def test_bytes_without_totals_are_those_that_have_come(store):
    """CRI-O does not report totals. Sizes that other nodes report are no help for the time left: it unpacks them."""
    say(
        store,
        begun("a:1", "b:1"),
        attempt("a:1"),
        ended("a:1"),
        attempt("b:1"),
        ended("b:1"),
        node="node-1",
        run_id="1",
    )
    say(store, begun("a:1", "b:1"), *(pulling(image) for image in ("a:1", "b:1")), node="node-2", run_id="2")
    say(store, progress("a:1", 25, 0, rate=10), progress("b:1", 50, 0, rate=7), node="node-2", run_id="2")

    board = await board_of(store)

    node = next(each for each in board.nodes if each.node == "node-2")
    assert ({}, 75, 0, 17) == (node.shares, node.done_bytes, node.total_bytes, node.rate)
    assert (75, 0, 17) == (board.summary.done_bytes, board.summary.total_bytes, board.summary.rate)
    assert None is board.summary.seconds_left


async def test_of_nodes_with_and_without_totals_the_former_count(store):
    say(store, begun("a:1"), pulling("a:1"), progress("a:1", 25, 100), node="node-1", run_id="1")
    say(store, begun("a:1"), pulling("a:1"), progress("a:1", 70, 0), node="node-2", run_id="2")

    summary = (await board_of(store)).summary

    assert (25, 100) == (summary.done_bytes, summary.total_bytes)


async def test_the_time_left_is_that_of_the_slowest_node_with_what_it_has_not_begun(store):
    """node-2 has 80 of a, and the 1,000 of b that node-1 has reported: 1080 / 10. node-3 has 30 / 10."""
    say(store, begun("a:1", "b:1"), attempt("b:1"), ended("b:1"), node="node-1", run_id="1")
    say(store, begun("a:1", "b:1"), pulling("a:1"), progress("a:1", 20, 100, rate=10), node="node-2", run_id="2")
    say(store, begun("a:1"), pulling("a:1"), progress("a:1", 70, 100, rate=10), node="node-3", run_id="3")

    assert 108 == (await board_of(store)).summary.seconds_left


async def test_the_time_left_is_unknown_while_no_node_has_a_rate(store):
    say(store, begun("a:1"), pulling("a:1"), progress("a:1", 20, 100))

    assert None is (await board_of(store)).summary.seconds_left


async def test_causes_are_those_of_the_most_nodes_first_with_ten_of_their_names(store):
    for number in range(12):
        failed = attempt("b:1", error="not found")
        say(store, begun("a:1", "b:1"), failed, ended("a:1"), node=f"node-{number}", run_id=f"{number}")
    say(store, begun("a:1"), attempt("a:1", error="denied"), node="node-x", run_id="x")

    one, other = (await board_of(store)).causes

    assert ("b:1", "permanent", "not_found", "not found", 12, False) == (
        one.image,
        one.error_class,
        one.reason,
        one.error,
        one.nodes,
        one.is_final,
    )
    assert tuple(f"node-{number}" for number in range(10)) == one.examples
    assert ("a:1", 1, ("node-x",)) == (other.image, other.nodes, other.examples)


@pytest.mark.parametrize(("second", "is_final"), [(Outcome.FAILED, True), (None, False)])
async def test_a_cause_is_final_when_all_of_its_nodes_have_given_up(store, second, is_final):
    for number, outcome in enumerate((Outcome.FAILED, second)):
        failed = attempt("a:1", error="not found")
        end = ImageFinished(
            at=101,
            image="a:1",
            outcome=Outcome.FAILED,
            policy=PullPolicy.ALWAYS,
            attempts=1,
            elapsed=1,
            error=failed.error,
            error_class=failed.error_class,
            reason=failed.reason,
        )
        say(store, begun("a:1"), failed, *([end] if outcome else []), node=f"node-{number}", run_id=f"{number}")

    (cause,) = (await board_of(store)).causes

    assert (2, is_final) == (cause.nodes, cause.is_final)


async def test_an_image_that_is_there_has_no_cause_although_its_registry_did_not_answer(store):
    event = msgspec.structs.replace(ended("a:1", Outcome.PRESENT), error="timed out")
    say(store, begun("a:1"), event)

    assert () == (await board_of(store)).causes


async def test_a_long_error_is_cut(store):
    say(store, begun("a:1"), attempt("a:1", error="e" * 5_000))
    say(store, ListRejected(problems=("p" * 5_000,), since=1))

    board = await board_of(store)

    assert (1_000, 1_000) == (len(board.causes[0].error), len(board.nodes[0].list_rejected))


async def test_beyond_a_number_of_images_the_others_are_counted_and_their_states_and_causes_stay(store, monkeypatch):
    monkeypatch.setattr(board_columns, "MOST", 2)
    say(store, begun("a:1", "b:1", "c:1"), ended("a:1"), ended("b:1"), attempt("c:1", error="not found"))

    board = await board_of(store)

    assert (["a:1", "b:1"], 1) == ([image.image for image in board.images], board.images_left_out)
    assert [("waiting", "ss")] == [(node.state, node.cells) for node in board.nodes]
    assert ["c:1"] == [cause.image for cause in board.causes]


async def test_a_list_that_was_seen_before_does_not_change_the_order_again(store):
    """Nodes with the old and the new list begin runs in turns."""
    old, new = ("a:1", "b:1"), ("c:1", "b:1", "a:1")
    for number, images in enumerate((old, new, old, new, old)):
        say(store, begun(*images), node=f"node-{number}", run_id=f"{number}")

    assert ["c:1", "b:1", "a:1"] == [image.image for image in (await board_of(store)).images]


async def test_after_a_restart_images_are_in_the_order_of_their_arrival(store):
    say(store, ended("b:1"), ended("a:1"))
    say(store, begun("a:1", "b:1"), run_id="2")
    again = Store(store.database, Bounds())

    assert ["b:1", "a:1"] == [image.image for image in (await board_of(again)).images]


async def test_a_digest_counts_once_however_many_nodes_have_it_and_a_pinned_image_has_no_tag(store):
    for number, digest in enumerate(("sha256:1", "sha256:2", "sha256:1")):
        events = [ended(image, digest=digest) for image in ("a:1", "b:1@sha256:9")]
        say(store, *events, node=f"node-{number}", run_id=f"{number}")

    assert [2, 0] == [image.digests for image in (await board_of(store)).images]


async def test_beyond_a_number_of_different_digests_further_ones_are_not_counted(store, monkeypatch):
    monkeypatch.setattr(board_counts, "MOST", 3)
    for number in range(5):
        say(store, ended("a:1", digest=f"sha256:{number}"), node=f"node-{number}", run_id=f"{number}")

    assert [3] == [image.digests for image in (await board_of(store)).images]


async def test_only_what_has_changed_is_read_again(store, monkeypatch):
    for number in range(3):
        say(store, begun("a:1"), pulling("a:1"), node=f"node-{number}", run_id=f"{number}")
    reader = Reader(store)
    await reader.read()
    read = []
    monkeypatch.setattr(board_module, "read_node", lambda *about: read.append(about[3]) or board_node.read_node(*about))

    say(store, ended("a:1"), node="node-1", run_id="1")
    say(store, progress("a:1", 1, 2), node="node-2", run_id="2")
    say(store, ended("a:1"), node="node-0", run_id="0", instance="other")
    await reader.read()

    assert ["node-1"] == read


async def test_others_go_on_while_a_large_board_is_made(store):
    for node in range(100):
        say(store, *(ended(f"{image}:1") for image in range(100)), node=f"node-{node}", run_id=f"{node}")
    turns = 0

    @asynccontextmanager
    async def counting():
        nonlocal turns
        turns += 1
        yield

    board = InstanceBoard(store, "main", store.records.instances.find("main"))
    await board.refresh(counting)

    assert 100 * 100 // 1_000 <= turns


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
    st.builds(lambda zone: NodeDescribed(zone=zone, pool="blue", created=1), st.sampled_from(["", "a", "b"])),
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
