"""The chart is rendered to the same text whenever and wherever: Argo CD and others compare that with the cluster."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import need
from tests.support.chart import CHART
from tests.support.cluster_programs import helm_program, why_no_helm

pytestmark = pytest.mark.helm

VALUES = (
    "images={quay.io/team/app:1.2,quay.io/team/db:16}",
    "gateNeeds={quay.io/team/db:16}",
    "removeStartupTaints={example.com/images:NoSchedule}",
    "collectMetrics=true",
    "persist=1Gi",
    "pullingNodes=3",
    "serviceMonitor=true",
    "grafanaDashboard=true",
    "restrictNodeAccess=true",
    "networkPolicy=true",
    "readerRole=true",
    "nodeReadinessRule=true",
)
"""With them the chart has almost every object that there is."""

CHANCE = re.compile(
    r"\b(lookup|now|rand\w+|uuidv4|gen[A-Z]\w+|getHostByName|Release\.(Revision|IsInstall|IsUpgrade))\b"
)
COMMENT = re.compile(r"\{\{-? ?/\*.*?\*/ ?-?\}\}", re.DOTALL)
ACTION = re.compile(r"\{\{.*?\}\}", re.DOTALL)


@pytest.fixture
def _helm() -> None:
    need(why_no_helm())


def render(*flags: str, zone: str = "UTC") -> str:
    values = [f"--set={value}" for value in VALUES]
    done = subprocess.run(
        [helm_program(), "template", "web", CHART, "--namespace=prefetch", *values, *flags],
        env={**os.environ, "TZ": zone},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout


@pytest.mark.usefixtures("_helm")
@pytest.mark.parametrize(
    "flags",
    [
        pytest.param([], id="again"),
        pytest.param(["--is-upgrade"], id="upgrade"),
        pytest.param(["--kube-version=1.30.0"], id="oldest"),
        pytest.param(["--kube-version=v1.37.2-gke.1052000"], id="of a cloud"),
        pytest.param(["--api-versions=monitoring.coreos.com/v1,policy/v1beta1"], id="other APIs"),
    ],
)
def test_it_is_rendered_to_the_same_text(flags: list[str]) -> None:
    assert render() == render(*flags, zone="America/New_York")


@pytest.mark.parametrize("template", sorted((CHART / "templates").iterdir()), ids=lambda path: path.name)
def test_no_template_asks_the_cluster_or_chance(template: Path) -> None:
    """Without a cluster, `lookup` finds nothing; passwords and keys would differ each time."""
    text = COMMENT.sub("", template.read_text("utf-8"))

    assert [] == [action for action in ACTION.findall(text) if CHANCE.search(action)]
