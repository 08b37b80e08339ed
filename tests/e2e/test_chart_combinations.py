"""Any combination of flags gives the same objects by the chart and the generator, or is refused by both."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy_gen.arguments import parse_arguments
from deploy_gen.parse import read_options
from deploy_gen.problems import InputError
from tests.e2e.conftest import need
from tests.e2e.test_chart_objects import by_name, generated, rendered
from tests.golden.regenerate import FOLDER
from tests.support.chart import ChartError
from tests.support.cluster_programs import why_no_helm

pytestmark = pytest.mark.helm

FLAGS = {
    "--allow-failures": [""],
    "--keep": [""],
    "--collect-metrics": [""],
    "--service-monitor": [""],
    "--grafana-dashboard": [""],
    "--network-policy": [""],
    "--reader-role": [""],
    "--restrict-node-access": [""],
    "--no-events": [""],
    "--no-tolerate-all": [""],
    "--host-network": [""],
    "--node-condition": [""],
    "--node-readiness-rule": [""],
    "--namespace": ["prefetch", "kube-system"],
    "--version": ["v1.2.3", "main"],
    "--image": ["registry.example.com:5000/a/b", "a@sha256:" + "1" * 64],
    "--image-pull-secret": ["mirror"],
    "--secret": ["registry", "quay.io", ""],
    "--use-kubelet-image-credential-integration": ["GKE", "EKS", "AKS"],
    "--image-credential-provider-config": ["/etc/a/b.json", "/etc/a"],
    "--image-credential-provider-bin-dir": ["/etc/a", "/opt/bin/"],
    "--k8s-flavor": ["ocp", "k3s"],
    "--cri-socket": ["unix:///run/x/y.sock", "/run/z.sock", "/run/crio/crio.sock"],
    "--crio-download-dir": ["none", "/var/lib/x/"],
    "--selinux-type": ["a_t"],
    "--node-selector": ["pool=gpu", "a.b/c=", "kubernetes.io/os=linux"],
    "--toleration": ["a", "b=c:NoExecute", ":NoSchedule", "example.com/x=y"],
    "--remove-startup-taint": ["a", "b=:NoExecute", "example.com/x=y:NoSchedule"],
    "--priority-class": ["none", "system-node-critical", "high"],
    "--max-unavailable": ["3", "7%"],
    "--fetch-arg": [
        "--pin",
        "--overall-timeout=3h",
        "--report-grace=1.5m",
        "--gate-needs=/x",
        "--metrics-endpoint=a:1",
    ],
    "--check-every": ["1m"],
    "--refresh-every": ["never", "90s"],
    "--report-every": ["100s", "2h"],
    "--spread": ["auto", "10m"],
    "--registry-rate": ["44000/m"],
    "--node-label-prefix": ["example.com"],
    "--once-for": ["app=web", "shop/tier in (a, b)"],
    "--gate-timeout": ["0", "5m"],
    "--images": [f"{FOLDER}/images.txt"],
    "--gate-needs": [f"{FOLDER}/needs.txt"],
    "--aggregate-arg": ["--auth-read", "--retention=48h"],
    "--persist": ["1.5Gi"],
    "--expose": ["LoadBalancer", "ClusterIP"],
    "--pulling-nodes": ["0", "12"],
    "--growth": ["doubling"],
    "--node-access": ["impersonate", "direct"],
}
"""Values that are valid alone. An empty one of a switch is no value."""

LISTS = {"--secret", "--toleration", "--remove-startup-taint", "--node-selector", "--fetch-arg", "--aggregate-arg"}

REQUIRES = {
    "--service-monitor": "--collect-metrics",
    "--grafana-dashboard": "--collect-metrics",
    "--persist": "--collect-metrics",
    "--expose": "--collect-metrics",
    "--aggregate-arg": "--collect-metrics",
    "--pulling-nodes": "--collect-metrics",
    "--growth": "--pulling-nodes",
    "--check-every": "--keep",
    "--refresh-every": "--keep",
    "--report-every": "--keep",
    "--gate-timeout": "--node-condition",
    "--gate-needs": "--images",
    "--image-credential-provider-config": "--image-credential-provider-bin-dir",
    "--image-credential-provider-bin-dir": "--image-credential-provider-config",
}
EXCLUDES = {
    "--keep": "--once-for",
    "--node-condition": "--once-for",
    "--node-readiness-rule": "--once-for",
    "--remove-startup-taint": "--once-for",
    "--image": "--version",
    "--image-credential-provider-config": "--use-kubelet-image-credential-integration",
    "--image-credential-provider-bin-dir": "--use-kubelet-image-credential-integration",
}
"""What makes most combinations valid."""


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    arguments = [draw(st.sampled_from(["web", "prefetch-1", "a.b"]))]
    flags = draw(st.lists(st.sampled_from(sorted(FLAGS)), unique=True, max_size=12))
    if draw(st.integers(0, 4)):  # otherwise as they come
        for needed in REQUIRES, REQUIRES:
            flags += [needed[flag] for flag in flags if flag in needed and needed[flag] not in flags]
        excluded = {EXCLUDES[flag] for flag in flags if flag in EXCLUDES}
        flags = [flag for flag in flags if flag not in excluded]
    for flag in dict.fromkeys(flags):
        most = 3 if flag in LISTS else 1
        values = draw(st.lists(st.sampled_from(FLAGS[flag]), min_size=1, max_size=most, unique=True))
        arguments += [f"{flag}={value}" if FLAGS[flag] != [""] else flag for value in values]
    return arguments


def is_taken(arguments: list[str]) -> bool:
    try:
        read_options(parse_arguments(arguments))
    except InputError:
        return False
    return True


@pytest.fixture(scope="module", autouse=True)
def _helm() -> None:
    need(why_no_helm())


@given(command_lines())
@settings(max_examples=25, derandomize=True, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
def test_any_combination_gives_the_same_or_is_refused(arguments: list[str]) -> None:
    if is_taken(arguments):
        assert by_name(generated(arguments)) == by_name(rendered(arguments))
    else:
        with pytest.raises(ChartError):
            rendered(arguments)
