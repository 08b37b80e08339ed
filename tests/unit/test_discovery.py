"""Which socket: every way in which one may be no runtime has its own words."""

import os
import socket
import warnings

import pytest
import trio

from nodeprefetch.errors import RuntimeUnavailableError
from nodeprefetch.runtime.connect import USUAL_SOCKETS, Runtime, connect_to, socket_path


async def attempt(path=None, **options) -> Runtime | str:
    """The runtime found, or what was said when none was."""
    options = {"wait": 0, "environment": {}, "usual": (), **options}
    async with trio.open_nursery() as nursery:
        try:
            return await connect_to(path and str(path), **options)(nursery)
        except RuntimeUnavailableError as error:
            return str(error)
        finally:
            nursery.cancel_scope.cancel()


async def test_a_wrong_path_is_said_not_to_exist(tmp_path):
    path = tmp_path / "none.sock"

    assert f"no container runtime answered: {path}: does not exist" == await attempt(path)


async def test_a_file_is_said_to_be_no_socket(tmp_path):
    path = tmp_path / "file"
    path.write_text("")

    assert f"no container runtime answered: {path}: is a file, not a socket" == await attempt(path)


async def test_a_directory_is_said_to_be_no_socket(tmp_path):
    assert f"no container runtime answered: {tmp_path}: is a directory, not a socket" == await attempt(tmp_path)


async def test_a_relative_path_is_refused():
    assert "no container runtime answered: x.sock: is not an absolute path" == await attempt("x.sock")


async def test_a_path_below_a_file_is_explained_by_the_system(tmp_path):
    (tmp_path / "file").write_text("")

    assert "Not a directory" in await attempt(tmp_path / "file" / "x.sock")


async def test_a_socket_without_listener_is_said_to_have_none(short_path):
    path = short_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(path))

    assert f"no container runtime answered: {path}: nothing is listening on this socket (is the runtime running?)" == (
        await attempt(path)
    )


async def test_one_that_accepts_and_stays_silent_is_not_waited_for_without_end(short_path, autojump_clock):
    path = short_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()

        text = await attempt(path)

    assert "accepts connections, but no answer in 5s (is the runtime overloaded or stopped?)" in text
    assert 5 == trio.current_time()


async def test_one_that_does_not_speak_grpc_is_told_so(short_path):
    path = short_path / "x.sock"
    sock = trio.socket.socket(trio.socket.AF_UNIX)
    await sock.bind(str(path))
    sock.listen()

    async def greet(stream):
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, greet, [trio.SocketListener(sock)])
        text = await attempt(path)
        nursery.cancel_scope.cancel()

    assert f"no container runtime answered: {path}: " in text


async def test_it_goes_on_looking_until_the_grace_is_over(tmp_path, autojump_clock):
    """Looks at 0, 0.1, 0.3, 0.7, 1.5, 2.5 … 9.5; the next would be at 10.5."""
    text = await attempt(tmp_path / "none.sock", wait=10)

    assert text.startswith("no container runtime answered in 10s: ")
    assert 9.5 == pytest.approx(trio.current_time())


@pytest.mark.parametrize("form", ["{}", "unix://{}", "unix:{}"])
def test_the_scheme_of_a_socket_may_be_written(form):
    assert "/run/x.sock" == socket_path(form.format("/run/x.sock"))


async def test_without_a_path_all_usual_places_are_named():
    text = await attempt(usual=("/nowhere/a.sock", "/nowhere/b.sock"))

    assert "no socket at /nowhere/a.sock, /nowhere/b.sock" in text
    assert "--cri-socket" in text


async def test_without_a_path_those_that_exist_are_explained(tmp_path):
    (tmp_path / "file").write_text("")

    text = await attempt(usual=("/nowhere/a.sock", str(tmp_path / "file")))

    assert f"no container runtime answered: {tmp_path}/file: is a file, not a socket" == text


async def test_the_environment_names_the_only_place_to_look():
    text = await attempt(
        usual=("/nowhere/a.sock",), environment={"CONTAINER_RUNTIME_ENDPOINT": "unix:///nowhere/first.sock"}
    )

    assert "no container runtime answered: /nowhere/first.sock: does not exist" == text


async def test_a_path_given_is_the_only_place():
    text = await attempt(
        "/nowhere/given.sock", usual=("/nowhere/a.sock",), environment={"CONTAINER_RUNTIME_ENDPOINT": "/nowhere/b"}
    )

    assert "no container runtime answered: /nowhere/given.sock: does not exist" == text


def test_the_usual_places_are_those_of_the_known_distributions_in_order():
    names = ["containerd", "crio", "k3s", "k0s", "microk8s", "cri-dockerd"]

    assert names == [next(name for name in names[::-1] if name in path) for path in USUAL_SOCKETS]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_socket_one_may_not_use_is_said_to_need_permission(short_path):
    path = short_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0o600)
        short_path.chmod(0o755)
        text = as_nobody(lambda: trio.run(attempt, path))
        short_path.chmod(0o700)
        hidden = as_nobody(lambda: trio.run(attempt, path))

    assert "permission denied: run as root" in text
    assert "permission denied: run as root" in hidden


def as_nobody(action) -> str:
    """What the action returns when a user without rights does it; in a process of its own, which keeps them away."""
    reading, writing = os.pipe()
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # other tests' threads are not needed
        child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(writing, action().encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = stream.read().decode()
    os.waitpid(child, 0)
    return said
