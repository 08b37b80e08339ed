"""What counts as warm: pods, list and reports of nodes become one picture."""

from typing import Any

import msgspec
import pytest

from nodeprefetch.board import Board, BoardCause, BoardImage, BoardNode, BoardSummary
from nodeprefetch.cluster.current_list import CurrentList
from nodeprefetch.cluster.installation import Installation
from nodeprefetch.cluster.judge import Facts, picture_of
from nodeprefetch.cluster.picture import NodePicture, NodeState, Picture
from nodeprefetch.cluster.pods import Revision, pods_of_nodes
from nodeprefetch.cluster.reports import board_reports, node_report
from nodeprefetch.kube.read_objects import Metadata, Pod
from tests.support.cluster_objects import (
    GENERATION,
    HASH,
    IMAGES,
    RUNNING,
    digest_of,
    ended,
    node,
    not_needed,
    pod,
    waiting,
)

A, B = IMAGES
NOW = CurrentList(digest=digest_of(), images=IMAGES)
OLD = digest_of([A])
CRASHED = waiting("CrashLoopBackOff", "back-off 10s restarting failed container")


def installation(**more: Any) -> Installation:
    known = {
        "namespace": "infra",
        "name": "web",
        "instance": "web",
        "label_prefix": "nodeprefetch.io",
        "selector": {},
        "generation": 3,
        "observed_generation": 3,
        "desired": 1,
        "container": "prefetch",
    }
    return Installation(**{**known, **more})


def pods_from(*pods: dict[str, Any]):
    decoded = msgspec.convert(list(pods), type=list[Pod])
    return pods_of_nodes(decoded, Revision(generation=GENERATION, hash=HASH), "prefetch")


def from_board(*pods: dict[str, Any], nodes: list[BoardNode], current: CurrentList = NOW, **more: Any) -> Picture:
    causes = more.pop("causes", ())
    board = Board(
        at=0,
        instance="web",
        instances=("web",),
        summary=BoardSummary(),
        images=tuple(BoardImage(image=image, size=100, digests=2) for image in IMAGES),
        nodes=tuple(nodes),
        causes=causes,
    )
    return picture_of(
        Facts(
            installation=installation(desired=len(pods_from(*pods)), **more),
            current=current,
            pods=pods_from(*pods),
            reports=board_reports(board),
            source="aggregator",
            images=board.images,
        )
    )


def from_nodes(*pods: dict[str, Any], nodes: list[dict[str, Any]], current: CurrentList = NOW) -> Picture:
    metadata = [msgspec.convert(each["metadata"], type=Metadata) for each in nodes]
    reports = {each.name: node_report(each, prefix="nodeprefetch.io", instance="web") for each in metadata}
    return picture_of(
        Facts(
            installation=installation(desired=len(pods_from(*pods))),
            current=current,
            pods=pods_from(*pods),
            reports={name: report for name, report in reports.items() if report is not None},
            source="nodes",
            shows_progress=False,
        )
    )


def reported(cells: str = "pp", name: str = "n1", **more: Any) -> BoardNode:
    state = {"pp": "present", "sp": "succeeded"}.get(cells, "waiting")
    state = "failed" if "f" in cells else "pulling" if "r" in cells else state
    known = {"node": name, "state": state, "cells": cells, "list_digest": digest_of(), "heard": 10.0}
    return BoardNode(**{**known, "run_end": "" if "r" in cells or "w" in cells else "finished", **more})


def only(picture: Picture) -> NodePicture:
    assert 1 == len(picture.nodes)
    return picture.nodes[0]


