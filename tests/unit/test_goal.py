"""When an installation is as warm as was asked for, and when it cannot become so any more."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.cluster.goal import Goal, Impossible, Pending, Reached, check_images, parse_goal, verdict
from nodeprefetch.cluster.picture import Cause, NodePicture, NodeState, Picture
from nodeprefetch.errors import UsageError

A, B, C = "docker.io/library/a:1", "docker.io/library/b:1", "docker.io/library/c:1"


def warm(name: str = "w") -> NodePicture:
    return NodePicture(node=name, state=NodeState.WARM)


def pulling(name: str = "p", missing: tuple[str, ...] | None = None) -> NodePicture:
    return NodePicture(node=name, state=NodeState.PULLING, missing=missing)


def retrying(name: str = "r") -> NodePicture:
    return NodePicture(node=name, state=NodeState.FAILED)


def failed(name: str = "f", missing: tuple[str, ...] | None = None, final: tuple[str, ...] = ()) -> NodePicture:
    return NodePicture(node=name, state=NodeState.FAILED, is_final=True, missing=missing, final_images=final)


def picture(*nodes: NodePicture, **more: Any) -> Picture:
    return Picture(namespace="default", name="web", source="test", nodes=nodes, **more)


ALL = Goal()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100%", Goal()),
        ("1%", Goal(percent=1)),
        (" 90% ", Goal(percent=90)),
        ("1", Goal(count=1)),
        ("1000", Goal(count=1000)),
    ],
)
def test_a_goal_is_a_percentage_or_a_number_of_nodes(text: str, expected: Goal):
    assert expected == parse_goal(text, [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0%", '--nodes: invalid percentage "0%": must be from 1% to 100%'),
        ("101%", '--nodes: invalid percentage "101%": must be from 1% to 100%'),
        ("0", "--nodes: must be at least 1"),
        ("", '--nodes: invalid value "" (expected a percentage such as 90% or a number of nodes)'),
        ("all", '--nodes: invalid value "all" (expected a percentage such as 90% or a number of nodes)'),
        ("-1", '--nodes: invalid value "-1" (expected a percentage such as 90% or a number of nodes)'),
        ("99.5%", '--nodes: invalid value "99.5%" (expected a percentage such as 90% or a number of nodes)'),
        ("٣", '--nodes: invalid value "٣" (expected a percentage such as 90% or a number of nodes)'),
        ("1" * 10, '--nodes: invalid value "1111111111" (expected a percentage such as 90% or a number of nodes)'),
        ("\x1b[2J", '--nodes: invalid value "\\x1b[2J" (expected a percentage such as 90% or a number of nodes)'),
    ],
)
def test_an_invalid_number_of_nodes_is_explained(text: str, problem: str):
    with pytest.raises(UsageError) as caught:
        parse_goal(text, [])

    assert (problem,) == caught.value.problems


def test_all_problems_of_a_goal_are_reported_at_once():
    with pytest.raises(UsageError) as caught:
        parse_goal("0", ["a b", "A", "a:1"])

    assert ["--nodes", "--image", "--image"] == [problem.partition(":")[0] for problem in caught.value.problems]


def test_images_are_compared_by_their_normalized_names():
    assert (A,) == parse_goal("1", ["a:1", "library/a:1", "docker.io/a:1"]).images


@pytest.mark.parametrize(
    ("nodes", "percent", "needed"),
    [(10, 100, 10), (10, 90, 9), (11, 90, 10), (3, 1, 1), (3, 34, 2), (3, 33, 1), (1000, 99, 990), (0, 100, 1)],
)
def test_a_percentage_rounds_up(nodes: int, percent: int, needed: int):
    assert needed == Goal(percent=percent).needed(nodes)


@pytest.mark.parametrize(
    ("goal", "nodes", "expected"),
    [
        (ALL, [warm(), warm()], Reached),
        (ALL, [warm(), pulling()], Pending),
        (ALL, [warm(), retrying()], Pending),
        (ALL, [warm(), failed()], Impossible),
        (ALL, [pulling(), failed()], Impossible),
        (Goal(percent=50), [warm(), failed()], Reached),
        (Goal(percent=50), [pulling(), failed()], Pending),
        (Goal(percent=51), [pulling(), failed()], Impossible),
        (Goal(percent=50), [failed(), failed()], Impossible),
        (Goal(count=1), [warm(), failed()], Reached),
        (Goal(count=2), [warm(), failed()], Impossible),
        (Goal(count=2), [warm(), retrying()], Pending),
        (Goal(count=3), [warm(), failed()], Pending),
        (Goal(count=3), [warm(), warm()], Pending),
        (ALL, [], Pending),
        (Goal(count=1), [], Pending),
        (Goal(percent=1), [], Pending),
    ],
)
def test_verdicts(goal: Goal, nodes: list[NodePicture], expected: type):
    assert expected is type(verdict(picture(*nodes), goal))


def test_a_picture_that_is_not_settled_is_neither_reached_nor_impossible():
    """Pods of new nodes, or of the newest version, may be missing in it."""
    for node in (warm(), failed()):
        answer = verdict(picture(node, is_settled=False), ALL)

        assert isinstance(answer, Pending)
        assert ("the pods of the DaemonSet's newest version are not all there yet",) == answer.notes


def test_nothing_becomes_warm_by_an_invalid_list():
    answer = verdict(picture(warm(), list_problems=("images: line 2: bad",), is_settled=False), Goal(percent=1))

    assert isinstance(answer, Impossible)
    assert "the image list is invalid" == answer.reason
    assert ["images: line 2: bad"] == [cause.text for cause in answer.causes]


def test_a_node_that_tries_again_has_not_failed_for_good():
    again = NodePicture(node="n", state=NodeState.PULLING, is_final=True)

    assert isinstance(verdict(picture(again), ALL), Pending)


def test_an_installation_without_nodes_says_what_it_waits_for():
    assert ("no node matches the DaemonSet; waiting for one",) == verdict(picture(), ALL).notes


def test_nodes_that_match_but_have_no_pods_are_not_said_to_be_missing():
    """For example where Pod Security rejects the pods: a note of the DaemonSet says so."""
    notes = verdict(picture(is_settled=False), ALL).notes

    assert ("the pods of the DaemonSet's newest version are not all there yet",) == notes


def test_more_nodes_than_there_are_says_what_it_waits_for():
    answer = verdict(picture(warm(), warm()), Goal(count=5))

    assert ("2 nodes match the DaemonSet, 5 are needed; waiting for more",) == answer.notes


def test_an_impossible_goal_says_how_many_nodes_may_fail():
    causes = (
        Cause(text="not found", nodes=2, examples=("f", "g"), image="a:1", is_final=True),
        Cause(text="timeout", nodes=1, examples=("r",), image="a:1"),
    )

    answer = verdict(picture(failed("f"), failed("g"), retrying(), causes=causes), Goal(percent=60))

    assert isinstance(answer, Impossible)
    assert "2 nodes have failed for good, 1 of 3 may" == answer.reason
    assert causes[:1] == answer.causes


def test_a_node_counts_when_it_has_the_images_asked_for():
    node = pulling(missing=("b:1",))

    assert isinstance(verdict(picture(node), Goal(images=(A,))), Reached)
    assert isinstance(verdict(picture(node), Goal(images=(A, B))), Pending)


def test_a_node_does_not_count_against_images_that_it_can_have():
    """It has failed because of b alone; a may still come."""
    node = failed(missing=("a:1", "b:1"), final=("b:1",))

    assert isinstance(verdict(picture(node), Goal(images=(A,))), Pending)
    assert isinstance(verdict(picture(node), Goal(images=(B,))), Impossible)
    assert isinstance(verdict(picture(node), Goal()), Impossible)


def test_the_causes_are_those_of_the_images_asked_for():
    causes = tuple(
        Cause(text="not found", nodes=1, examples=("f",), image=image, is_final=True) for image in ("a:1", "b:1")
    )
    node = failed(missing=("a:1", "b:1"), final=("a:1", "b:1"))

    answer = verdict(picture(node, causes=causes), Goal(images=(B,)))

    assert isinstance(answer, Impossible)
    assert ["b:1"] == [cause.image for cause in answer.causes]


def test_where_images_are_unknown_only_warm_nodes_count():
    goal = Goal(images=(A,))

    answer = verdict(picture(warm(), failed(), list_images=("a:1", "b:1")), goal)

    assert isinstance(answer, Pending)
    assert (1, 2) == (answer.counts.warm, answer.counts.nodes)
    assert (
        "which images are on a node is unknown, so a node counts when it has all images of the list",
    ) == answer.notes


def test_to_ask_for_all_images_of_the_list_is_to_ask_for_none_in_particular():
    answer = verdict(picture(failed(), list_images=("a:1", "b:1")), Goal(images=(B, A)))

    assert isinstance(answer, Impossible)


def test_a_list_that_cannot_be_read_is_noted():
    answer = verdict(picture(pulling(missing=("a:1",))), Goal(images=(A,)))

    assert (
        "the image list cannot be read, so it is unknown whether it contains the images of --image",
    ) == answer.notes


def test_images_that_are_not_listed_are_refused_all_at_once():
    with pytest.raises(UsageError) as caught:
        check_images(picture(list_images=("a:1",)), Goal(images=(B, A, C)))

    assert (
        f'--image: "{B}" is not in the image list of web',
        f'--image: "{C}" is not in the image list of web',
    ) == caught.value.problems


def test_images_are_not_checked_by_a_list_that_is_unknown_or_invalid():
    check_images(picture(), Goal(images=(A,)))
    check_images(picture(list_images=(), list_problems=("bad",)), Goal(images=(A,)))


def test_an_image_that_is_taken_from_the_list_meanwhile_cannot_become_warm():
    answer = verdict(picture(warm(), list_images=("a:1",)), Goal(images=(A, B)))

    assert isinstance(answer, Impossible)
    assert f'the image list does not contain "{B}" any more' == answer.reason


IMAGES = ("a:1", "b:1")
some_images = st.sampled_from([(), IMAGES[:1], IMAGES[1:], IMAGES])


@st.composite
def some_nodes(draw: st.DrawFn) -> tuple[NodePicture, ...]:
    nodes = []
    for number in range(draw(st.integers(0, 6))):
        state = draw(st.sampled_from(NodeState))
        missing = () if state is NodeState.WARM else draw(st.none() | some_images)
        is_final = state is NodeState.FAILED and draw(st.booleans())
        final = tuple(image for image in missing or () if is_final and draw(st.booleans()))
        nodes.append(
            NodePicture(node=f"n{number}", state=state, missing=missing, is_final=is_final, final_images=final)
        )
    return tuple(nodes)


some_goals = st.builds(
    Goal,
    percent=st.integers(1, 100),
    count=st.none() | st.integers(1, 8),
    images=some_images.map(lambda images: tuple(f"docker.io/library/{image}" for image in images)),
)


def changed(nodes: tuple[NodePicture, ...], index: int, node: NodePicture) -> tuple[NodePicture, ...]:
    return (*nodes[:index], node, *nodes[index + 1 :])


@given(some_nodes().filter(bool), some_goals, st.data())
def test_another_failure_never_helps(nodes: tuple[NodePicture, ...], goal: Goal, data: st.DataObject):
    index = data.draw(st.integers(0, len(nodes) - 1))
    after = changed(nodes, index, failed(f"n{index}", missing=IMAGES, final=IMAGES))

    order = (Impossible, Pending, Reached)
    assert order.index(type(verdict(picture(*after), goal))) <= order.index(type(verdict(picture(*nodes), goal)))


@given(some_nodes().filter(bool), some_goals, st.data())
def test_another_warm_node_never_harms(nodes: tuple[NodePicture, ...], goal: Goal, data: st.DataObject):
    index = data.draw(st.integers(0, len(nodes) - 1))
    after = changed(nodes, index, warm(f"n{index}"))

    order = (Impossible, Pending, Reached)
    assert order.index(type(verdict(picture(*after), goal))) >= order.index(type(verdict(picture(*nodes), goal)))


@given(some_nodes(), some_goals)
def test_impossible_is_what_the_nodes_that_are_left_cannot_bring(nodes: tuple[NodePicture, ...], goal: Goal):
    """If all nodes become warm that have not failed for good, a goal that is pending is reached, and no other one."""
    asked = set(goal.images)

    def becomes_warm(node: NodePicture) -> bool:
        final = {f"docker.io/library/{image}" for image in node.final_images}
        return not node.is_final if not asked else not (node.is_final and asked & final)

    at_best = [warm(node.node) if becomes_warm(node) else node for node in nodes]
    before, after = verdict(picture(*nodes), goal), verdict(picture(*at_best), goal)

    if isinstance(before, Pending) and before.counts.needed <= len(nodes):
        assert isinstance(after, Reached)
    if isinstance(before, Impossible):
        assert isinstance(after, Impossible)


@given(some_nodes(), some_goals)
def test_counts_add_up(nodes: tuple[NodePicture, ...], goal: Goal):
    counts = verdict(picture(*nodes), goal).counts

    assert len(nodes) == counts.nodes == counts.warm + len(counts.lacking)
    assert msgspec.json.encode(counts)


def skipped(name: str) -> NodePicture:
    return NodePicture(
        node=name, state=NodeState.SKIPPED, why="no pod that matches app=web in namespace team runs there"
    )


def test_skipped_nodes_are_neither_needed_nor_lacking():
    found = verdict(picture(warm(), skipped=(skipped("s1"), skipped("s2"))), ALL)

    assert (True, 1, 1, ()) == (
        isinstance(found, Reached),
        found.counts.nodes,
        found.counts.needed,
        found.counts.lacking,
    )


def test_where_all_nodes_are_skipped_a_share_of_them_is_reached():
    """The first rollout of a workload, which runs nowhere yet, goes on."""
    found = verdict(picture(skipped=(skipped("s1"),)), ALL)

    assert (True, 0) == (isinstance(found, Reached), found.counts.needed)


def test_it_is_not_reached_while_pods_are_still_to_come():
    assert isinstance(verdict(picture(skipped=(skipped("s1"),), is_settled=False), ALL), Pending)
    assert isinstance(verdict(picture(pulling(), skipped=(skipped("s1"),)), ALL), Pending)


def test_a_number_of_nodes_is_waited_for_all_the_same():
    found = verdict(picture(skipped=(skipped("s1"),)), Goal(count=1))

    assert isinstance(found, Pending)
    assert (
        "1 node skipped: no pod that matches app=web in namespace team runs there",
        "0 nodes match the DaemonSet and run its pods, 1 are needed; waiting for more",
    ) == found.notes
