"""Nothing of a cluster outlives who brought it up."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import MEMORY, need
from tests.support.apiserver import ApiServer
from tests.support.cluster_programs import why_no_api_server, why_no_cluster
from tests.support.spawn import DaemonError

BRING_UP = """
import signal, sys, time
from pathlib import Path
from tests.support.cluster import Cluster
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
with Cluster(Path(sys.argv[1])) as cluster:
    print(cluster.run("cat", "/proc/1/comm") and "up", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="npf-", dir=MEMORY) as made:
        yield Path(made)


@pytest.mark.cluster
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["SIGKILL", "SIGINT"])
def test_a_cluster_ends_with_the_process_that_brought_it_up(directory: Path, number: signal.Signals) -> None:
    """Also when that had no time to clean up."""
    need(why_no_cluster())
    with subprocess.Popen(
        [sys.executable, "-c", BRING_UP, directory], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as owner:
        assert owner.stdout is not None
        assert "up\n" == owner.stdout.readline()
        pids = [int(path.read_text()) for path in (directory / "run").glob("*.pid")]
        assert all(_runs(pid) for pid in pids)
        owner.send_signal(number)

    until = time.monotonic() + 30
    while (directory / "run").exists() and time.monotonic() < until:
        time.sleep(0.1)  # no event tells of it
    assert len(pids) > 10
    assert [] == [pid for pid in pids if _runs(pid)]
    assert not list(Path("/run/netns").glob(f"npf{owner.pid}-*"))


@pytest.mark.apiserver
def test_an_api_server_that_does_not_come_up_leaves_no_etcd(directory: Path) -> None:
    need(why_no_api_server())

    with pytest.raises(DaemonError, match="ended with status 1"), ApiServer(directory, program=Path("/bin/false")):
        pass

    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(os.fsencode(directory / "etcd") in command for command in commands)


def _runs(pid: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
