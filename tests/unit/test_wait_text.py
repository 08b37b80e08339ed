"""What `wait` writes: lines when something changes, the drawing on a terminal, and how it ended."""

import io
import re
from typing import Any

import msgspec
import pytest
from rich.console import Console

from nodeprefetch.cli.wait_lines import WaitLines
from nodeprefetch.cli.wait_screen import WaitDrawing, share
from nodeprefetch.cli.wait_text import ending, progress_text
from nodeprefetch.cluster.goal import Goal, verdict
from nodeprefetch.cluster.picture import Cause, NodePicture, NodeState, Picture
from nodeprefetch.cluster.waiting import End, Look, Trouble

MIB = 1 << 20
NOT_FOUND = Cause(
    text="manifest unknown",
    nodes=2,
    examples=("n8", "n9"),
    image="app:1",
    error_class="permanent",
    reason="not_found",
    is_final=True,
    advice="push the image, or correct its name",
)
THROTTLED = Cause(text="429", nodes=1, examples=("n7",), image="app:2", error_class="passing", reason="rate_limited")


def node(name: str, state: NodeState, **more: Any) -> NodePicture:
    return NodePicture(node=name, state=state, **more)


WARM = node("n1", NodeState.WARM)
PULLING = node(
    "n2",
    NodeState.PULLING,
    present=3,
    images=4,
    missing=("app:1",),
    done_bytes=50 * MIB,
    total_bytes=200 * MIB,
    rate=5 * MIB,
)
FAILED = node("n8", NodeState.FAILED, is_final=True, images=4, present=2, missing=("app:1", "app:2"), why="not found")


def look(*nodes: NodePicture, at: float = 0, goal: Goal = Goal(), **more: Any) -> Look:  # noqa: B008 - frozen
    picture = Picture(**{"namespace": "default", "name": "web", "source": "the aggregator", "nodes": nodes, **more})
    return Look(picture=picture, verdict=verdict(picture, goal), elapsed=at)


def lines(*seen: Look | Trouble) -> list[str]:
    waiting = WaitLines(Goal())
    return [line for each in seen for line in waiting.take(each)]


HEAD = "0s: web in default, as seen from: the aggregator"


@pytest.mark.parametrize(
    ("nodes", "goal", "text"),
    [
        ([WARM], Goal(), "1 of 1 node warm"),
        ([], Goal(), "0 of 0 nodes warm (1 needed)"),
        (
            [WARM, PULLING, FAILED],
            Goal(percent=60),
            "1 of 3 nodes warm (2 needed), 1 pulling, 1 failed (1 for good); 50 of 200 MiB, 5.0 MiB/s",
        ),
        (
            [node("a", NodeState.WAITING), node("b", NodeState.UNSEEN), node("c", NodeState.FAILED)],
            Goal(count=9),
            "0 of 3 nodes warm (9 needed), 1 waiting, 1 failed, 1 not seen",
        ),
        ([WARM, WARM], Goal(images=("docker.io/library/a:1",)), "2 of 2 nodes have docker.io/library/a:1"),
        ([WARM], Goal(images=("docker.io/library/a:1", "b:1")), "1 of 1 node has the 2 images"),
    ],
)
def test_progress_is_one_line(nodes: list[NodePicture], goal: Goal, text: str):
    assert text == progress_text(look(*nodes, goal=goal), goal)


def test_progress_without_totals_is_what_has_come():
    """On CRI-O."""
    pulling = msgspec.structs.replace(PULLING, total_bytes=0)

    assert progress_text(look(pulling), Goal()).endswith("; 50.0 MiB, 5.0 MiB/s")
    assert progress_text(look(pulling, PULLING), Goal()).endswith("; 50 of 200 MiB, 10.0 MiB/s")


def test_progress_has_the_time_left():
    assert progress_text(look(PULLING, seconds_left=92), Goal()).endswith("50 of 200 MiB, 5.0 MiB/s, about 1m32s left")


def test_the_first_look_says_what_it_was_made_from():
    assert [HEAD, "0s: 0 of 1 node warm, 1 waiting", "0s: note: no aggregator"] == lines(
        look(node("n2", NodeState.WAITING), notes=("no aggregator",))
    )


def test_mere_progress_is_a_line_every_ten_seconds():
    def waiting(at: float, warm: int) -> Look:
        states = [NodeState.WARM] * warm + [NodeState.WAITING] * (9 - warm)
        return look(*(node(f"n{number}", state) for number, state in enumerate(states)), at=at)

    assert [
        HEAD,
        "0s: 0 of 9 nodes warm, 9 waiting",
        "10s: 3 of 9 nodes warm, 6 waiting",
        "20s: 4 of 9 nodes warm, 5 waiting",
    ] == lines(*(waiting(at, warm) for at, warm in ((0, 0), (2, 1), (8, 2), (10, 3), (18, 3), (20, 4))))