@pytest.mark.parametrize(
    ("the_pod", "the_node", "state", "why"),
    [
        (pod(), reported("PP"), NodeState.WARM, ""),
        (pod(), reported("SP"), NodeState.WARM, ""),
        (pod(ready=False), reported("PP"), NodeState.WAITING, "all images are there, but its pod is not ready"),
        (pod(), reported("PP", list_digest=OLD), NodeState.WAITING, "has not reported the list of now yet"),
        (pod(), reported("PP", list_digest=""), NodeState.WAITING, "has not reported the list of now yet"),
        (
            pod(generation="1", revision="hash-1"),
            reported("PP"),
            NodeState.WAITING,
            "its pod is of an older version of the DaemonSet",
        ),
        (pod(deleted=True), reported("PP"), NodeState.WAITING, "its pod is of an older version of the DaemonSet"),
        (pod(ready=False, fetch=RUNNING), reported("PL"), NodeState.PULLING, "pulls"),
        (pod(ready=False, fetch=RUNNING), reported("WW"), NodeState.WAITING, "has not begun to pull"),
        (pod(ready=False, fetch=waiting("PodInitializing")), None, NodeState.UNSEEN, "its pod is starting"),
        (pod(ready=False, fetch=RUNNING), None, NodeState.UNSEEN, "nothing was heard of it"),
        (
            pod(unscheduled="0/3 nodes are available"),
            reported("PP"),
            NodeState.UNSEEN,
            "the pod is not scheduled: Unschedulable: 0/3 nodes are available",
        ),
        (
            pod(ready=False, fetch=waiting("ImagePullBackOff", "Back-off pulling image")),
            None,
            NodeState.UNSEEN,
            "container prefetch does not start: ImagePullBackOff: Back-off pulling image",
        ),
        (
            pod(ready=False, fetch=CRASHED, fetch_before=ended(3)),
            None,
            NodeState.FAILED,
            "container prefetch waits to be restarted after exit code 3 (no container runtime responded)",
        ),
        (
            pod(ready=False, fetch=CRASHED, fetch_before=ended(1)),
            None,
            NodeState.FAILED,
            "some images could not be pulled",
        ),
        (
            pod(phase="Failed", reason="Evicted", ready=False),
            reported("PP"),
            NodeState.UNSEEN,
            "the pod has failed: Evicted",
        ),
        (
            pod(ready=False),
            reported("PP", list_digest=OLD, list_rejected="images.txt:1: bad"),
            NodeState.WAITING,
            "does not use its newest list: images.txt:1: bad",
        ),
    ],
)
def test_a_node_of_the_board(the_pod, the_node, state, why):
    seen = [] if the_node is None else [board_node(the_node)]

    found = only(from_board(the_pod, nodes=seen))

    assert (state, why) == (found.state, found.why)
    assert "web-n1" == found.pod


def board_node(of: BoardNode) -> BoardNode:
    """With the characters of a board: P and S are there, L is pulled, W waits, F failed."""
    characters = of.cells.translate(str.maketrans("PSLWF", "rspwf"))
    states = {"r": "present", "s": "succeeded", "p": "pulling", "w": "waiting", "f": "failed"}
    worst = min(characters, key="fpwsr".index)
    is_ended = worst in "rsf"
    return msgspec.structs.replace(of, cells=characters, state=states[worst], run_end=of.run_end if is_ended else "")


def test_a_node_that_lacks_images_says_which():
    failed = board_node(reported("PF", run_end="finished", final=(1,)))
    cause = BoardCause(
        image=B, error_class="permanent", reason="not_found", error="not found", nodes=1, examples=("n1",)
    )

    picture = from_board(pod(ready=False, fetch=CRASHED, fetch_before=ended(1)), nodes=[failed], causes=(cause,))

    found = only(picture)
    assert (NodeState.FAILED, True, (B,), (B,)) == (found.state, found.is_final, found.missing, found.final_images)
    assert (1, 2) == (found.present, found.images)
    assert f"1 of 2 images missing: {B}: not found" == found.why
    assert [(B, "not_found", 1, ("n1",), True)] == [
        (each.image, each.reason, each.nodes, each.examples, each.is_final) for each in picture.causes
    ]
    assert "push the image" in picture.causes[0].advice


def test_a_failure_that_may_pass_is_not_final():
    failed = board_node(reported("PF", run_end="finished"))
    cause = BoardCause(image=B, error_class="passing", reason="timeout", error="slow", nodes=1, examples=("n1",))

    found = only(from_board(pod(ready=False), nodes=[failed], causes=(cause,)))

    assert (NodeState.FAILED, False, ()) == (found.state, found.is_final, found.final_images)


def test_a_run_in_progress_with_a_failed_image_is_not_over():
    pulling = msgspec.structs.replace(board_node(reported("PF")), run_end="", final=(1,))

    found = only(from_board(pod(ready=False, fetch=RUNNING), nodes=[pulling]))

    assert (NodeState.PULLING, False) == (found.state, found.is_final)


