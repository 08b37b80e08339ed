"""When the node is labelled, with what, and what happens when that does not work. On virtual time."""

import json

import pytest
import trio

from nodeprefetch import __version__
from nodeprefetch.events import (
    AttemptStarted,
    Event,
    ImageFinished,
    NodeLabelled,
    Outcome,
    RunEnd,
    RunFinished,
    RunStarted,
)
from nodeprefetch.kube import (
    ConflictError,
    ForbiddenError,
    KubeConfigError,
    KubeError,
    NotFoundError,
    NotInClusterError,
    ServerFailedError,
    TooManyRequestsError,
    UnauthorizedError,
    UnreachableError,
)
from nodeprefetch.report.node_api import NodeApi
from nodeprefetch.report.node_label import NodeLabel
from nodeprefetch.settings import PullPolicy
from tests.support.fake_nodes import HANG, FakeNodes

KEY, SUMMARY = "nodeprefetch.io/web", "nodeprefetch.io/web.summary"
BUSY = ServerFailedError("patching node n1: 503: busy")


class Labelling:
    """A NodeLabel on a fake node, and all that it said."""

    def __init__(
        self,
        nodes: FakeNodes,
        *,
        is_warm: bool = False,
        jitter: float = 1.0,
    ) -> None:
        self.nodes = nodes
        self.complaints: list[str] = []
        self.told: list[NodeLabelled] = []
        self.label = NodeLabel(
            NodeApi("n1", connect=nodes.connect, warn=self.complaints.append, jitter=lambda: jitter),
            "web",
            prefix="nodeprefetch.io",
            emit=self.hear,
            is_warm=is_warm,
            clock=lambda: 1_700_000_000,
        )

    def hear(self, event: Event) -> None:
        self.told.append(event)
        self.label.emit(event)

    def said(self) -> list[tuple[str, str]]:
        return [(each.value, each.error) for each in self.told]

    def start(self, *images: str) -> None:
        about = {"run_id": "r", "node": "n1", "version": "1", "runtime": "containerd 2", "socket": "/s"}
        self.label.emit(RunStarted(**about, images=images, list_digest="0123"))

    def attempt(self, image: str = "a:1", *, is_present: bool = False) -> None:
        self.label.emit(AttemptStarted(attempt_id="x", image=image, attempt=1, limit=30, is_present=is_present))

    def end_image(self, image: str, outcome: Outcome, error: str = "") -> None:
        self.label.emit(
            ImageFinished(image=image, outcome=outcome, policy=PullPolicy.ALWAYS, attempts=1, elapsed=1, error=error)
        )

    def end(self, end: RunEnd = RunEnd.FINISHED, *, failed: int = 0, superseded: bool = False) -> None:
        end_of_all = {"succeeded": 1, "present": 0, "failed": failed, "elapsed": 2}
        self.label.emit(RunFinished(run_id="r", end=end, superseded=superseded, **end_of_all))


async def test_a_run_whose_images_are_all_present_is_labelled_succeeded(autojump_clock):
    nodes = FakeNodes(labels={"other": "1"})
    labelling = Labelling(nodes)
    labelling.start("a:1")
    labelling.end_image("a:1", Outcome.PRESENT)
    labelling.end()

    await labelling.label.finish()

    assert {"other": "1", KEY: "succeeded"} == nodes.labels
    assert [("succeeded", "")] == labelling.said()
    assert [] == labelling.complaints


async def test_label_and_summary_are_written_by_one_request(autojump_clock):
    nodes = FakeNodes()
    labelling = Labelling(nodes)
    labelling.start("a:1", "b:1")
    labelling.end_image("a:1", Outcome.SUCCEEDED)
    labelling.end_image("b:1", Outcome.FAILED, "not found")
    labelling.end(failed=1)

    await labelling.label.finish()

    assert 1 == len(nodes.times("patch"))
    assert {KEY: "failed"} == nodes.labels
    assert {
        "result": "failed",
        "end": "finished",
        "images": 2,
        "succeeded": 1,
        "present": 0,
        "failed": 1,
        "time": "2023-11-14T22:13:20Z",
        "version": __version__,
        "first_failure": {"image": "b:1", "error": "not found"},
        "list_digest": "0123",
    } == json.loads(nodes.annotations[SUMMARY])


