"""`sleep` waits for SIGTERM or SIGINT and exits with 0, also as PID 1."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

COMMAND = [sys.executable, "-m", "nodeprefetch", "sleep"]


def started(command: list[str]) -> subprocess.Popen[str]:
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert "Sleeping...\n" == process.stderr.readline()
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_either_signal_ends_it_with_0(number):
    with started(COMMAND) as process:
        process.send_signal(number)

        assert 0 == process.wait(timeout=300)


def test_it_goes_on_until_then():
    with started(COMMAND) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.3)
        process.terminate()


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_as_pid_1_too(number):
    with started(["unshare", "--pid", "--fork", "--kill-child", *COMMAND]) as process:
        (child,) = subprocess.run(
            ["pgrep", "--parent", str(process.pid)], capture_output=True, text=True, check=True
        ).stdout.split()
        os.kill(int(child), number)

        assert 0 == process.wait(timeout=300)
