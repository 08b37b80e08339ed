"""The chart refuses what the generator refuses: its schema single values, its templates what does not fit."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from deploy_gen.arguments import parse_arguments
from deploy_gen.parse import read_options
from deploy_gen.problems import InputError
from tests.e2e.conftest import need
from tests.golden.chart_data import reserved_text
from tests.golden.chart_values import in_values
from tests.support.argument_cases import BAD, GOOD
from tests.support.chart import CHART, ChartError, helm, render, values_of
from tests.support.cluster_programs import why_no_helm

pytestmark = pytest.mark.helm


@pytest.fixture(autouse=True)
def _helm() -> None:
    need(why_no_helm())


def refused(values: dict[str, Any], **installation: str) -> str:
    with pytest.raises(ChartError) as caught:
        render(values, **installation)
    return str(caught.value)


def problems_of_chart(arguments: Sequence[str]) -> set[str]:
    release, namespace, values = values_of(arguments)
    _, _, problems = refused(values, release=release, namespace=namespace).partition("invalid values:\n")
    return set(problems.partition("\n\nUse --debug")[0].strip().splitlines())


def problems_of_generator(arguments: Sequence[str]) -> set[str]:
    """Problems of the generator in the words of the chart."""
    with pytest.raises(InputError) as caught:
        read_options(parse_arguments(arguments))
    return set(map(in_chart, caught.value.problems))


def in_chart(problem: str) -> str:
    problem = re.sub("^NAME: ", "name: ", problem)
    problem = re.sub(r" \(did you mean .*\)$", "", problem)
    problem = re.sub("(?<=write )--(?:fetch|aggregate)-arg=| --(?:fetch|aggregate)-arg=(?=--)", _unpassed, problem)
    problem = re.sub(r"^--(?:images|gate-needs): \S+?:(?=\d+: )", lambda match: f"{match[0].split(':')[0]}:", problem)
    problem = re.sub(r"^--(images|gate-needs): /\S+?: ", r"--\1: ", problem)
    problem = re.sub(r"^--gate-needs: \S+?/needs.txt:", "--gate-needs:", problem)
    passed, flag, rest = re.fullmatch(r"(--(?:fetch|aggregate)-arg: )?(--[a-z_-]+: )?(.*)", problem, re.DOTALL).groups()
    if passed and not rest.startswith("requires --"):
        return in_values(passed) + (flag or "") + (reserved_text(flag.removesuffix(": "), rest) if flag else rest)
    return in_values(problem)


def _unpassed(match: re.Match[str]) -> str:
    return " " if match[0].startswith(" ") else ""


MISFITS = """\
web --check-every=1m --refresh-every=never --report-every=1h --gate-timeout=1m --growth=doubling
web --expose=LoadBalancer --persist=1Gi --pulling-nodes=0 --service-monitor --grafana-dashboard --aggregate-arg=--debug
web --spread=auto --node-selector=kubernetes.io/os=windows
web --registry-rate=1/s --spread=10m
web --node-access=impersonate --remove-startup-taint=a:NoSchedule
web --use-kubelet-image-credential-integration=EKS --image-credential-provider-config=/a
web --image-credential-provider-bin-dir=/a/b
web --image=registry.example.com/a:1 --version=v2
web-metrics
web-reader
default
kube-root-ca.crt --keep
builder --k8s-flavor=ocp
9a --collect-metrics
a.b --collect-metrics
a2345678901234567890123456789012 --node-readiness-rule
web --fetch-arg=--report-grace=25h
web --fetch-arg=--allow-failures --fetch-arg=--image-credential-provider-config=/x --aggregate-arg=--debug
web --fetch-arg=--gate_file=/x --fetch-arg=--remove-taint=a
web --collect-metrics --fetch-arg=--metrics-endpoint=x:1 --aggregate-arg=image --aggregate-arg=--data-dir=/x
web --collect-metrics --aggregate-arg=--pulling-nodes=1 --aggregate-arg=--auth --aggregate-arg=none
web --collect-metrics --aggregate-arg=--retention=1 --aggregate-arg=--tls-key-file
web --keep --check-every=2562048h
web --once-for=app=web --keep --node-condition
"""


@pytest.mark.parametrize("arguments", MISFITS.splitlines())
def test_values_that_do_not_fit_are_refused_in_the_words_of_the_generator(arguments):
    given = arguments.split()

    assert problems_of_generator(given) == problems_of_chart(given)


@pytest.mark.parametrize("arguments", [arguments for arguments, _ in BAD], ids=" ".join)
def test_arguments_that_fetch_rejects_are_refused_in_the_words_of_the_generator(arguments):
    given = ["web", *(f"--fetch-arg={each}" for each in arguments)]

    assert problems_of_generator(given) == problems_of_chart(given)


def test_arguments_that_fetch_accepts_are_passed_through():
    for arguments in GOOD:
        (daemons,) = (each for each in render({"fetchArgs": list(arguments)}) if each["kind"] == "DaemonSet")
        (container,) = daemons["spec"]["template"]["spec"]["initContainers"]
        assert list(arguments) == container["args"][len(container["args"]) - len(arguments) :]


LISTS = {
    "not a list": "nginx\nRedis:7\n# fine\nquay.io/a/b:1 quay.io/a/c:1\n" + "a" * 64 + "\nsha256:" + "0" * 64,
    "empty": "",
    "IDs": "sha256:" + "0" * 64 + " # an image",
    "blanks": "\r\n   \n",
    "an empty name": "nginx:1\n''\n",
    "comments": "\n# nginx\n   # redis\n",
    "too long": "# " + "x" * (1 << 20),
}


@pytest.mark.parametrize("text", LISTS.values(), ids=LISTS)
def test_lists_that_the_generator_refuses_are_refused(text: str, tmp_path: Path):
    """It names the same lines, though not the format that a line may have and the command that converts it."""
    (tmp_path / "images").write_text(text)
    with pytest.raises(InputError):
        read_options(parse_arguments(["web", f"--images={tmp_path}/images"]))

    assert "images:" in refused({"images": text})


def test_each_line_of_a_list_that_is_no_image_is_named():
    problems = refused({"images": LISTS["not a list"]})

    assert [2, 4, 5, 6] == [int(number) for number in re.findall(r"^images:(\d+): invalid", problems, re.MULTILINE)]


def test_images_that_new_nodes_need_must_be_in_the_list(tmp_path: Path):
    (tmp_path / "images.txt").write_text("nginx\nquay.io/a:1\nb@sha256:" + "0" * 64 + "\nlocalhost:5000/x\n")
    (tmp_path / "needs.txt").write_text(
        "docker.io/library/nginx:latest\nindex.docker.io/library/nginx\nquay.io/a\nb:1@sha256:"
        + "0" * 64
        + "\nlocalhost:5000/x:latest\nx\n"
    )
    given = ["web", "--node-condition", f"--images={tmp_path}/images.txt", f"--gate-needs={tmp_path}/needs.txt"]

    assert problems_of_generator(given) == problems_of_chart(given)


def test_lists_that_the_generator_takes_are_taken(tmp_path: Path):
    text = '\ufeffnginx # note\n- "quay.io/a:1",\r\n\n  image: b:1\n- image: c\n\'d:1\'\ne:1;\n"image": "f:1",\n* g'
    (tmp_path / "images").write_text(text)
    read_options(parse_arguments(["web", f"--images={tmp_path}/images"]))

    assert {"images.txt": text} in [each.get("data") for each in render({"images": text})]


INVALID: dict[str, list[Any]] = {
    "name": ["-", "a_b", "Web", "a" * 56, 3],
    "image": [
        {"repository": "a/B"},
        {"repository": "https://a/b"},
        {"tag": "-"},
        {"tag": "v1@sha256:0"},
        {"pull": "x"},
        "a",
    ],
    "secrets": [["a_b"], ["a" * 254], "a", [1]],
    "imagePullSecrets": [["A"], {"name": "a"}],
    "k8sFlavor": ["openshift", "OCP"],
    "criSocket": [
        "run/x.sock",
        "/x.sock",
        "/run/x/",
        "/run/../x.sock",
        "/run/a:b/x.sock",
        "/run/a\nb/x.sock",
        "/",
        "tcp://1.2.3.4:5",
        "//run/x",
        "/" + "a" * 1025,
    ],
    "crioDownloadDir": ["a", "/", "/a/../b", "None"],
    "selinuxType": ["a:b"],
    "nodeSelector": [{"": "a"}, {"/a": "b"}, {"A.b/c": "d"}, {"a": "b c"}, {"a": "b" * 64}, {"a": True}, ["a=b"]],
    "tolerations": [[":"], ["=a"], ["a:Never"], ["a b:NoExecute"], ["a=/:NoExecute"], [{"taint": "a"}], "a"],
    "removeStartupTaints": [[":NoSchedule"], ["a:Never"], ["node.kubernetes.io/not-ready"], [{"key": "a"}]],
    "priorityClass": ["A"],
    "maxUnavailable": [0, "0%", "101%", -1, 1.5, "0", True],
    "nodeLabelPrefix": ["a/b", "A"],
    "useKubeletImageCredentialIntegration": ["GCP"],
    "imageCredentialProviderConfig": ["a", "/", "/a/../b", "/a:b"],
    "persist": ["0", "1gb", "-1Gi", "1 Gi", 1],
    "expose": ["NodePort"],
    "pullingNodes": [-1, "10%", 1000000, 1.5, "007"],
    "growth": ["tripling"],
    "registryRate": ["44000", "0/s", "1/d", "-1/s", "1e3/s"],
    "onceFor": ["a/", "=b", "a in b", "a in (b", "a,", "a=b c", "a/b/c/d", "a in (b),c=d e"],
    "checkEvery": ["0", "never", "5", "0s", "-5m", 5],
    "refreshEvery": ["0s", "daily"],
    "reportEvery": ["never"],
    "spread": ["0", "10", "never"],
    "gateTimeout": ["10", "forever", 10],
    "fetchArgs": ["--pin", [4]],
    "collectMetrics": ["yes", "true", 1],
    "images": [{"a": "b"}, 1],
    "collectmetrics": [True],
}


def test_each_invalid_value_is_refused_by_the_schema():
    for number in range(max(map(len, INVALID.values()))):
        values = {name: found[number] for name, found in INVALID.items() if number < len(found)}
        said = refused(values)
        named = set(re.findall(r"^- at '/([A-Za-z0-9]*)", said, re.MULTILINE)) | set(re.findall("'(collectm.*)'", said))
        assert set(values) == named - {""}


@pytest.mark.parametrize(
    "values",
    [
        {"maxUnavailable": 3, "gateTimeout": 0, "nodeCondition": True, "pullingNodes": 0, "collectMetrics": True},
        {"maxUnavailable": 999999999, "enabled": True},
        {"maxUnavailable": 7, "pullingNodes": ""},
        {"maxUnavailable": "1%", "gateTimeout": "0", "nodeReadinessRule": True, "priorityClass": "none"},
        {"criSocket": "unix:///run/cri-dockerd.sock", "selinuxType": "spc_t", "nodeSelector": {"a.b/c": ""}},
        {"keep": True, "checkEvery": "+1h30m", "refreshEvery": "never", "reportEvery": ".5s", "spread": "1.5m"},
        {"spread": "auto", "registryRate": "0.5/s", "removeStartupTaints": ["a=:NoSchedule", "b.c/d"]},
        {"onceFor": "a/b.c/d in (e,f , ),!g, h==i,j"},
        {"secrets": [""], "fetchArgs": [], "images": None, "gateNeeds": None, "name": None, "pullingNodes": None},
        {name: None for name in INVALID if name != "collectmetrics"},
        {"global": {"any": "thing"}},
    ],
)
def test_valid_values_are_taken(values):
    (daemons,) = (each for each in render(values) if each["kind"] == "DaemonSet")

    assert values.get("maxUnavailable") in {None, daemons["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"]}


def test_the_chart_has_no_flaws_for_helm():
    for values in ({}, {"images": ["nginx:1"], "keep": True}, {"collectMetrics": True, "serviceMonitor": True}):
        done = helm("lint", "--strict", "--quiet", CHART, values=values)
        assert (0, "") == (done.returncode, done.stdout + done.stderr)