@pytest.mark.parametrize("end", [RunEnd.TIMED_OUT, RunEnd.STOPPED])
async def test_a_run_that_was_cut_is_labelled_failed(autojump_clock, end):
    nodes = FakeNodes()
    labelling = Labelling(nodes)
    labelling.start("a:1")
    labelling.end_image("a:1", Outcome.FAILED, "cut")
    labelling.end(end, failed=1)

    await labelling.label.finish()

    assert ("failed", end) == (nodes.labels[KEY], json.loads(nodes.annotations[SUMMARY])["end"])


async def test_a_run_that_found_no_runtime_is_labelled_failed(autojump_clock):
    nodes = FakeNodes(labels={KEY: "succeeded"})
    labelling = Labelling(nodes)

    await labelling.label.finish()

    assert ("failed", "not-started") == (nodes.labels[KEY], json.loads(nodes.annotations[SUMMARY])["end"])


async def test_a_stale_succeeded_goes_when_the_first_attempt_starts(autojump_clock):
    nodes = FakeNodes(labels={KEY: "succeeded", "other": "1"})
    labelling = Labelling(nodes)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(labelling.label.run)
        labelling.start("a:1")
        await trio.sleep(1)
        before = dict(nodes.labels)
        labelling.attempt()
        await trio.sleep(1)

        assert ({KEY: "succeeded", "other": "1"}, {"other": "1"}) == (before, nodes.labels)
        assert [("", "")] == labelling.said()
        assert (1, 1) == (len(nodes.times("get")), len(nodes.times("patch")))


async def test_it_goes_too_when_an_image_fails_without_an_attempt(autojump_clock):
    nodes = FakeNodes(labels={KEY: "succeeded"})
    labelling = Labelling(nodes)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(labelling.label.run)
        labelling.start("a:1")
        labelling.end_image("a:1", Outcome.FAILED, "no credentials")
        await trio.sleep(1)

        assert {} == nodes.labels


async def test_it_stays_when_everything_turns_out_to_be_present(autojump_clock):
    nodes = FakeNodes(labels={KEY: "succeeded"})
    labelling = Labelling(nodes)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(labelling.label.run)
        labelling.start("a:1")
        labelling.end_image("a:1", Outcome.PRESENT)
        labelling.end()
        await labelling.label.finish()
        nursery.cancel_scope.cancel()

    assert [{KEY: "succeeded"}] == [about for _, what, about in nodes.calls if what == "patch"]


async def test_it_stays_while_the_tag_of_a_present_image_is_refreshed(autojump_clock):
    nodes = FakeNodes(labels={KEY: "succeeded"})
    labelling = Labelling(nodes)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(labelling.label.run)
        labelling.start("a:1")
        labelling.attempt(is_present=True)
        await trio.sleep(1)

        assert {KEY: "succeeded"} == nodes.labels
        nursery.cancel_scope.cancel()


