"""Provide what benchmarks need: a fake runtime in another process, a real containerd and registry."""

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.figures import MEBIBYTE
from benchmarks.processes import RunError
from benchmarks.product import Product
from nodeprefetch.rpc import cri
from nodeprefetch.testing.images import Image, make_image
from tests.support.cri_probe import call_unary
from tests.support.daemons import Containerd, DockerRegistry, why_no_containerd, why_no_docker_registry

_PATIENCE = 30.0


class FakeRuntime:
    """A fake container runtime in its own process; a context manager.

    Args:
        socket: where it listens.
        held: how many images it holds.
    """

    def __init__(self, socket: Path, *, held: int) -> None:
        self.socket = socket
        program = Path(__file__).with_name("fake_runtime.py")
        self._process = subprocess.Popen(
            [sys.executable, program, str(socket), str(held)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=_PATIENCE)

    def pulls(self) -> list[float]:
        """`time.monotonic()` of every PullImage since the last question."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        times: list[float] = json.loads(self._read())
        return times

    def _read(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RunError("the fake runtime exited")
        return line


class Node:
    """A real containerd and a real registry to pull from; a context manager.

    Args:
        directory: for their files; its path short, for sockets.
        binary: of containerd; None: the one installed.
    """

    def __init__(self, directory: Path, *, binary: Path | None = None) -> None:
        self._stack = ExitStack()
        with self._stack:
            (directory / "r").mkdir(parents=True)
            self.registry = self._stack.enter_context(DockerRegistry(directory / "r"))
            self.containerd = self._stack.enter_context(Containerd(directory / "c", binary=binary))
            self._stack = self._stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def socket(self) -> Path:
        """Of containerd."""
        return self.containerd.socket

    def push_images(self, count: int, sizes: tuple[int, ...], *, name: str) -> tuple[list[str], list[Image]]:
        """Push images without common layers. Return their full names and the images."""
        images = [make_image(sizes, seed=f"{name} {number}") for number in range(count)]
        names = [self.registry.push(f"{name}/{number}:1", image) for number, image in enumerate(images)]
        return names, images

    def empty(self) -> None:
        """Remove all images with their content, until CRI lists none either."""
        end = time.monotonic() + _PATIENCE
        while self._holds_something():
            if time.monotonic() > end:
                raise RunError("containerd did not remove its images")
            # Repeat: some time after a pull by ctr, CRI adds its own names to the image.
            names = self.containerd.ctr("images", "ls", "--quiet").split()
            if names:
                self.containerd.ctr("images", "rm", "--sync", *names)
            time.sleep(0.05)

    def _holds_something(self) -> bool:
        answer = call_unary(self.socket, "/runtime.v1.ImageService/ListImages", b"")
        return bool(
            cri.ListImagesResponse.parse(answer).images
            or self.containerd.ctr("content", "ls", "--quiet").split()
            or len(self.containerd.ctr("snapshots", "ls").splitlines()) > 1
        )


class Surroundings:
    """Starts what a benchmark requests, once; a context manager that stops everything.

    Args:
        directory: for files; its path short, for sockets.
        product: what is measured.
    """

    def __init__(self, directory: Path, product: Product) -> None:
        self.directory = directory
        self.product = product
        self.left_out: list[str] = []
        """What was skipped, and why."""

        self._stack = ExitStack()
        self._fakes: dict[int, FakeRuntime] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def fake_runtime(self, *, held: int) -> FakeRuntime:
        """Return a fake runtime with this number of images."""
        if held not in self._fakes:
            fake = FakeRuntime(self.directory / f"fake{held}.sock", held=held)
            self._fakes[held] = self._stack.enter_context(fake)
        return self._fakes[held]

    def node(self, wanted_for: str) -> Node | None:
        """Return the real one; None, with the reason in `left_out`, if unavailable."""
        if self._why_no_node:
            self.left_out.append(f"{wanted_for}: {self._why_no_node}")
            return None
        return self._node

    @cached_property
    def _why_no_node(self) -> str | None:
        return why_no_containerd() or why_no_docker_registry()

    @cached_property
    def _node(self) -> Node:
        return self._stack.enter_context(Node(self.directory))


def size_of(images: list[Image]) -> str:
    """Format for names of figures: `16 images of 24 MiB`."""
    return f"{len(images)} images of {round(images[0].size / MEBIBYTE)} MiB"
