"""What dev/demo --cluster shows: the README's six steps, by its own text, on a Kubernetes cluster of three nodes."""

import re
import shlex
import signal
import sys
import tempfile
from pathlib import Path
from textwrap import indent
from typing import NoReturn

from tests.e2e.readme import STEPS, section, steps
from tests.e2e.warmcluster import INSTANCE, LABEL, NAMESPACE, WarmCluster
from tests.support.cluster import SCRIPT, Cluster
from tests.support.cluster_programs import why_no_cluster

NODES = 3


def main(archive: Path) -> int:
    """Show it, and leave it up until Enter. Returns the exit status.

    Args:
        archive: the image of this checkout, an OCI archive.
    """
    reason = why_no_cluster()
    if reason is not None:
        say(f"there can be no cluster here: {reason}")
        return 1
    signal.signal(signal.SIGTERM, _stop)
    with tempfile.TemporaryDirectory(prefix="npf-") as directory, tempfile.TemporaryDirectory(prefix="npf-") as typed:
        say(f"a Kubernetes cluster of {NODES} nodes, and registries in it")
        with Cluster(Path(directory), nodes=NODES) as cluster:
            site = WarmCluster(cluster, Path(typed))
            say("our image and two more, pushed to them")
            site.push_images(archive)
            for number, script in steps().items():
                say(f"step {number} of the README: {_titles()[number]}")
                print(indent(script, "    "), flush=True)
                print(site.type(script), flush=True)
            leave_up(Path(directory))
            say("taking everything down")
    return 0


def leave_up(directory: Path) -> None:
    """Until Enter, where there is somebody to press it."""
    run = shlex.join([str(SCRIPT), "run", "--dir", str(directory)])
    service = f"/api/v1/namespaces/{NAMESPACE}/services/{INSTANCE}-metrics:http/proxy/v1/status"
    say("it is up; from another terminal:")
    for command in (
        f"kubectl get nodes --label-columns {LABEL}",
        f"kubectl logs daemonset/{INSTANCE} --namespace {NAMESPACE} --container prefetch",
        f"kubectl get --raw {service}",
    ):
        print(f"    {run} {command}")
    if sys.stdin.isatty():
        input("demo: Enter takes it down ")
    else:
        say("standard input is no terminal, so it is not left up")


def say(text: str) -> None:
    """Tell the watcher what happens."""
    print(f"demo: {text}", flush=True)


def _titles() -> dict[int, str]:
    return {int(number): title for number, title in re.findall(r"^### (\d+)\. (.*)$", section(STEPS), re.MULTILINE)}


def _stop(number: int, _frame: object) -> NoReturn:
    """As on Ctrl-C: leave all blocks, so that everything is taken down."""
    sys.exit(128 + number)


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1])))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except AssertionError as error:  # a step did not work: what it wrote is the message
        sys.exit(f"demo: {error}")