async def test_on_a_warm_node_it_stays_while_a_lost_image_is_pulled_again(autojump_clock):
    nodes = FakeNodes(labels={KEY: "succeeded"})
    labelling = Labelling(nodes, is_warm=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(labelling.label.run)
        labelling.start("a:1")
        labelling.attempt()
        await trio.sleep(1)
        labelling.end_image("a:1", Outcome.SUCCEEDED)
        labelling.end()
        await labelling.label.finish()
        nursery.cancel_scope.cancel()

    assert [{KEY: "succeeded"}] == [about for _, what, about in nodes.calls if what == "patch"]


async def test_on_a_warm_node_it_goes_once_a_lost_image_cannot_be_pulled_again(autojump_clock):
    nodes = FakeNodes(labels={KEY: "succeeded"})
    labelling = Labelling(nodes, is_warm=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(labelling.label.run)
        labelling.start("a:1", "b:1")
        labelling.attempt()
        labelling.end_image("a:1", Outcome.FAILED, "not found")
        await trio.sleep(1)
        before = dict(nodes.labels)
        labelling.end(failed=1)
        await labelling.label.finish()
        nursery.cancel_scope.cancel()

    assert ({}, {KEY: "failed"}) == (before, nodes.labels)


async def test_on_a_warm_node_where_nothing_has_changed_the_api_server_is_not_called(autojump_clock):
    nodes = FakeNodes(labels={KEY: "succeeded"})
    labelling = Labelling(nodes, is_warm=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(labelling.label.run)
        labelling.start("a:1")
        labelling.attempt(is_present=True)
        labelling.end_image("a:1", Outcome.SUCCEEDED)
        labelling.end()
        await labelling.label.finish()
        nursery.cancel_scope.cancel()

    assert [] == nodes.calls


@pytest.mark.parametrize("has_said_so", [True, False])
async def test_a_warm_node_keeps_its_label_when_no_runtime_answers(autojump_clock, has_said_so):
    nodes = FakeNodes(labels={KEY: "succeeded"})
    labelling = Labelling(nodes, is_warm=True)
    if has_said_so:
        labelling.end(RunEnd.NO_RUNTIME, failed=1)

    await labelling.label.finish()

    assert {KEY: "succeeded"} == nodes.labels


@pytest.mark.parametrize("is_warm", [True, False])
@pytest.mark.parametrize("labels", [{}, {KEY: "failed"}, {KEY: "succeeded"}])
async def test_a_run_that_another_one_follows_at_once_leaves_the_label_to_that(autojump_clock, labels, is_warm):
    nodes = FakeNodes(labels=dict(labels))
    labelling = Labelling(nodes, is_warm=is_warm)
    labelling.start("a:1")
    labelling.end_image("a:1", Outcome.FAILED, "cancelled")
    labelling.end(RunEnd.STOPPED, failed=1, superseded=True)

    await labelling.label.finish()

    assert labels == nodes.labels
    assert [] == nodes.calls


@pytest.mark.parametrize("labels", [{}, {KEY: "failed"}])
async def test_a_label_that_promises_nothing_stays_while_pulls_run(autojump_clock, labels):
    nodes = FakeNodes(labels=dict(labels))
    labelling = Labelling(nodes)
    labelling.attempt()

    await labelling.label.run()

    assert labels == nodes.labels
    assert [] == nodes.times("patch")


async def test_taking_away_reads_again_when_the_kubelet_wrote_in_between(autojump_clock):
    """The pause after a conflict is 0.5 s at most."""
    nodes = FakeNodes(labels={KEY: "succeeded"}, on_patch=[ConflictError("409")])
    labelling = Labelling(nodes)
    labelling.attempt()

    await labelling.label.run()

    assert {} == nodes.labels
    assert ([0, 0.5], [0, 0.5]) == (nodes.times("get"), nodes.times("patch"))


async def test_a_removal_that_arrives_late_does_not_undo_the_final_label(autojump_clock):
    """`run` is cancelled while its request hangs, `finish` writes, then the request is carried out after all."""
    nodes = FakeNodes(labels={KEY: "succeeded"}, on_patch=[HANG])
    labelling = Labelling(nodes)
    labelling.attempt()
    late = {}
    patch = nodes.patch_node

    async def overhear(name, **request):
        late.update(request)
        return await patch(name, **request)

    nodes.patch_node = overhear
    with trio.move_on_after(1):
        await labelling.label.run()
    nodes.patch_node = patch
    labelling.end()
    await labelling.label.finish()

    with pytest.raises(ConflictError):
        await nodes.patch_node("n1", **late)
    assert {KEY: None} == late["labels"]
    assert {KEY: "succeeded"} == nodes.labels


async def test_no_removal_is_begun_once_the_run_has_ended(autojump_clock):
    nodes = FakeNodes(labels={KEY: "succeeded"}, on_get=[BUSY])
    labelling = Labelling(nodes)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(labelling.label.run)
        labelling.attempt()
        labelling.end()

    assert {KEY: "succeeded"} == nodes.labels


async def test_the_client_is_loaded_once_for_both_ends_of_the_run(autojump_clock):
    nodes = FakeNodes()
    labelling = Labelling(nodes)
    labelling.attempt()
    await labelling.label.run()

    await labelling.label.finish()

    assert 1 == len(nodes.times("connect"))


@pytest.mark.parametrize(
    "error", [BUSY, UnreachableError("refused"), TooManyRequestsError("429"), ConflictError("409")], ids=str
)
async def test_what_passes_is_tried_again_with_growing_pauses(autojump_clock, error):
    """Longest pauses 0.25, 0.5, 1, 2, 4, 4: tries at 0, 0.25, 0.75, 1.75, 3.75, 7.75, 11.75."""
    nodes = FakeNodes(on_patch=6 * [error])
    labelling = Labelling(nodes)
    labelling.end()

    await labelling.label.finish()

    assert [0, 0.25, 0.75, 1.75, 3.75, 7.75, 11.75] == nodes.times("patch")
    assert [("succeeded", "")] == labelling.said()
    assert [] == labelling.complaints


async def test_pauses_are_a_random_part_of_the_longest(autojump_clock):
    """Half of 0.25 and 0.5: tries at 0, 0.125, 0.375."""
    nodes = FakeNodes(on_patch=[BUSY, BUSY])
    labelling = Labelling(nodes, jitter=0.5)

    await labelling.label.finish()

    assert [0, 0.125, 0.375] == nodes.times("patch")


async def test_the_server_says_how_long_to_wait_and_the_pause_comes_on_top(autojump_clock):
    """Retry-After 3 s + 0.25 s."""
    nodes = FakeNodes(on_patch=[TooManyRequestsError("429", retry_after=3)])

    await Labelling(nodes).label.finish()

    assert [0, 3.25] == nodes.times("patch")


async def test_a_silent_server_leaves_time_for_another_try(autojump_clock):
    """5 s limit + 0.25 s pause."""
    nodes = FakeNodes(on_patch=[HANG])

    with trio.fail_after(15):
        await Labelling(nodes).label.finish()

    assert [0, 5.25] == nodes.times("patch")


async def test_while_pulls_run_a_dead_api_server_is_left_alone_for_longer(autojump_clock):
    """Pauses 0.5, 1, 2, 4, 8, 16, 30, 30."""
    nodes = FakeNodes(on_get=8 * [BUSY])
    labelling = Labelling(nodes)
    labelling.attempt()

    await labelling.label.run()

    assert [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 61.5, 91.5] == nodes.times("get")


@pytest.mark.parametrize(
    ("script", "reason"),
    [(99 * [BUSY], str(BUSY)), ([HANG, HANG, HANG], "no answer in 5s"), ([BUSY, HANG], str(BUSY))],
    ids=["busy", "silent", "both"],
)
async def test_when_the_grace_is_over_the_label_that_is_missing_is_told(autojump_clock, script, reason):
    nodes = FakeNodes(on_patch=script)
    labelling = Labelling(nodes)

    with trio.move_on_after(5.1):
        await labelling.label.finish()

    assert 5.1 == pytest.approx(trio.current_time() - nodes.calls[0][0])
    assert [("failed", f"no time left: {reason}")] == labelling.said()
    assert [f"cannot label node as failed: no time left: {reason}"] == labelling.complaints


async def test_a_grace_too_short_for_any_answer_is_told(autojump_clock):
    labelling = Labelling(FakeNodes(on_patch=[HANG]))

    with trio.move_on_after(1):
        await labelling.label.finish()

    assert [("failed", "no time left: no answer yet")] == labelling.said()


MISSING_RIGHT = "missing permission to patch nodes; check: kubectl auth can-i patch nodes"
REFUSED = 'patching node n1: 403: nodes "n1" is forbidden: User "system:serviceaccount:p:web" cannot patch'


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (
            ForbiddenError(REFUSED),
            f"{MISSING_RIGHT} --as=system:serviceaccount:p:web",
        ),
        (
            ForbiddenError("403"),
            f"{MISSING_RIGHT} --as=system:serviceaccount:NAMESPACE:NAME",
        ),
        (NotFoundError("404"), "NODE_NAME must be the pod's spec.nodeName; check: kubectl get node n1"),
        (
            UnauthorizedError("401"),
            "authentication failed; does the service account still exist? check: kubectl get serviceaccounts",
        ),
    ],
)
async def test_what_is_refused_is_said_once_with_what_to_do_and_not_tried_again(autojump_clock, error, advice):
    nodes = FakeNodes(on_patch=9 * [error])
    labelling = Labelling(nodes)

    await labelling.label.finish()

    assert [f"cannot label node: {error} ({advice})"] == labelling.complaints
    assert [("failed", str(error))] == labelling.said()
    assert [0] == nodes.times("patch")


@pytest.mark.parametrize("refusal", [ForbiddenError(REFUSED), UnauthorizedError("401")])
async def test_refusals_of_an_api_server_that_has_just_started_are_not_believed(autojump_clock, refusal):
    """Pauses 0.25, 0.5 and 1 s: it was away at 0, knows no rights yet at 0.25 and 0.75, and all of them at 1.75."""
    nodes = FakeNodes(on_patch=[UnreachableError("refused"), refusal, refusal])
    labelling = Labelling(nodes)

    await labelling.label.finish()

    assert [0, 0.25, 0.75, 1.75] == nodes.times("patch")
    assert {KEY: "failed"} == nodes.labels
    assert [] == labelling.complaints


async def test_refusals_are_believed_ten_seconds_after_it_was_away(autojump_clock):
    """Pauses 0.25, 0.5, 1, 2 and then 4 s: the last answer is at 11.75."""
    nodes = FakeNodes(on_patch=[UnreachableError("refused"), *(9 * [ForbiddenError(REFUSED)])])
    labelling = Labelling(nodes)

    await labelling.label.finish()

    assert [0, 0.25, 0.75, 1.75, 3.75, 7.75, 11.75] == nodes.times("patch")
    assert [("failed", REFUSED)] == labelling.said()


async def test_an_error_nobody_expects_is_told_without_advice(autojump_clock):
    labelling = Labelling(FakeNodes(on_patch=[KubeError("patching node n1: 422: invalid")]))

    await labelling.label.finish()

    assert ["cannot label node: patching node n1: 422: invalid"] == labelling.complaints


async def test_a_missing_right_to_read_does_not_keep_the_label_from_being_written(autojump_clock):
    nodes = FakeNodes(labels={KEY: "succeeded"}, on_get=[ForbiddenError("reading node n1: 403")])
    labelling = Labelling(nodes)
    labelling.attempt()
    await labelling.label.run()

    await labelling.label.finish()

    assert {KEY: "failed"} == nodes.labels
    assert ["get"] == [text.split("permission to ")[1].split()[0] for text in labelling.complaints]


async def test_the_same_refusal_at_both_ends_of_the_run_is_said_once(autojump_clock):
    nodes = FakeNodes(on_get=[NotFoundError("reading: 404")], on_patch=[NotFoundError("patching: 404")])
    labelling = Labelling(nodes)
    labelling.attempt()
    await labelling.label.run()

    await labelling.label.finish()

    assert 1 == len(labelling.complaints)
    assert [("failed", "patching: 404")] == labelling.said()


async def test_outside_a_cluster_there_is_one_line(autojump_clock):
    labelling = Labelling(FakeNodes(on_connect=9 * [NotInClusterError("not running in a cluster")]))

    await labelling.label.run()
    await labelling.label.finish()

    assert ["cannot update node: not running in a cluster"] == labelling.complaints
    assert ([], [0]) == (labelling.told, labelling.nodes.times("connect"))


async def test_outside_a_cluster_finish_alone_says_it_too(autojump_clock):
    labelling = Labelling(FakeNodes(on_connect=[NotInClusterError("not running in a cluster")]))

    await labelling.label.finish()

    assert (["cannot update node: not running in a cluster"], []) == (labelling.complaints, labelling.told)


async def test_a_kubeconfig_that_cannot_be_used_is_said_once_and_told(autojump_clock):
    labelling = Labelling(FakeNodes(on_connect=9 * [KubeConfigError("bad file")]))

    await labelling.label.run()
    await labelling.label.finish()

    assert (["cannot update node: bad file"], [("failed", "bad file")]) == (
        labelling.complaints,
        labelling.said(),
    )
