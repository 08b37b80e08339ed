"""Signals at random moments, a process that is stopped for a while, and plugins that hang."""

import random
import signal
import subprocess
import time
from collections.abc import Callable

from hostile_runs.attack import Run, attack
from hostile_runs.fetching import fetch
from tests.support.cri_server import HANG, FakeCriServer


def _after(seconds: float, number: int) -> Callable[["subprocess.Popen[bytes]"], None]:
    def send(process: "subprocess.Popen[bytes]") -> None:
        time.sleep(seconds)
        process.send_signal(number)

    return send


@attack("signals", "SIGTERM and SIGINT at random moments of a run")
def random_moments(run: Run) -> None:
    """It exits soon, with the signal's code or its own and a true summary."""
    for turn in range(16):
        path = run.directory / f"s{turn}.sock"
        number = (signal.SIGTERM, signal.SIGINT)[turn % 2]
        with FakeCriServer(path, {"b:1": [HANG]}, otherwise="sha256:1"):
            ended = fetch(
                run,
                f"--cri-socket={path}",
                "--overall-timeout=20s",
                "a:1",
                "b:1",
                "c:1",
                meanwhile=_after(random.uniform(0, 2), number),
                patience=15,
            )
            run.expect(ended.code in (128 + number, -number), f"exited with {ended.code} after {ended.seconds:.0f} s")


@attack("signals", "SIGINT while modules load")
def while_loading(run: Run) -> None:
    """No traceback, once Python itself has started."""
    for turn in range(15):
        fetch(
            run,
            "--cri-socket=/nowhere.sock",
            "--overall-timeout=3s",
            "a:1",
            meanwhile=_after(0.1 + 0.03 * turn, signal.SIGINT),
            patience=15,
        )


@attack("signals", "SIGSTOP for 12 s in the middle of a run")
def frozen(run: Run) -> None:
    """It continues afterwards."""
    path = run.directory / "s.sock"

    def freeze(process: "subprocess.Popen[bytes]") -> None:
        time.sleep(2)
        process.send_signal(signal.SIGSTOP)
        time.sleep(12)
        process.send_signal(signal.SIGCONT)

    with FakeCriServer(path, {"a:1": [HANG, "sha256:1"]}, otherwise="sha256:1"):
        flags = ("--initial-pull-attempt-timeout=5s", "--overall-timeout=60s")
        ended = fetch(run, f"--cri-socket={path}", *flags, "a:1", "b:1", meanwhile=freeze, patience=60)
        run.expect(ended.code == 0, f"exited with {ended.code}")


PLUGINS = {
    "ignores SIGTERM": "trap '' TERM; sleep 60",
    "leaves a child with its pipes": "sleep 60 & exit 0",
    "leaves a child in a session of its own": "setsid sleep 20 & exit 0",
    "writes 1 GB to standard error": "head -c 1000000000 /dev/zero >&2; exit 1",
    "writes 1 GB to standard output": "head -c 1000000000 /dev/zero",
    "closes its streams": "exec >&- 2>&- <&-; sleep 60",
}


@attack("signals", f"{len(PLUGINS)} credential provider binaries that hang, flood, or leave child processes")
def providers(run: Run) -> None:
    """Pulls continue without them, within the overall timeout."""
    directory = run.directory / "bin"
    directory.mkdir()
    config = run.directory / "providers.yaml"
    for number, (name, does) in enumerate(PLUGINS.items()):
        program = directory / f"p{number}"
        program.write_text(f"#!/bin/sh\n{does}\n")
        program.chmod(0o755)
        config.write_text(
            "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n"
            f"- {{name: p{number}, apiVersion: credentialprovider.kubelet.k8s.io/v1, "
            "matchImages: [r.test], defaultCacheDuration: 1m}\n"
        )
        path = run.directory / f"p{number}.sock"
        with FakeCriServer(path, otherwise="sha256:1"):
            flags = (f"--image-credential-provider-config={config}", f"--image-credential-provider-bin-dir={directory}")
            ended = fetch(run, f"--cri-socket={path}", *flags, "--overall-timeout=10s", "r.test/a:1", patience=40)
            run.expect(ended.code is not None, f"{name}: it does not exit")
    run.expect(run.rss <= 256 << 20, f"RSS {run.rss >> 20} MiB")