def test_without_change_there_is_a_line_every_five_minutes():
    still = [look(node("n", NodeState.WAITING), at=at) for at in range(0, 700, 2)]

    assert [
        HEAD,
        "0s: 0 of 1 node warm, 1 waiting",
        "5m: 0 of 1 node warm, 1 waiting",
        "10m: 0 of 1 node warm, 1 waiting",
    ] == lines(*still)


def test_a_cause_is_told_at_once_and_once():
    nodes = (node("n", NodeState.WAITING), node("m", NodeState.WAITING))
    seen = lines(
        look(*nodes),
        look(*nodes, at=2, causes=(THROTTLED,)),
        look(*nodes, at=4, causes=(THROTTLED, Cause(text="pod is pending", nodes=1, examples=("m",)))),
        look(*nodes, at=6, causes=(THROTTLED, NOT_FOUND)),
    )

    assert [
        "2s: retrying: 1 node: app:2: 429 (n7)",
        "4s: not warm: 1 node: pod is pending (m)",
        "6s: failed for good: 2 nodes: app:1: manifest unknown (n8, n9)",
    ] == seen[2:]


def test_a_cause_that_becomes_final_is_told_again():
    nodes = (node("n", NodeState.WAITING), node("m", NodeState.WAITING))
    passing = msgspec.structs.replace(NOT_FOUND, is_final=False)

    assert [
        "0s: retrying: 2 nodes: app:1: manifest unknown (n8, n9)",
        "2s: failed for good: 2 nodes: app:1: manifest unknown (n8, n9)",
    ] == lines(look(*nodes, causes=(passing,)), look(*nodes, at=2, causes=(NOT_FOUND,)))[2:]


def test_many_new_causes_are_five_lines_and_their_number():
    causes = tuple(Cause(text="429", nodes=1, examples=(), image=f"app:{number}") for number in range(8))

    seen = lines(look(PULLING, causes=causes))

    assert ["0s: retrying: 1 node: app:4: 429", "0s: and 3 more causes"] == seen[-2:]


def test_notes_that_change_all_the_time_are_no_spam():
    seen = lines(*(look(PULLING, at=at, notes=(f"note {at}",)) for at in range(0, 22, 2)))

    assert ["0s: note: note 0", "10s: note: note 10", "20s: note: note 20"] == [line for line in seen if "note" in line]


def test_a_list_that_is_edited_is_told_at_once():
    seen = lines(
        *(look(PULLING, at=at, list_digest=digest) for at, digest in ((0, "a"), (2, "a"), (4, None), (6, "b")))
    )

    assert "6s: the image list has changed" == seen[-1]
    assert 3 == len(seen)


def test_another_source_is_told_at_once():
    seen = lines(look(PULLING), look(PULLING, at=2, source="node labels and pods"))

    assert "2s: web in default, as seen from: node labels and pods" == seen[-1]


def test_an_outage_is_told_once_and_its_end():
    troubles = [Trouble(text="no connection", elapsed=at) for at in range(2, 62, 2)]

    assert ["2s: no connection (trying again)", "1m2s: answers again"] == lines(
        look(WARM, PULLING), *troubles, look(WARM, PULLING, at=62)
    )[2:4]


def test_an_api_server_that_flaps_is_no_spam():
    seen = [
        Trouble(text="no connection", elapsed=at) if at % 4 else look(node("n", NodeState.WAITING), at=at)
        for at in range(0, 60, 2)
    ]

    told = lines(*seen)

    assert ["2s", "14s", "26s", "38s", "50s"] == [line.partition(":")[0] for line in told if "trying again" in line]
    assert 5 == sum("answers again" in line for line in told)


def test_the_end_is_not_told_by_lines():
    assert [HEAD] == lines(look(FAILED, causes=(NOT_FOUND,)))