def test_of_two_pods_of_a_node_the_current_one_counts():
    old = pod(generation="1", revision="hash-1", created="2026-02-01T00:00:00Z", suffix="-old")

    found = only(from_board(old, pod(), nodes=[board_node(reported("PP"))]))

    assert (NodeState.WARM, "web-n1") == (found.state, found.pod)


def test_a_pod_of_a_change_that_was_taken_back_is_current():
    """The DaemonSet's controller keeps it: its hash is that of the newest version, its generation is not."""
    found = only(from_board(pod(generation="1", revision=HASH), nodes=[board_node(reported("PP"))]))

    assert NodeState.WARM is found.state


def test_a_node_without_a_pod_does_not_count():
    picture = from_board(pod("n1"), nodes=[board_node(reported("PP")), board_node(reported("FF", "gone"))])

    assert ["n1"] == [each.node for each in picture.nodes]
    assert () == picture.causes


def test_if_the_list_cannot_be_read_any_list_counts():
    current = CurrentList(notes=("the list cannot be read",))

    picture = from_board(pod(), nodes=[board_node(reported("PP", list_digest=OLD))], current=current)

    assert NodeState.WARM is only(picture).state
    assert (None, None) == (picture.list_digest, picture.list_images)


def test_if_the_list_is_invalid_no_node_is_warm():
    current = CurrentList(problems=("images.txt:1: bad",))

    picture = from_board(pod(), nodes=[board_node(reported("PP"))], current=current)

    assert (NodeState.WAITING, "the image list of now is invalid") == (only(picture).state, only(picture).why)
    assert ("images.txt:1: bad",) == picture.list_problems


@pytest.mark.parametrize(("observed", "desired", "is_settled"), [(3, 1, True), (2, 1, False), (3, 2, False)])
def test_a_picture_is_settled_once_the_controller_has_made_all_pods(observed, desired, is_settled):
    facts = Facts(
        installation=installation(observed_generation=observed, desired=desired),
        current=NOW,
        pods=pods_from(pod()),
        reports={},
        source="nodes",
    )

    assert is_settled is picture_of(facts).is_settled


def test_images_count_the_nodes_with_a_pod_and_the_list_of_now():
    picture = from_board(
        pod("n1"),
        pod("n2"),
        pod("n3"),
        nodes=[
            board_node(reported("PP", "n1")),
            board_node(reported("PL", "n2")),
            board_node(reported("PP", "n3", list_digest=OLD)),
            board_node(reported("PP", "gone")),
        ],
    )

    assert [(A, 2, 1), (B, 1, 2)] == [(each.image, each.present, each.missing) for each in picture.images]
    assert [(100, 2), (100, 2)] == [(each.size, each.digests) for each in picture.images]


def test_equal_causes_are_joined_and_those_of_the_most_nodes_come_first():
    names = [f"n{number:02}" for number in range(12)]
    stuck = [pod(name, ready=False, fetch=waiting("ErrImagePull", "denied")) for name in names]
    lonely = pod("z", unscheduled="no room")

    causes = from_board(lonely, *stuck, nodes=[]).causes

    assert [12, 1] == [each.nodes for each in causes]
    assert "container prefetch does not start: ErrImagePull: denied" == causes[0].text
    assert tuple(names[:10]) == causes[0].examples
    assert "pull secret" in causes[0].advice


@pytest.mark.parametrize(
    ("the_pod", "the_node", "state"),
    [
        (pod(), node(), NodeState.WARM),
        (pod(), node(images=[A]), NodeState.WAITING),
        (pod(ready=False, fetch=RUNNING), node(images=[A]), NodeState.PULLING),
        (pod(ready=False, fetch=RUNNING), node(label=None), NodeState.PULLING),
        (pod(), node(label=None), NodeState.UNSEEN),
        (pod(ready=False, fetch=CRASHED, fetch_before=ended(1)), node(label="failed", failed=B), NodeState.FAILED),
        (pod(ready=False, fetch=RUNNING), node(label="failed", failed=B), NodeState.PULLING),
        (pod(), node(label="failed", failed=B), NodeState.FAILED),  # --allow-failures
        (pod(ready=False, fetch=CRASHED, fetch_before=ended(1)), node(images=[A]), NodeState.FAILED),
    ],
)
def test_a_node_by_its_label(the_pod, the_node, state):
    assert state is only(from_nodes(the_pod, nodes=[the_node])).state


