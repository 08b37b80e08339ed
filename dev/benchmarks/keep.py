"""Measure what `keep` costs while nothing happens, whom it asks then, and how soon it notices an edited list."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figures import Figure, mebibytes
from benchmarks.processes import PATIENCE, RunError
from benchmarks.startup import WITHOUT_RE, names_held
from benchmarks.surroundings import Surroundings
from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry
from tests.support.fake_kube import FakeKube

_IDLE = 600.0
"""Seconds: two checks at the default interval."""

_PROBE_EVERY = 5.0
"""Seconds, as in the manifests."""

_KEPT, _MOVING = 40, 10
"""Images, and how many of them have the pull policy Always."""

_EDITS = 5
_PULLED = "registry.example.com/app-{}:1"
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "NODE_NAME": "", "INSTANCE_NAME": "bench"}


def keep(around: Surroundings) -> Iterator[Figure]:
    """Measure memory, CPU over ten minutes at the default intervals with 40 and 500 images, and edits."""
    sleep = [around.product.python, "-c", WITHOUT_RE, "sleep"]
    with _running(sleep) as pid:
        time.sleep(1)
        resident, anonymous = _memory(pid)
    yield (whole := mebibytes("memory of sleep", [resident]))
    yield (own := mebibytes("  anonymous", [anonymous]))
    with _keeping(around, 40) as few, _keeping(around, 500) as many:
        both = {40: few, 500: many}
        before = {count: _cpu(pid) for count, pid in both.items()}
        end = time.monotonic() + _IDLE
        while time.monotonic() < end:
            for count in both:
                socket.create_connection(_ready_address(count)).close()
            time.sleep(_PROBE_EVERY)
        for count, pid in both.items():
            used, in_runs = (after - then for after, then in zip(_cpu(pid), before[count], strict=True))
            resident, anonymous = _memory(pid)
            yield mebibytes(f"memory of keep with {count} images", [resident], goal=whole.median + 1)
            yield mebibytes("  anonymous", [anonymous], goal=own.median + 1)
            share = 100 * (used + in_runs) / _IDLE
            yield Figure(name="  CPU over ten minutes", unit="%", values=(share,), goal=0.1)
            yield Figure(name="  of this, the supervisor itself", unit="%", values=(100 * used / _IDLE,))
    yield from _requests(around)
    yield Figure(name="edit of the list to PullImage", unit="s", values=tuple(_edits(around)), goal=10.5)


def _ready_address(count: int) -> tuple[str, int]:
    """Where a process that keeps so many images accepts connections once it is ready."""
    return f"127.28.{count // 256}.{count % 256}", 28460


def _requests(around: Surroundings) -> Iterator[Figure]:
    """Count requests in an idle hour. All intervals are sixtieths of the defaults, and so is the hour."""
    node = around.node("requests in an idle hour")
    if node is None:
        return
    with FakeRegistry() as registry, FakeKube() as kube:
        kube.add_node("node-1")
        tags = ["latest"] * _MOVING + ["1"] * (_KEPT - _MOVING)
        names = [registry.add(f"app-{number}:{tag}", make_image(seed=str(number))) for number, tag in enumerate(tags)]
        file = around.directory / "idle.txt"
        file.write_text("\n".join(names))
        kubeconfig = kube.write_kubeconfig(around.directory / "kube")
        flags = ["--kubeconfig", str(kubeconfig), "--check-every", "5s", "--refresh-every", "60s"]
        with _running([*_command(around, node.socket, file), *flags], NODE_NAME="node-1") as pid:
            _wait_for_first_run(pid)
            if not kube.requests:
                raise RunError("the first run did not label the node")
            asked, called = len(registry.requests), len(kube.requests)
            time.sleep(60)
            requests = [each for each in registry.requests.all()[asked:] if each.repository]
            called = len(kube.requests) - called
    node.empty()
    about = f"{_KEPT} images, {_MOVING} of them with Always"
    yield Figure(
        name=f"requests to the registry in an idle hour, {about}", unit="", values=(len(requests),), goal=_MOVING
    )
    yield Figure(
        name="  of these, other than HEAD", unit="", values=(sum(each.method != "HEAD" for each in requests),), goal=0
    )
    yield Figure(name="  requests to the API server", unit="", values=(called,), goal=0)


def _edits(around: Surroundings) -> Iterator[float]:
    runtime = around.fake_runtime(held=20)
    file = around.directory / "edited.txt"
    file.write_text(names_held(1)[0])
    with _running(_command(around, runtime.socket, file)) as pid:
        _wait_for_first_run(pid)
        runtime.pulls()
        for number in range(_EDITS):
            edited = time.monotonic()
            file.write_text(_PULLED.format(number))
            while not (pulls := runtime.pulls()):
                if time.monotonic() > edited + PATIENCE:
                    raise RunError("the edit was not noticed")
                time.sleep(0.05)
            yield pulls[0] - edited
            time.sleep(1 + number)  # the next edit comes at another moment between two looks


@contextmanager
def _keeping(around: Surroundings, count: int) -> Iterator[int]:
    """Keep that many images, all of them held. Yields the process ID after the first run."""
    file = around.directory / f"{count}.txt"
    file.write_text("\n".join(names_held(count)))
    host, port = _ready_address(count)
    command = _command(around, around.fake_runtime(held=count).socket, file)
    with _running([*command, "--ready-address", f"{host}:{port}"]) as pid:
        _wait_for_first_run(pid)
        yield pid


def _command(around: Surroundings, socket: Path, file: Path) -> list[str]:
    start = [around.product.python, "-c", WITHOUT_RE, "keep"]
    return [*start, "--cri-socket", str(socket), "--image-list-file", str(file)]


@contextmanager
def _running(command: list[str], **variables: str) -> Iterator[int]:
    environment = {**_ENVIRONMENT, **variables}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, cwd="/"
    ) as process:
        try:
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _wait_for_first_run(pid: int) -> None:
    end = time.monotonic() + PATIENCE
    while not _cpu(pid)[1] or Path(f"/proc/{pid}/task/{pid}/children").read_text():
        if time.monotonic() > end:
            raise RunError("the first run did not end")
        time.sleep(0.1)


def _memory(pid: int) -> tuple[int, int]:
    """Resident set and its anonymous part, bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    found = {line.split(":")[0]: line.split()[1] for line in lines if ":" in line and len(line.split()) > 1}
    return int(found["VmRSS"]) * 1024, int(found["RssAnon"]) * 1024


def _cpu(pid: int) -> tuple[float, float]:
    """Seconds of CPU: of the process since its start, and of the children that have ended."""
    own = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return own, (int(words[13]) + int(words[14])) / os.sysconf("SC_CLK_TCK")
