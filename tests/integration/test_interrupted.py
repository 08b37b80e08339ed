"""SIGINT before anything is done sets the exit code and prints nothing."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.program import private_environment
from tests.support.patience import PATIENCE

STUCK = """
import sys, time
print("loading", flush=True)
try:
    time.sleep(600)
except BaseException:
    raise RuntimeError("a module that makes something else of it") from None
"""


def interrupted(process: subprocess.Popen[bytes], said: bytes) -> tuple[int, bytes]:
    """Exit code and standard error of what is interrupted once it has said that."""
    assert process.stdout
    found = b""
    while not found.endswith(said):
        part = os.read(process.stdout.fileno(), 1)
        assert part, "it ended, or closed its output"
        found += part
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    return process.returncode, errors


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("cyclopts", "--help"),
        ("cyclopts", "completion bash"),
        ("nodeprefetch.cli.commands", "plugins"),
        ("trio", "fetch a:1"),
        ("trio", "explain a:1"),
        ("trio", "unpin"),
        ("trio", "leases"),
        ("trio", "aggregate"),
        ("nodeprefetch.aggregator.store.writer", "aggregate-metrics"),
    ],
)
def test_while_a_module_is_loaded(tmp_path: Path, module: str, arguments: str) -> None:
    """One that catches everything, as some do."""
    (tmp_path / "stuck.py").write_text(STUCK)
    start = (
        "import sys, importlib.abc\n"
        "class Finder(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {module!r}: import stuck\n"
        "sys.meta_path.insert(0, Finder())\n"
        f"sys.argv[1:] = {arguments.split()!r}\n"
        "from nodeprefetch.__main__ import main\n"
        "main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", start],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=private_environment({"PYTHONPATH": str(tmp_path)}),
    )

    assert (130, b"") == interrupted(process, b"loading\n")


@pytest.mark.parametrize("command", ["explain a:1", "unpin", "leases"])
def test_while_the_runtime_is_waited_for(short_path: Path, command: str) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(short_path / "cri.sock"))
        silent.listen()
        process = subprocess.Popen(
            [sys.executable, "-m", "nodeprefetch", *command.split(), f"--cri-socket={short_path / 'cri.sock'}"],
            stderr=subprocess.PIPE,
            env=private_environment(),
        )
        with silent.accept()[0]:  # it has connected
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=PATIENCE)

    assert (130, b"") == (process.returncode, errors)