@pytest.mark.parametrize("hostile", ["\x1b[2J", "a\nb", "\u202e"])
def test_hostile_names_do_not_reach_the_terminal(hostile: str):
    cause = Cause(text=hostile, nodes=1, examples=(hostile,), image=hostile)
    bad = node(hostile, NodeState.PULLING, missing=(hostile,), why=hostile)
    seen = look(bad, causes=(cause,), notes=(hostile,), source=hostile)
    console = Console(file=io.StringIO(), width=100, height=30, force_terminal=False)
    drawing = WaitDrawing(Goal())
    drawing.take(seen)
    drawing.take(Trouble(text=hostile, elapsed=1))
    console.print(drawing.draw(30, 100))

    texts = [
        *lines(seen),
        *ending(End.TIMEOUT, seen, hostile, name="web", goal=Goal(), elapsed=1).split("\n"),
        *console.file.getvalue().split("\n"),
    ]

    assert all(text.isprintable() for text in texts)
    assert 5 < len(texts)


def told(end: End | None, last: Look | None, trouble: str = "", goal: Goal = Goal()) -> list[str]:  # noqa: B008 - frozen
    return ending(end, last, trouble, name="web", goal=goal, elapsed=62.4).split("\n")


def test_what_was_reached_is_told_in_one_line():
    goal = Goal(percent=50)

    assert ["web: 2 of 3 nodes warm after 1m2s"] == told(End.REACHED, look(WARM, WARM, PULLING, goal=goal), goal=goal)


def test_what_cannot_be_reached_is_told_with_causes_and_advice():
    assert [
        "web cannot become warm (after 1m2s): 1 node has failed for good, 0 of 2 may",
        "1 of 2 nodes warm, 1 failed (1 for good)",
        "  2 nodes: app:1: manifest unknown (n8, n9)",
        "    push the image, or correct its name",
    ] == told(End.IMPOSSIBLE, look(WARM, FAILED, causes=(THROTTLED, NOT_FOUND)))


def test_what_cannot_be_reached_without_known_causes_is_told_with_nodes():
    assert "  n8  failed  2 of 4 images  not found" == told(End.IMPOSSIBLE, look(WARM, FAILED, PULLING))[-1]


def test_an_invalid_list_is_told_with_its_problems():
    assert [
        "web cannot become warm (after 1m2s): the image list is invalid",
        "1 of 1 node warm",
        "  1 node: images.txt:2: bad",
        "    correct the list; nodes take no other one meanwhile",
    ] == told(End.IMPOSSIBLE, look(WARM, list_problems=("images.txt:2: bad",)))


def test_the_timeout_is_told_with_what_is_missing():
    failed = node("n7", NodeState.FAILED, missing=("app:2",), images=4, present=3, why="429")
    unseen = node("n3", NodeState.UNSEEN, why="no pod")

    assert [
        "web: timed out after 1m2s: 1 of 4 nodes warm, 1 pulling, 1 failed, 1 not seen; 50 of 200 MiB, 5.0 MiB/s",
        "  n7  failed    3 of 4 images  429",
        "  n3  not seen                 no pod",
        "  n2  pulling   3 of 4 images",
        "missing images: app:1 (on 1 node), app:2 (on 1 node)",
        "1 node: app:2: 429 (n7)",
        "note: no aggregator",
    ] == told(End.TIMEOUT, look(WARM, PULLING, failed, unseen, causes=(THROTTLED,), notes=("no aggregator",)))


def test_of_many_nodes_and_images_the_first_are_told():
    nodes = [node(f"n{number:04}", NodeState.PULLING, missing=tuple("abcdefg")) for number in range(1000)]

    text = told(End.TIMEOUT, look(*nodes))

    assert ["  n0009  pulling", "  and 990 nodes more"] == text[10:12]
    assert text[12].endswith("e (on 1000 nodes) and 2 more")
    assert 13 == len(text)


def test_an_outage_at_the_end_is_told():
    assert "no answer since 5s: no connection" == told(End.TIMEOUT, look(PULLING, at=5), "no connection")[-1]


@pytest.mark.parametrize(
    ("end", "trouble", "text"),
    [
        (End.TIMEOUT, "no connection", "web: timed out after 1m2s: no connection"),
        (End.TIMEOUT, "", "web: timed out after 1m2s: no answer"),
        (None, "", "web: interrupted after 1m2s: no answer"),
    ],
)
def test_what_was_never_seen_is_told(end: End | None, trouble: str, text: str):
    assert [text] == told(end, None, trouble)


def test_an_interruption_is_told_with_what_is_missing():
    assert told(None, look(PULLING))[0].startswith("web: interrupted after 1m2s: 0 of 1 node warm, 1 pulling")


