"""A node whose runs report; what a run's log says of its attempts, beside what aggregators hold of them."""

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodeprefetch.kube.server import SERVICE_ACCOUNT
from tests.integration.program import Ended, Line, Program, StartFetch
from tests.support.aggregator_program import AggregatorProgram
from tests.support.containerd import Containerd
from tests.support.fake_kube import FakeKube

NODE, INSTANCE = "node-7", "web"
LABEL, SUMMARY = f"nodeprefetch.io/{INSTANCE}", f"nodeprefetch.io/{INSTANCE}.summary"
LABELS = {"kubernetes.io/os": "linux"}
"""Of others, on the node."""

ENVIRONMENT = {"NODE_NAME": NODE, "INSTANCE_NAME": INSTANCE}

_MOUNT = 'mount -t tmpfs pod /run && mkdir -p "$1" && mount --bind "$0" "$1" && shift && exec "$@"'
IN_POD = ("unshare", "--mount", "sh", "-c", _MOUNT)
"""What to start a program with, so that it finds a service account's directory at another place: both follow."""

Attempts = Counter[tuple[str, int, str]]
"""Image, number and error of each."""


def is_attempt(line: Line) -> bool:
    return line["msg"] in {"pulled", "attempt failed"}


def attempts_of(ended: Ended) -> Attempts:
    """Those in the log of a run."""
    lines = [line for line in ended.log if is_attempt(line)]
    return Counter((line["image"], line["attempt"], line.get("error", "")) for line in lines)


def without_numbers(attempts: Attempts) -> Counter[tuple[str, str]]:
    """Results as image-prefetcher reports them: image and error."""
    return Counter((image, error) for image, _, error in attempts.elements())


def older_attempts(results: Sequence[Mapping[str, Any]]) -> Counter[tuple[str, str]]:
    """The same for results in image-prefetcher's format."""
    return Counter((str(result["image"]), str(result.get("error", ""))) for result in results)


def kept_attempts(aggregator: AggregatorProgram) -> Attempts:
    """Those in its database, read as a file; each ID is there once."""
    with sqlite3.connect(f"file:{aggregator.data_dir}/results.sqlite3?mode=ro", uri=True) as database:
        rows = database.execute(
            "SELECT image.name, attempt, error, attempt_id FROM attempt JOIN image ON image.id = attempt.image"
        ).fetchall()
    database.close()
    assert len(rows) == len({attempt_id for *_, attempt_id in rows})
    return Counter((image, attempt, error) for image, attempt, error, _ in rows)


def complaints(ended: Ended) -> list[str]:
    """What the log says of the aggregator as something to look into."""
    return [line["msg"] for line in ended.log if line["level"] == "WARN" and line["msg"].startswith("metrics: ")]


@dataclass(frozen=True, kw_only=True)
class ReportingNode:
    """A node in a cluster: what a run on it finds there."""

    containerd: Containerd
    kube: FakeKube
    """Knows the node, and that its operating system is Linux."""

    kubeconfig: Path
    service_account: Path
    start_fetch: StartFetch

    @property
    def how(self) -> dict[str, Any]:
        """How to start a program so that it finds its service account as in a pod."""
        return {
            "environment": {**ENVIRONMENT, **self.kube.environment},
            "prefix": (*IN_POD, str(self.service_account), str(SERVICE_ACCOUNT)),
        }

    def start(self, *images: str, **options: object) -> Program:
        """Start a run that labels the node: with the service account that it finds as in a pod, or a kubeconfig."""
        return self.start_fetch(self.containerd, *images, **{"how": self.how, **options})

    def run(self, *images: str, **options: object) -> Ended:
        """The same, to its end."""
        return self.start(*images, **options).end()

    def promise(self) -> None:
        """Label it as an earlier run did that succeeded."""
        self.kube.add_node(NODE, {**LABELS, LABEL: "succeeded"})

    @property
    def label(self) -> str | None:
        """Ours. Those of others are untouched."""
        labels = self.kube.labels(NODE)
        ours = labels.pop(LABEL, None)
        assert labels == LABELS
        return ours

    @property
    def summary(self) -> dict[str, Any]:
        """The annotation."""
        found: dict[str, Any] = json.loads(self.kube.annotations(NODE)[SUMMARY])
        return found
