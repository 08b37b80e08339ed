"""Run the README's six steps from its text on a Kubernetes cluster of three nodes (for dev/demo --cluster)."""

import re
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from textwrap import indent
from typing import NoReturn

from tests.e2e.readme import STEPS, section, steps
from tests.e2e.warmcluster import IMAGES, INSTANCE, LABEL, NAMESPACE, PROXY, WarmCluster
from tests.support.cluster import SCRIPT, Cluster
from tests.support.cluster_api import api_from_here
from tests.support.cluster_programs import why_no_cluster

NODES = 3


def main(archive: Path, *, show: Callable[[Path, WarmCluster], None]) -> int:
    """Run the steps and show the cluster. Return the exit code.

    Args:
        archive: the image of this checkout, an OCI archive.
        show: is given the cluster's directory, and the cluster.
    """
    reason = why_no_cluster()
    if reason is not None:
        say(f"cannot start a cluster: {reason}")
        return 1
    signal.signal(signal.SIGTERM, _stop)
    with tempfile.TemporaryDirectory(prefix="npf-") as directory, tempfile.TemporaryDirectory(prefix="npf-") as typed:
        say(f"starting a Kubernetes cluster of {NODES} nodes, with registries")
        with Cluster(Path(directory), nodes=NODES) as cluster:
            site = WarmCluster(cluster, Path(typed))
            say("pushing the nodeprefetch image and two more")
            site.push_images(archive)
            for number, script in steps().items():
                say(f"step {number} of the README: {_titles()[number]}")
                print(indent(script, "    "), flush=True)
                print(site.type(script), flush=True)
            show(Path(directory), site)
            say("cleaning up")
    return 0


def leave_up(directory: Path, site: WarmCluster) -> None:
    """Wait for Enter if standard input is a terminal."""
    run = shlex.join([str(SCRIPT), "run", "--dir", str(directory)])
    with api_from_here(site.cluster) as api:
        say(f"the cluster is running; all nodes and images: {api}{PROXY}/")
        say("try from another terminal:")
        print(f"    export PATH={shlex.quote(str(site.programs))}:$PATH")
        for command in (
            "kubectl nodeprefetch status --nodes",
            f"kubectl nodeprefetch why node-2 {IMAGES[0]}",
            f"kubectl get nodes --label-columns {LABEL}",
            f"kubectl logs daemonset/{INSTANCE} --namespace {NAMESPACE} --container prefetch",
        ):
            print(f"    {run} {command}")
        if sys.stdin.isatty():
            input("demo: press Enter to stop it ")
        else:
            say("not waiting: standard input is not a terminal")


def say(text: str) -> None:
    """Print what happens next."""
    print(f"demo: {text}", flush=True)


def _titles() -> dict[int, str]:
    return {int(number): title for number, title in re.findall(r"^### (\d+)\. (.*)$", section(STEPS), re.MULTILINE)}


def _stop(number: int, _frame: object) -> NoReturn:
    """End as on Ctrl-C: leave all context managers, which clean up."""
    sys.exit(128 + number)


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), show=leave_up))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except AssertionError as error:  # a step failed: the message is its output
        sys.exit(f"demo: {error}")
