"""Finds the container runtime of the node, or explains why there is none."""

import errno
import math
import os
import stat
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

import msgspec
import trio

from nodeprefetch.errors import NotConnectedError, RuntimeUnavailableError, UsageError
from nodeprefetch.rpc import Channel, open_channel
from nodeprefetch.runtime.api import ContainerdApi, ImageService, RuntimeVersion
from nodeprefetch.runtime.containerd import find_containerd_api
from nodeprefetch.runtime.cri import CriImageService
from nodeprefetch.runtime.errors import RuntimeFaultError, RuntimeTimeoutError, answered_within
from nodeprefetch.values.duration import format_duration

ENDPOINT_VARIABLE = "CONTAINER_RUNTIME_ENDPOINT"
"""Also used by crictl."""

USUAL_SOCKETS = (
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/k3s/containerd/containerd.sock",  # k3s and RKE2
    "/run/k0s/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
    "/run/cri-dockerd.sock",
)

ANSWER_LIMIT = 5.0
"""Seconds for a runtime to answer Version."""

_AS_ROOT = "run as root (in a pod: securityContext.runAsUser: 0), or as a member of the socket's group"

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0
"""Seconds between two searches."""


class _Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a path leads to no runtime."""

    text: str
    is_absent: bool = False
    """The path does not exist."""


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """A connected container runtime."""

    service: ImageService
    version: RuntimeVersion
    socket: str
    containerd: ContainerdApi | None = None
    """None if the runtime is not containerd, does not serve its own API, or nobody asked for it."""

    snapshotter: str = ""
    """Of the runtime handler that images are pulled for; empty: none is given, or it is not known."""


Connect = Callable[[trio.Nursery], Awaitable[Runtime]]
"""Finds the runtime. The connection lives as long as the nursery.

Raises `RuntimeUnavailableError` if none answers in time, and `UsageError` if it does not have the runtime handler.
"""


def connect_to(
    path: str | None,
    *,
    wait: float,
    environment: Mapping[str, str] = MappingProxyType({}),
    usual: tuple[str, ...] = USUAL_SOCKETS,
    warn: Callable[[str], None] | None = None,
    handler: str = "",
) -> Connect:
    """Return a function that connects to the runtime at a socket, or to the first that answers at the usual ones.

    Args:
        path: the socket, with or without `unix://`; None: search.
        wait: seconds to keep trying; 0: try once.
        environment: may name the socket in `CONTAINER_RUNTIME_ENDPOINT`. Like `path`, that rules out all others:
            another runtime may have images that no pod of this node uses.
        usual: the sockets to search otherwise, in order.
        warn: called if containerd's own API is unavailable; None: do not look for that API.
        handler: runtime handler to pull for; empty: the runtime's default. Needs `warn`.
    """
    if path is not None:
        sockets: tuple[str, ...] = (path,)
    else:
        named = environment.get(ENDPOINT_VARIABLE, "").strip()
        sockets = (named,) if named else usual
    sockets = tuple(dict.fromkeys(socket_path(one) for one in sockets))

    async def connect(nursery: trio.Nursery) -> Runtime:
        give_up = trio.current_time() + wait
        pause = FIRST_PAUSE
        while True:
            problems = {}
            for socket in sockets:
                found = await _try(socket, nursery, warn, handler)
                if isinstance(found, Runtime):
                    return found
                problems[socket] = found
            if trio.current_time() + pause > give_up:
                raise RuntimeUnavailableError(_report(problems, wait))
            await trio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    return connect


def socket_path(endpoint: str) -> str:
    """Return `/run/x.sock` for `unix:///run/x.sock`, `unix:/run/x.sock` and `/run/x.sock`."""
    return endpoint.removeprefix("unix://").removeprefix("unix:")


async def _try(
    path: str, nursery: trio.Nursery, warn: Callable[[str], None] | None, handler: str
) -> Runtime | _Problem:
    """Connect to a socket. Returns the runtime, or the reason why there is none."""
    found = _look_at(path)
    if found is not None:
        return found
    channel, close = await nursery.start(_keep_open, path)
    service = CriImageService(channel, handler=handler)
    snapshotter = ""
    try:
        with answered_within(ANSWER_LIMIT):
            version = await service.version()
            if handler:
                from nodeprefetch.runtime.handlers import snapshotter_of  # noqa: PLC0415 - few need it

                snapshotter = await snapshotter_of(handler, version, channel)
    except RuntimeFaultError as error:
        close.cancel()
        return _Problem(text=_explain(error))
    own_api = await find_containerd_api(version, channel, warn) if warn else None
    if handler and own_api is None:
        raise UsageError(["--runtime-handler: needs containerd's own API, which is unavailable (remove the flag)"])
    return Runtime(service=service, version=version, socket=path, containerd=own_api, snapshotter=snapshotter)


async def _keep_open(
    path: str, task_status: trio.TaskStatus[tuple[Channel, trio.CancelScope]] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.CancelScope() as scope:
        async with open_channel(path) as channel:
            task_status.started((channel, scope))
            await trio.sleep_forever()


def _look_at(path: str) -> _Problem | None:
    """Check that a path is a socket, before anything is sent there. Returns the problem, or None."""
    if not os.path.isabs(path):  # noqa: PTH117 - a text, as the user gave it
        return _Problem(text="is not an absolute path")
    try:
        kind = os.stat(path).st_mode  # noqa: PTH116
    except FileNotFoundError:
        return _Problem(text="does not exist", is_absent=True)
    except PermissionError:
        return _Problem(text=f"permission denied: {_AS_ROOT}")
    except OSError as error:
        return _Problem(text=error.strerror or str(error))
    if stat.S_ISDIR(kind):
        return _Problem(text="is a directory, not a socket")
    if not stat.S_ISSOCK(kind):
        return _Problem(text="is a file, not a socket")
    return None


def _explain(error: RuntimeFaultError) -> str:
    """Explain a failed Version call, and what to do."""
    if isinstance(error, RuntimeTimeoutError):
        return f"accepts connections, but {error} (is the runtime overloaded or stopped?)"
    if isinstance(error.__cause__, NotConnectedError) and isinstance(error.__cause__.__cause__, OSError):
        match error.__cause__.__cause__.errno:
            case errno.ECONNREFUSED:
                return "nothing is listening on this socket (is the runtime running?)"
            case errno.EACCES | errno.EPERM:
                return f"permission denied: {_AS_ROOT}"
            case _:
                pass
    if error.code == "UNIMPLEMENTED":
        return f"does not serve CRI (is its CRI plugin disabled?): {error}"
    return str(error)


def _report(problems: Mapping[str, _Problem], wait: float) -> str:
    waited = f" in {format_duration(wait)}" if wait and math.isfinite(wait) else ""
    if len(problems) == 1:
        ((path, problem),) = problems.items()
        return f"no container runtime answered{waited}: {path}: {problem.text}"
    there = {path: problem for path, problem in problems.items() if not problem.is_absent}
    if not there:
        return f"no container runtime found{waited}: no socket at {', '.join(problems)}; set --cri-socket"
    return f"no container runtime answered{waited}: " + "; ".join(f"{path}: {why.text}" for path, why in there.items())