def test_an_installation_that_was_deleted_is_told():
    assert ["web was deleted (after 1m2s): no installation web"] == told(End.GONE, look(WARM), "no installation web")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def drawn(drawing: WaitDrawing, *, height: int = 20, width: int = 100) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    console.print(drawing.draw(height, width))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_drawing_has_bar_progress_causes_and_notes():
    clock = Clock()
    drawing = WaitDrawing(Goal(), clock)
    clock.now += 5
    drawing.take(look(WARM, PULLING, causes=(THROTTLED,), notes=("old list",)))

    text = drawn(drawing)

    assert "web in default, 5s, from the aggregator" == text[0]
    assert re.fullmatch("━+╸? +62%", text[1])
    assert [
        "1 of 2 nodes warm, 1 pulling",
        "50 of 200 MiB, 5.0 MiB/s",
        "1 node: app:2: 429 (n7)",
        "note: old list",
    ] == text[2:]


def test_a_drawing_before_the_first_look_and_in_an_outage():
    clock = Clock()
    drawing = WaitDrawing(Goal(), clock)
    clock.now += 3
    assert ["looking at the cluster (3s)"] == drawn(drawing)

    drawing.take(Trouble(text="no connection", elapsed=3))
    assert ["looking at the cluster (3s)", "no connection (trying again)"] == drawn(drawing)

    drawing.take(look(PULLING))
    clock.now += 7
    drawing.take(Trouble(text="no connection", elapsed=10))
    assert "no connection (trying again, last seen 7s ago)" == drawn(drawing)[-1]

    drawing.take(look(PULLING))
    assert not any("trying again" in line for line in drawn(drawing))


@pytest.mark.parametrize(("height", "width"), [(24, 80), (10, 40), (6, 20), (2, 10)])
def test_a_drawing_fits_the_terminal(height: int, width: int):
    causes = tuple(Cause(text="x" * 300, nodes=1, examples=("n",), image=f"app:{number}") for number in range(100))
    drawing = WaitDrawing(Goal())
    drawing.take(look(PULLING, causes=causes, notes=("y" * 300,)))
    drawing.take(Trouble(text="z" * 300, elapsed=1))

    text = drawn(drawing, height=height, width=width)

    assert max(map(len, text)) <= width
    assert len(text) <= max(height, 6)


def test_an_outdated_terminal_gets_an_ascii_bar():
    drawing = WaitDrawing(Goal())
    drawing.take(look(WARM, PULLING))
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console = Console(file=file, width=80, height=20, color_system=None)

    console.print(drawing.draw(20, 80))
    file.flush()

    assert b"---" in file.buffer.getvalue()


@pytest.mark.parametrize(
    ("nodes", "goal", "expected"),
    [
        ([WARM, WARM], Goal(), 1),
        ([WARM, PULLING], Goal(), 0.625),
        ([WARM, PULLING, FAILED], Goal(), 1.25 / 3),
        ([WARM, PULLING, FAILED], Goal(count=1), 1),
        ([WARM, PULLING, FAILED], Goal(count=2), 0.625),
        ([PULLING, PULLING, PULLING], Goal(count=1), 0.25),
        ([WARM], Goal(count=4), 0.25),
        ([], Goal(), 0),
        ([node("n", NodeState.PULLING, present=1, images=4)], Goal(), 0.25),
        ([node("n", NodeState.PULLING, done_bytes=9, total_bytes=9)], Goal(), 0.99),
        ([node("n", NodeState.PULLING)], Goal(), 0),
    ],
)
def test_the_bar_is_the_mean_of_the_nodes_that_are_needed(nodes: list[NodePicture], goal: Goal, expected: float):
    assert expected == pytest.approx(share(look(*nodes, goal=goal)))


SKIPPED = node("n3", NodeState.SKIPPED, why="no pod that matches app=web in namespace team runs there")
SKIPPED_LINE = "1 node skipped: no pod that matches app=web in namespace team runs there"


def end(seen: Look) -> str:
    return ending(End.REACHED, seen, "", name="web", goal=Goal(), elapsed=3)


def test_nodes_that_need_no_images_are_counted_apart():
    seen = look(WARM, PULLING, skipped=(SKIPPED,))

    assert "1 of 2 nodes warm, 1 pulling, 1 skipped" == progress_text(seen, Goal()).partition(";")[0]
    assert f"0s: note: {SKIPPED_LINE}" in lines(seen)


def test_the_end_says_how_many_nodes_need_no_images():
    assert f"web: 1 of 1 node warm after 3s\n{SKIPPED_LINE}" == end(look(WARM, skipped=(SKIPPED,)))


def test_where_no_node_needs_them_that_is_said_and_the_bar_is_full():
    seen = look(skipped=(SKIPPED,))

    assert f"web: no node needs the images after 3s\n{SKIPPED_LINE}" == end(seen)
    assert 1 == share(seen)
