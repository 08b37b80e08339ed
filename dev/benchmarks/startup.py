"""Measure startup, memory and short runs, without large downloads."""

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import MEBIBYTE, Figure, mebibytes, milliseconds, ratio
from benchmarks.processes import memory_when_it_says, run
from benchmarks.surroundings import Surroundings

_IN_PRODUCT = str(Path(__file__).with_name("in_product.py").absolute())
_LIBRARIES = "import trio, h2.connection, grpclib.const, grpclib.exceptions, betterproto2, msgspec, cyclopts"
_STAY = "import sys, time; sys.stderr.write('here\\n'); sys.stderr.flush(); time.sleep(9)"
WITHOUT_RE = "from nodeprefetch.__main__ import main; main()"
_IMAGES = 16
_LARGE = 64 * MEBIBYTE


def fetch(around: Surroundings, socket: object, *images: str) -> list[str]:
    """Return the command that fetches these images."""
    return [around.product.program, "fetch", "--cri-socket", str(socket), *images]


def startup(around: Surroundings) -> Iterator[Figure]:
    """Measure from the process's start to its output or first PullImage."""
    python, program = around.product.python, around.product.program
    runtime = around.fake_runtime(held=20)
    bare, libraries, version, pull = [], [], [], []
    for _ in range(15):
        bare.append(run([python, "-c", "pass"]).seconds)
        libraries.append(run([python, "-c", _LIBRARIES]).seconds)
        version.append(run([program, "--version"]).seconds)
        whole = run(fetch(around, runtime.socket, "registry.example.com/app:latest"))  # latest is always pulled
        pull.append(runtime.pulls()[0] - whole.began)
    yield milliseconds("python -c pass", bare)
    yield milliseconds("--version", version)
    yield milliseconds("fetch --help", [run([program, "fetch", "--help"]).seconds for _ in range(5)])
    yield (floor := milliseconds("python importing only the libraries", libraries))
    yield (first := milliseconds("start to first PullImage", pull, goal=120))
    yield ratio("  / importing only the libraries", first, floor)


def memory(around: Surroundings) -> Iterator[Figure]:
    """Measure the peak resident set."""
    python, program = around.product.python, around.product.program
    rounds = range(5)
    for name, command, word, goal in (
        ("memory of python -c pass", [python, "-c", _STAY], "here", None),
        ("memory of sleep", [python, "-c", WITHOUT_RE, "sleep"], "Sleeping", 8),
        ("  with pip's console script", [program, "sleep"], "Sleeping", None),
        ("  with python -m", [python, "-m", "nodeprefetch", "sleep"], "Sleeping", None),
        ("memory of importing only the libraries", [python, "-c", f"{_LIBRARIES}; {_STAY}"], "here", None),
    ):
        yield mebibytes(name, [memory_when_it_says(command, word) for _ in rounds], goal=goal)
    node = around.node("memory of fetch")
    if node is None:
        return
    names, _ = node.push_images(4, (_LARGE,), name="large")
    peaks = []
    for _ in range(3):
        node.empty()
        peaks.append(run(fetch(around, node.socket, *names), watch=True).peak)
    node.empty()
    yield mebibytes(f"memory of fetch, 4 pulls of {_LARGE // MEBIBYTE} MiB", peaks, goal=30)


def present(around: Surroundings) -> Iterator[Figure]:
    """Measure runs with all images present, in an almost empty and in a full runtime."""
    node = around.node("everything present")
    if node is not None:
        names, _ = node.push_images(_IMAGES, (1000,), name="small")
        command = fetch(around, node.socket, *names)
        run(command)
        yield milliseconds(
            f"{_IMAGES} images present, whole process", [run(command).seconds for _ in range(11)], goal=200
        )
        node.empty()
    held = 500
    runtime = around.fake_runtime(held=held)
    command = [*fetch(around, runtime.socket), *names_held(_IMAGES)]
    yield milliseconds(f"{held} present, {_IMAGES} of them requested", [run(command).seconds for _ in range(11)])
    assert not runtime.pulls()
    answer = _in_product(around, "list", str(runtime.socket), "20")
    yield milliseconds(f"ListImages of {held}, call and decoding", answer["call"])
    yield milliseconds("  decoding and inventory", answer["decode"])


def calls(around: Surroundings) -> Iterator[Figure]:
    """Measure many concurrent calls on one channel, nodeprefetch's and grpclib's."""
    node = around.node("200 concurrent calls")
    if node is None:
        return
    ours, theirs = [], []
    for _ in range(3):
        ours += _in_product(around, "calls", str(node.socket), "5")["calls"]
        theirs += _in_product(around, "calls-grpclib", str(node.socket), "5")["calls"]
    yield (our := milliseconds("200 concurrent calls", ours))
    yield (their := milliseconds("  with grpclib's client on asyncio", theirs))
    yield ratio("  nodeprefetch / grpclib", our, their)


def names_held(count: int) -> list[str]:
    """Return names of images that the fake runtime holds."""
    return [f"registry.example.com:5000/team-{number % 20}/service-{number}:v1.{number}" for number in range(count)]


def _in_product(around: Surroundings, *arguments: str) -> dict[str, list[float]]:
    answer = run([around.product.python, _IN_PRODUCT, *arguments])
    found: dict[str, list[float]] = json.loads(answer.stderr)
    return found
