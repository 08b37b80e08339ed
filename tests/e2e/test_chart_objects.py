"""The Helm chart gives the same objects as the generator, for the same options."""

import re
import shlex
from pathlib import Path

import pytest

from deploy_gen.arguments import parse_arguments
from deploy_gen.manifests import build_manifests
from deploy_gen.objects import Object
from deploy_gen.parse import read_options
from tests.e2e.conftest import need
from tests.golden.chart_values import IMAGE, groups
from tests.golden.regenerate import COMMANDS, FOLDER
from tests.support.chart import render, values_of
from tests.support.cluster_programs import why_no_helm

pytestmark = pytest.mark.helm

_MORE = (line.partition(" ") for line in (FOLDER / "chart_commands.txt").read_text(encoding="utf-8").splitlines())
COMPARED = {
    name: [re.sub("^--(images|gate-needs)=", rf"\g<0>{FOLDER}/", each) for each in arguments]
    for name, arguments in {**COMMANDS, **{name: shlex.split(line) for name, _, line in _MORE}}.items()
}
"""Arguments of the generator, by what they are about."""

ODD_LIST = (
    "\ufeff# $(HOME) {{ .Values.keep }} \"quoted\" 'é' 🐳 \\ <&> %d\r\n"
    "nginx:1.27 # $$\n\tquay.io/a/b:1  \n\n- 'redis:7'\nd:1 # @NAME@"
)


@pytest.fixture(autouse=True)
def _helm() -> None:
    need(why_no_helm())


def generated(arguments: list[str]) -> list[Object]:
    return build_manifests(read_options(parse_arguments(arguments)))


def rendered(arguments: list[str]) -> list[Object]:
    release, namespace, values = values_of(arguments)
    return render(values, release=release, namespace=namespace)


def by_name(found: list[Object]) -> dict[tuple[str, str], Object]:
    """Sort objects, and take out what differs: who manages them."""
    named = {}
    for each in found:
        for part in [each, *([each["spec"]["template"]] if each["kind"] in {"DaemonSet", "Deployment"} else [])]:
            part["metadata"]["labels"].pop("app.kubernetes.io/managed-by")
        named[each["kind"], each["metadata"]["name"]] = each
    assert len(found) == len(named)
    return named


@pytest.mark.parametrize("name", COMPARED)
def test_the_chart_gives_the_same_objects_as_the_generator(name: str):
    assert by_name(generated(COMPARED[name])) == by_name(rendered(COMPARED[name]))


def test_lists_with_odd_characters_are_the_same(tmp_path: Path):
    """Their text, and its hash in the pods."""
    (tmp_path / "list").write_bytes(ODD_LIST.encode())
    arguments = ["web", f"--images={tmp_path}/list", f"--gate-needs={tmp_path}/list", "--node-condition"]

    assert by_name(generated(arguments)) == by_name(rendered(arguments))


def test_each_value_is_in_a_comparison():
    given = [values_of(arguments)[2] for arguments in COMPARED.values()]
    names = {value.name for group in groups().values() for value in group} - {"name"}

    assert names <= {name for values in given for name in values}


def test_a_list_of_names_is_the_text_with_a_name_in_each_line(tmp_path: Path):
    (tmp_path / "list").write_text("nginx:1\nredis:7\n")

    found = render({"images": ["nginx:1", "redis:7"], "gateNeeds": ["redis:7"], "nodeCondition": True})

    (tmp_path / "needs").write_text("redis:7\n")
    flags = [f"--images={tmp_path}/list", f"--gate-needs={tmp_path}/needs", "--node-condition"]
    assert by_name(generated(["web", *flags])) == by_name(found)


def test_tolerations_may_be_objects_too():
    flags = ["--toleration=a=b:NoSchedule", "--toleration=c", "--no-tolerate-all", "--remove-startup-taint=c"]
    objects = [
        {"key": "a", "operator": "Equal", "value": "b", "effect": "NoSchedule"},
        {"key": "c", "operator": "Exists"},
    ]

    found = render({"tolerations": objects, "noTolerateAll": True, "removeStartupTaints": ["c"]})

    assert by_name(generated(["web", *flags])) == by_name(found)


def test_the_name_may_differ_from_the_release():
    assert by_name(generated(["web", "--keep"])) == by_name(render({"name": "web", "keep": True}, release="other"))


DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("image", "flags"),
    [
        ({"tag": f"v1@{DIGEST}"}, [f"--image=ghcr.io/nodeprefetch/nodeprefetch:v1@{DIGEST}"]),
        ({"repository": f"a/b@{DIGEST}"}, [f"--image=a/b@{DIGEST}"]),
        ({"repository": "localhost:5000/a/b", "tag": "v1"}, ["--image=localhost:5000/a/b", "--version=v1"]),
        ({"repository": "localhost:5000/a"}, ["--image=localhost:5000/a"]),
        ({"repository": "localhost:5000/a:1"}, ["--image=localhost:5000/a:1"]),
    ],
)
def test_the_image_is_named_in_all_ways(image, flags):
    cloud = "--use-kubelet-image-credential-integration=GKE"
    values = {"image": image, "useKubeletImageCredentialIntegration": "GKE"}

    assert by_name(generated(["web", cloud, *flags])) == by_name(render(values))
    assert {value.name for value in IMAGE} >= set(image)
