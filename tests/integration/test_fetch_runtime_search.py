"""Where is the runtime? Each way not to find it has a message of its own, and ends with 3."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry
from tests.integration.program import Ended, RunHere, StartFetch
from tests.support.containerd import Containerd

NOBODY = 65534
IMAGE = "registry.test/app:1"


@pytest.fixture
def listener(short_path: Path) -> Iterator[Path]:
    """A socket with somebody behind it who never says anything."""
    path = short_path / "listener.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield path


def said(ended: Ended) -> str:
    """The message to the user; before it the log says that no node is labeled and that the image has failed."""
    assert ["node label and events disabled: NODE_NAME is not set", "image failed", "run no-runtime"] == [
        line["msg"] for line in ended.log
    ]
    (line,) = (line for line in ended.stderr.splitlines() if not line.startswith("{"))
    return line


def test_a_path_where_nothing_is(fetch_here: RunHere, short_path: Path) -> None:
    path = short_path / "none.sock"

    ended = fetch_here(IMAGE, cri_socket=path, runtime_wait="0")

    assert 3 == ended.code
    assert f"nodeprefetch: no container runtime answered: {path}: does not exist" == said(ended)


def test_the_wait_for_a_runtime_ends(fetch_here: RunHere, short_path: Path) -> None:
    ended = fetch_here(IMAGE, cri_socket=short_path / "none.sock", runtime_wait="1s")

    assert 3 == ended.code
    assert "no container runtime answered in 1s: " in said(ended)


@pytest.mark.parametrize(
    ("kind", "words"), [("file", "is a file, not a socket"), ("dir", "is a directory, not a socket")]
)
def test_a_path_that_is_no_socket(fetch_here: RunHere, short_path: Path, kind: str, words: str) -> None:
    path = short_path / kind
    path.write_text("") if kind == "file" else path.mkdir()

    ended = fetch_here(IMAGE, cri_socket=f"unix://{path}", runtime_wait="0")

    assert 3 == ended.code
    assert f"{path}: {words}" in said(ended)


def test_a_socket_without_listener(fetch_here: RunHere, listener: Path, short_path: Path) -> None:
    path = short_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))

    ended = fetch_here(IMAGE, cri_socket=path, runtime_wait="0")

    assert 3 == ended.code
    assert f"{path}: nothing is listening on this socket" in said(ended)


def test_a_socket_that_never_answers(fetch_here: RunHere, listener: Path) -> None:
    ended = fetch_here(IMAGE, cri_socket=listener, runtime_wait="0")

    assert 3 == ended.code
    assert f"{listener}: accepts connections, but no answer in 5s (is the runtime" in said(ended)


def test_no_permission_to_connect(start_fetch: StartFetch, without_privileges: tuple[str, ...], listener: Path) -> None:
    listener.chmod(0o600)
    _give_away(listener)

    ended = start_fetch(None, IMAGE, cri_socket=listener, runtime_wait="0", how={"prefix": without_privileges}).end()

    assert 3 == ended.code
    assert f"{listener}: permission denied: run as root" in said(ended)


def test_no_permission_to_look(start_fetch: StartFetch, without_privileges: tuple[str, ...], short_path: Path) -> None:
    closed = short_path / "closed"
    closed.mkdir(0o700)
    _give_away(closed)

    ended = start_fetch(
        None, IMAGE, cri_socket=closed / "any.sock", runtime_wait="0", how={"prefix": without_privileges}
    ).end()

    assert 3 == ended.code
    assert f"{closed}/any.sock: permission denied: run as root" in said(ended)


def _give_away(path: Path) -> None:
    os.chown(path, NOBODY, NOBODY)


def test_a_relative_path(fetch_here: RunHere) -> None:
    ended = fetch_here(IMAGE, cri_socket="containerd.sock", runtime_wait="0")

    assert 3 == ended.code
    assert "containerd.sock: is not an absolute path" in said(ended)


@pytest.mark.containerd
def test_the_usual_variable_names_the_socket(
    containerd: Containerd, fake_registry: FakeRegistry, start_fetch: StartFetch
) -> None:
    name = fake_registry.add("variable/app:1", make_image(seed="variable"))
    environment = {"CONTAINER_RUNTIME_ENDPOINT": f"unix://{containerd.socket}"}

    ended = start_fetch(None, name, how={"environment": environment}).end()

    (started,) = ended.lines("run started")
    assert (0, str(containerd.socket)) == (ended.code, started["socket"])
    assert started["runtime"].startswith("containerd ")


@pytest.mark.containerd
def test_a_flag_may_come_by_environment(
    containerd: Containerd, fake_registry: FakeRegistry, start_fetch: StartFetch
) -> None:
    name = fake_registry.add("environment/app:1", make_image(seed="environment"))

    ended = start_fetch(None, name, how={"environment": {"NODEPREFETCH_CRI_SOCKET": str(containerd.socket)}}).end()

    assert (0, {name: "succeeded"}) == (ended.code, ended.outcomes)


@pytest.mark.containerd
def test_a_runtime_that_starts_late_is_waited_for(
    own_containerd: Containerd, fake_registry: FakeRegistry, start_fetch: StartFetch
) -> None:
    """Its socket is left over from before: nobody listens there, until somebody does."""
    name = fake_registry.add("late/app:1", make_image(seed="late"))
    own_containerd.kill()
    assert own_containerd.socket.exists()
    fetch = start_fetch(own_containerd, name, runtime_wait="40s")

    own_containerd.start()

    ended = fetch.end()
    assert (0, {name: "succeeded"}) == (ended.code, ended.outcomes)
