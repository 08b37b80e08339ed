"""The notes of the chart say what to do next, what is missing, and what the generator notes for these flags."""

from typing import Any

import pytest

from deploy_gen.arguments import parse_arguments
from deploy_gen.manifests import notices
from deploy_gen.parse import read_options
from tests.e2e.conftest import need
from tests.golden.chart_values import in_values
from tests.support.chart import CHART, helm, values_of
from tests.support.cluster_programs import why_no_helm

pytestmark = pytest.mark.helm


@pytest.fixture(autouse=True)
def _helm() -> None:
    need(why_no_helm())


def notes(values: dict[str, Any]) -> str:
    done = helm("install", "web", CHART, "--namespace", "prefetch", "--dry-run=client", values=values)
    assert "" == done.stderr
    return done.stdout.partition("NOTES:\n")[2]


@pytest.mark.parametrize(
    ("flags", "number"),
    [
        ("", 0),
        ("--collect-metrics --expose=LoadBalancer --node-readiness-rule", 2),
        ("--node-access=impersonate --restrict-node-access --network-policy --host-network", 2),
        ("--collect-metrics --reader-role --network-policy", 1),
        ("--collect-metrics --reader-role --service-monitor --aggregate-arg=--auth-read", 2),
    ],
)
def test_they_have_the_notices_of_the_generator(flags: str, number: int):
    arguments = ["web", *flags.split()]
    expected = [f"- {in_values(each)}." for each in notices(read_options(parse_arguments(arguments)))]

    _, _, found = notes(values_of(arguments)[2]).partition("\nNote:\n\n")

    assert number == len(expected)
    assert expected == found.splitlines()


def test_they_show_how_to_wait_and_where_to_look():
    found = notes({"collectMetrics": True})

    assert "  kubectl nodeprefetch wait web -n prefetch\n" in found
    assert "  kubectl rollout status daemonset/web -n prefetch --timeout=25m\n" in found
    assert "  kubectl port-forward service/web-metrics 8080 -n prefetch\n" in found


def test_they_name_what_is_missing():
    found = notes({"secrets": ["registry"], "imagePullSecrets": ["mirror"]})

    assert "kubectl label namespace prefetch pod-security.kubernetes.io/enforce=privileged" in found
    assert "kubectl create configmap web --from-file=images.txt -n prefetch" in found
    assert "The Secret registry, " in found
    assert "The Secret mirror " in found
    assert "create configmap" not in notes({"images": ["nginx"]})


def test_a_large_list_is_noted():
    assert "1 MiB" in notes({"images": [f"registry.example.com/team/app:{number:0100}" for number in range(5000)]})
