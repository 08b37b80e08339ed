"""`wait` from argv to exit code and output, against an installation that is told what to be."""

import os
import pty
import re
import signal
import subprocess
import sys
import termios
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from nodeprefetch import __version__
from nodeprefetch.cli import kubectl, wait
from nodeprefetch.cli.commands import CLUSTER_COMMANDS, ON_A_NODE, ON_YOUR_MACHINE, app, run
from nodeprefetch.cluster import looking
from nodeprefetch.cluster.picture import Cause, NodePicture, NodeState, Picture
from nodeprefetch.errors import NoAccessError, UsageError
from nodeprefetch.kube import UnreachableError

NOT_FOUND = Cause(
    text="manifest unknown",
    nodes=1,
    examples=("n1",),
    image="app:1",
    is_final=True,
    advice="push the image, or correct its name",
)


def picture(state: NodeState, **more: Any) -> Picture:
    nodes = (
        NodePicture(node="n0", state=NodeState.WARM),
        NodePicture(node="n1", state=state, is_final=state is NodeState.FAILED),
    )
    return Picture(namespace="default", name="web", source="test", nodes=nodes, **more)


WARM, COLD = picture(NodeState.WARM), picture(NodeState.PULLING)
FAILED = picture(NodeState.FAILED, causes=(NOT_FOUND,))


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What looks see, in order, the last for ever."""
    answers: list[Any] = []

    async def look() -> Picture:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @asynccontextmanager
    async def open_look(name: str, flags: wait.WaitFlags) -> AsyncGenerator[Callable[[], Awaitable[Picture]]]:
        assert ("web", "default") == (name, flags.namespace)
        yield look

    monkeypatch.setattr(wait, "open_look", open_look)
    monkeypatch.setattr(looking, "INTERVAL", 0.01)
    return answers


WAIT = ("wait", "web", "-n", "default")


def test_warm_is_0(cluster, capsys):
    cluster += [COLD, WARM]

    assert 0 == run(WAIT)
    assert [
        "0s: web in default, as seen from: test",
        "0s: 1 of 2 nodes warm, 1 pulling",
        "web: 2 of 2 nodes warm after 0s",
    ] == capsys.readouterr().out.splitlines()


def test_what_cannot_become_warm_is_1_with_causes(cluster, capsys):
    cluster += [COLD, FAILED]

    assert 1 == run(WAIT)
    assert [
        "web cannot become warm (after 0s): 1 node has failed for good, 0 of 2 may",
        "1 of 2 nodes warm, 1 failed (1 for good)",
        "  1 node: app:1: manifest unknown (n1)",
        "    push the image, or correct its name",
    ] == capsys.readouterr().out.splitlines()[2:]


def test_enough_nodes_are_enough(cluster):
    cluster += [FAILED]

    assert 0 == run([*WAIT, "--nodes=50%"])
    assert 0 == run([*WAIT, "--nodes=1"])


def test_enough_images_are_enough(cluster):
    node = NodePicture(node="n0", state=NodeState.PULLING, missing=("b:1",))
    cluster += [Picture(namespace="default", name="web", source="test", nodes=(node,), list_images=("a:1", "b:1"))]

    assert 0 == run([*WAIT, "--image=docker.io/library/a:1"])
    assert 4 == run([*WAIT, "--image=a:1", "--image=b:1", "--timeout=0"])
    assert 2 == run([*WAIT, "--image=c:1"])


def test_the_timeout_is_4_with_what_is_missing(cluster, capsys):
    cluster += [COLD]

    assert 4 == run([*WAIT, "--timeout=50ms"])
    assert [
        "web: timed out after 0s: 1 of 2 nodes warm, 1 pulling",
        "  n1  pulling",
    ] == capsys.readouterr().out.splitlines()[2:]


def test_an_api_server_that_does_not_answer_is_4(cluster, capsys):
    cluster += [UnreachableError("listing DaemonSets: no connection")]

    assert 4 == run([*WAIT, "--timeout=50ms"])
    assert [
        "0s: listing DaemonSets: no connection (trying again)",
        "web: timed out after 0s: listing DaemonSets: no connection",
    ] == capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("arguments", "problems"),
    [
        (["--nodes=0", "--timeout=soon", "--image=A"], ["--nodes: ", "--image: ", "--timeout: "]),
        (["--no-such-flag"], ["Unknown option"]),
    ],
)
def test_invalid_flags_are_2_all_at_once_and_nothing_is_asked(arguments, problems, capsys):
    assert 2 == run([*WAIT, *arguments])
    lines = capsys.readouterr().err.splitlines()
    assert len(problems) == len(lines)
    assert all(problem in line for problem, line in zip(problems, lines, strict=True))


def test_a_name_is_required(capsys):
    assert 2 == run(["wait"])


def test_an_unknown_installation_is_2(cluster, capsys):
    cluster += [UsageError(["no installation web in namespace default"])]

    assert 2 == run(WAIT)
    assert "nodeprefetch: no installation web in namespace default\n" == capsys.readouterr().err


def test_no_access_is_3_with_the_command_that_shows_it(cluster, capsys):
    cluster += [NoAccessError("listing pods: forbidden", check="kubectl auth can-i list pods -n default")]

    assert 3 == run(WAIT)
    assert [
        "nodeprefetch: listing pods: forbidden",
        "nodeprefetch: check with: kubectl auth can-i list pods -n default",
    ] == capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("name", sorted(CLUSTER_COMMANDS))
def test_kubectl_shows_how_it_is_called(name, capsys):
    assert 0 == kubectl.run([name, "--help"])
    assert capsys.readouterr().out.startswith(f"Usage: kubectl nodeprefetch {name} ")


def test_kubectl_waits_too(cluster):
    cluster += [WARM]

    assert 0 == kubectl.run(WAIT)


def test_kubectl_has_no_other_command(capsys):
    assert set(CLUSTER_COMMANDS) == {name for name in kubectl.app if not name.startswith("-")}
    assert 2 == kubectl.run(["fetch", "a:1"])


def test_each_command_says_where_it_runs():
    groups = {name: app[name].group for name in app if not name.startswith("-")}

    assert set(CLUSTER_COMMANDS) == {name for name, group in groups.items() if group == (ON_YOUR_MACHINE,)}
    assert {"fetch", "keep"} <= {name for name, group in groups.items() if group == (ON_A_NODE,)}
    assert ["completion"] == [name for name, group in groups.items() if not group]


PROGRAM = """
import os, sys, time
from contextlib import asynccontextmanager
from nodeprefetch.cluster.goal import Goal
from nodeprefetch.cluster.picture import NodePicture, NodeState, Picture
from nodeprefetch.cli.wait_run import run_wait
import trio

