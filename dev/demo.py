"""Run `nodeprefetch fetch` with a registry, a runtime and a stalled connection (for dev/demo)."""

import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from nodeprefetch.testing.images import make_image, make_layer
from nodeprefetch.testing.registry import FakeRegistry
from tests.support.cri_script import FROM_REGISTRY
from tests.support.cri_server import FakeCriServer
from tests.support.daemons import Containerd, DockerRegistry, why_no_containerd, why_no_docker_registry
from tests.support.proxy import FaultProxy, Passage
from tests.support.publish import push

MEBIBYTE = 1024 * 1024
LIST = """\
# Images of the demo. A # starts a comment.
{registry}/demo/web:1
{registry}/demo/web:2        # shares its large layer with web:1
{registry}/demo/database:15
{registry}/demo/tool:1
{proxy}/demo/behind-a-bad-network:1  # its first connection stalls
"""


def main() -> int:
    """Run the demo. Return the exit code of fetch."""
    signal.signal(signal.SIGTERM, _stop)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="npf-")))
        say("starting a registry")
        registry = stack.enter_context(a_registry(directory))
        say("pushing five images to it")
        push_images(registry)
        say("starting a proxy in front of it whose first connection stalls")
        host, _, port = registry.partition(":")
        proxy = stack.enter_context(FaultProxy((host, int(port)), [Passage.stall()]))
        say("starting a container runtime")
        socket = stack.enter_context(a_runtime(directory))

        images = directory / "images.txt"
        images.write_text(LIST.format(registry=registry, proxy=proxy.address))
        say(f"image list {images}:")
        print(images.read_text(), flush=True)

        flags = ["--image-list-file", str(images), "--cri-socket", str(socket)]
        status = run("fetch", *flags, "--initial-pull-attempt-timeout", "2s")
        say("images of the runtime:")
        run("explain", *flags)
        say(f"fetch exited with code {status}; cleaning up")
        return status


def push_images(registry: str) -> None:
    """Five images, two of which share a layer."""
    large = make_layer(8 * MEBIBYTE, seed="large")
    for name, layers, sizes in (
        ("web:1", [large], [MEBIBYTE]),
        ("web:2", [large], [2 * MEBIBYTE]),
        ("database:15", [], [12 * MEBIBYTE, 4 * MEBIBYTE]),
        ("tool:1", [], [64 * 1024]),
        ("behind-a-bad-network:1", [], [3 * MEBIBYTE]),
    ):
        push(make_image(sizes, layers=layers, seed=name), f"{registry}/demo/{name}")


@contextmanager
def a_registry(directory: Path) -> Iterator[str]:
    """Start a registry and yield its address: a real one where installed, otherwise a fake one."""
    reason = why_no_docker_registry()
    if reason is None:
        (directory / "registry").mkdir()
        with DockerRegistry(directory / "registry") as real:
            yield real.address
    else:
        say(f"  (using a fake: {reason})")
        with FakeRegistry() as fake:
            yield fake.address


@contextmanager
def a_runtime(directory: Path) -> Iterator[Path]:
    """Start a runtime and yield its socket: a real containerd where one can run, otherwise a fake one."""
    reason = why_no_containerd()
    if reason is None:
        (directory / "containerd").mkdir()
        with Containerd(directory / "containerd") as real:
            yield real.socket
    else:
        say(f"  (using a fake, which downloads images and discards them: {reason})")
        with FakeCriServer(directory / "fake.sock", otherwise=FROM_REGISTRY) as fake:
            yield fake.socket


def run(*arguments: str) -> int:
    """Run nodeprefetch and return its exit code. On Ctrl-C, wait until it has handled the signal."""
    print(f"$ nodeprefetch {shlex.join(arguments)}", flush=True)
    with subprocess.Popen([sys.executable, "-m", "nodeprefetch", *arguments]) as process:
        while process.poll() is None:
            with suppress(KeyboardInterrupt):
                process.wait()
    print(flush=True)
    return process.returncode


def say(text: str) -> None:
    """Print what happens next."""
    print(f"demo: {text}", flush=True)


def _stop(number: int, _frame: object) -> NoReturn:
    """End as on Ctrl-C: leave all context managers, which clean up."""
    sys.exit(128 + number)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