def test_an_annotation_of_an_older_version_does_not_count():
    """It does not say which list it is about."""
    old = node()
    key = "nodeprefetch.io/web.summary"
    old["metadata"]["annotations"][key] = old["metadata"]["annotations"][key].replace("list_digest", "other")

    assert NodeState.WAITING is only(from_nodes(pod(), nodes=[old])).state


@pytest.mark.parametrize("annotation", ["", "{", "[" * 10_000, '{"result": "failed"}'])
def test_a_broken_annotation_leaves_the_label(annotation):
    broken = node()
    broken["metadata"]["annotations"]["nodeprefetch.io/web.summary"] = annotation

    current = CurrentList()
    assert NodeState.WARM is only(from_nodes(pod(), nodes=[broken], current=current)).state
    assert NodeState.WAITING is only(from_nodes(pod(), nodes=[broken])).state


def test_the_first_failure_of_an_annotation_is_a_cause():
    picture = from_nodes(pod(ready=False, fetch=CRASHED, fetch_before=ended(1)), nodes=[node(label="failed", failed=B)])

    assert [(B, "permanent", "not_found", True)] == [
        (each.image, each.error_class, each.reason, each.is_final) for each in picture.causes
    ]
    assert ((B,), True) == (only(picture).missing, only(picture).is_final)


def test_secrets_in_messages_of_the_kubelet_are_masked():
    message = 'Get "https://user:hunter2hunter2@registry/v2/": denied'
    picture = from_board(pod(ready=False, fetch=waiting("ErrImagePull", message)), nodes=[])

    assert "hunter2" not in only(picture).why + picture.causes[0].text


SKIPPED = not_needed("no pod that matches app=web in namespace team runs there")


def test_a_node_whose_run_was_not_needed_is_not_counted_and_its_report_is_of_no_account():
    """The picture is settled all the same: the DaemonSet has a pod for it."""
    seen = from_nodes(pod("n1"), pod("n2", fetch=SKIPPED), nodes=[node("n1"), node("n2", images=[A])])

    assert (["n1"], ["n2"], True) == (
        [each.node for each in seen.nodes],
        [each.node for each in seen.skipped],
        seen.is_settled,
    )
    assert "1 node skipped: no pod that matches app=web in namespace team runs there" == seen.skipped_text
    assert (NodeState.SKIPPED, ()) == (seen.skipped[0].state, seen.causes)


def test_images_are_not_missing_where_nobody_needs_them():
    warm = BoardNode(node="n1", state="present", cells="rr", list_digest=digest_of(), run_end="finished")

    seen = from_board(pod("n1"), pod("n2", fetch=SKIPPED), nodes=[warm])

    assert [(1, 0), (1, 0)] == [(image.present, image.missing) for image in seen.images]


@pytest.mark.parametrize(
    "old",
    [pod("n2", fetch=SKIPPED, generation="1", revision="hash-1"), pod("n2", fetch=SKIPPED, deleted=True)],
    ids=["older version", "deleted"],
)
def test_a_pod_that_is_replaced_does_not_say_what_the_next_one_finds(old):
    seen = from_nodes(old, nodes=[node("n2", images=[A])])

    assert ([NodeState.WAITING], ()) == ([each.state for each in seen.nodes], seen.skipped)


def test_a_message_of_a_container_that_failed_says_nothing():
    failed = {"terminated": {**SKIPPED["terminated"], "exitCode": 2}}

    seen = from_nodes(pod("n2", fetch=failed, ready=False), nodes=[])

    assert ([NodeState.FAILED], ()) == ([each.state for each in seen.nodes], seen.skipped)


@pytest.mark.parametrize(("owner", "is_current"), [("new", True), ("old", False), ("", True)])
def test_a_pod_of_a_daemon_set_that_was_deleted_and_created_again_is_not_current(owner, is_current):
    """Both are of the first generation, and have the same hash if nothing has changed."""
    body = pod("n1", fetch=SKIPPED)
    if owner:
        body["metadata"]["ownerReferences"] = [{"kind": "DaemonSet", "name": "web", "uid": owner}]
    decoded = msgspec.convert([body], type=list[Pod])

    found = pods_of_nodes(decoded, Revision(generation=GENERATION, hash=HASH, owner="new"), "prefetch")

    assert (is_current, not is_current) == (found["n1"].is_current, found["n1"].counts)