nodes = (NodePicture(node="n0", state=NodeState.WARM), NodePicture(node="n1", state=NodeState.PULLING))
pictures = {
    "warm": Picture(namespace="default", name="web", source="test", nodes=nodes[:1]),
    "cold": Picture(namespace="default", name="web", source="test", nodes=nodes),
}
looks = sys.argv[1].split()
async def look():
    what = looks.pop(0)
    if what == "hang":
        print("hanging", file=sys.stderr, flush=True)
        await trio.sleep_forever()
    return pictures[what]

@asynccontextmanager
async def open_look():
    yield look

sys.exit(run_wait(open_look, Goal(), 600, name="web"))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("looks", "told"),
    [
        ("hang", ["web: interrupted after Ns: no answer"]),
        ("cold hang", ["web: interrupted after Ns: 1 of 2 nodes warm, 1 pulling", "  n1  pulling"]),
    ],
)
def test_a_signal_ends_it_with_what_is_known(number: signal.Signals, looks: str, told: list[str]):
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, looks], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert "hanging\n" == process.stderr.readline()
        process.send_signal(number)
        out, _ = process.communicate(timeout=300)

    assert 128 + number == process.returncode
    assert told == re.sub(r"after \d+s", "after Ns", out).splitlines()[-len(told) :]


def on_a_terminal(looks: str, variables: dict[str, str], size: tuple[int, int] = (20, 80)) -> tuple[str, int]:
    screen, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, size)
    environment = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "TERM"}}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, looks], stdout=theirs, env={**environment, **variables})
    os.close(theirs)
    parts = []
    with suppress(OSError):  # EIO: nobody has the other end open
        while part := os.read(screen, 1 << 16):
            parts.append(part)
    os.close(screen)
    return b"".join(parts).decode(), process.wait()


def test_a_terminal_gets_a_bar_that_is_erased_at_the_end():
    text, code = on_a_terminal("cold warm", {"TERM": "xterm"})

    assert 0 == code
    assert "━" in text
    assert "web in default" in text
    assert "\x1b[2K" in text  # erases a line
    assert re.fullmatch(r"web: 1 of 1 node warm after \ds", text.rstrip().splitlines()[-1].rpartition("\x1b[2K")[2])
    assert "\x1b[?25h" in text  # shows the cursor again


def test_without_color_there_is_none():
    text, _ = on_a_terminal("cold warm", {"TERM": "xterm", "NO_COLOR": "1"})

    assert "━" in text
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", text)


def test_a_dumb_terminal_gets_lines():
    text, code = on_a_terminal("cold warm", {"TERM": "dumb"})

    assert 0 == code
    assert "\x1b" not in text
    assert "0s: 1 of 2 nodes warm, 1 pulling" in text.splitlines()


def test_the_version_is_that_of_the_program():
    program = "import sys; from nodeprefetch.__main__ import kubectl_plugin; kubectl_plugin()"
    ended = subprocess.run([sys.executable, "-c", program, "--version"], capture_output=True, text=True, check=False)

    assert (0, f"{__version__}\n") == (ended.returncode, ended.stdout)
