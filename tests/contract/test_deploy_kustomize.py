"""Kustomize reads what `--output-dir` writes: as it is, and in overlays that set another namespace."""

import json
import re

import pytest

from deploy_gen.kustomization import render_directory
from tests.golden.regenerate import COMMANDS, objects, options
from tests.support.kustomize import KustomizeError, build, write

NAMESPACE = "team-a"
LOOPBACK = r"127\.[0-9]+\.[0-9]+\.[0-9]+"
OVERLAY = f"""\
resources: [../base]
namespace: {NAMESPACE}
transformers: [../base/namespace]
"""


def base(directory, name, *more):
    return write(directory / "base", render_directory(options(name, *more), COMMANDS[name]))


def overlay(directory, text):
    return write(directory / "overlay", {"kustomization.yaml": text})


def keyed(found):
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_directory_has_the_objects_of_standard_output(tmp_path, name):
    built = build(base(tmp_path, name))

    assert keyed(objects(name)) == keyed(built)
    assert len(objects(name)) == len(built)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_overlay_that_sets_a_namespace_is_as_if_it_had_been_generated_for_it(tmp_path, name):
    base(tmp_path, name)

    built = build(overlay(tmp_path, OVERLAY))

    assert keyed(moved(name)) == keyed(built)


LIST = f"""{OVERLAY}\
configMapGenerator:
- name: web
  literals: ["images.txt=nginx:1.27"]
"""


def volumes(built):
    return {each["name"]: each for each in keyed(built)["DaemonSet", "web"]["spec"]["template"]["spec"]["volumes"]}


def test_a_list_of_the_overlay_is_mounted_by_its_name_with_a_hash(tmp_path):
    base(tmp_path, "metrics")

    built = build(overlay(tmp_path, LIST))

    (name,) = (each["metadata"]["name"] for each in built if each["kind"] == "ConfigMap")
    assert re.fullmatch(r"web-[a-z0-9]{10}", name)
    assert name == volumes(built)["image-list"]["configMap"]["name"]


def test_a_list_may_keep_its_name(tmp_path):
    base(tmp_path, "keep-intervals")

    built = build(overlay(tmp_path, f"{LIST}  options: {{disableNameSuffixHash: true}}\n"))

    assert ["web"] == [each["metadata"]["name"] for each in built if each["kind"] == "ConfigMap"]
    assert "web" == volumes(built)["image-list"]["configMap"]["name"]


def test_the_image_can_be_set(tmp_path):
    base(tmp_path, "metrics")
    images = "images: [{name: ghcr.io/nodeprefetch/nodeprefetch, newName: registry.test/np, newTag: v9}]\n"

    built = build(overlay(tmp_path, OVERLAY + images))

    found = set(re.findall(r"'image': '([^']+)'", str(built)))
    assert {"registry.test/np:v9"} == found


def test_a_name_that_is_changed_leaves_permission_and_restriction_together(tmp_path):
    """It is not supported, but must not be dangerous."""
    base(tmp_path, "restricted")

    built = build(overlay(tmp_path, f"{OVERLAY}nameSuffix: -x\n"))

    users = {each["subjects"][0]["name"] for each in built if each["kind"] == "ClusterRoleBinding"}
    (user,) = users
    policies = [each for each in built if each["kind"] == "ValidatingAdmissionPolicy"]
    assert f"system:serviceaccount:{NAMESPACE}:web" == user
    assert all(f"== '{user}'" in each["spec"]["matchConditions"][0]["expression"] for each in policies)
    assert ["web-x"] == [each["metadata"]["name"] for each in built if each["kind"] == "ServiceAccount"]


REMOVAL = """\
patches:
- target: {kind: PrometheusRule}
  patch: |
    - {op: remove, path: /spec/groups/0/rules/0}
"""


def test_an_alert_is_removed_after_the_namespace_is_set(tmp_path):
    """In the same overlay kustomize does not find its namespace, and says which alert's."""
    base(tmp_path, "metrics-prometheus")
    moved = overlay(tmp_path, OVERLAY)
    write(tmp_path / "second", {"kustomization.yaml": f"resources: [../overlay]\n{REMOVAL}"})

    alerts = [each["alert"] for each in rules(build(moved))]
    left = [each["alert"] for each in rules(build(tmp_path / "second"))]

    assert alerts[1:] == left
    with pytest.raises(KustomizeError, match=alerts[0]):
        build(overlay(tmp_path, OVERLAY + REMOVAL))


def rules(built):
    return keyed(built)["PrometheusRule", "web-metrics"]["spec"]["groups"][0]["rules"]


def moved(name):
    """Return the objects of the same flags for the other namespace."""
    text = json.dumps(objects(name, f"--namespace={NAMESPACE}"))
    # An address in the node's network is a hash of namespace and NAME. It only has to be unique.
    for address in re.findall(rf"({LOOPBACK})", json.dumps(objects(name))):
        text = re.sub(LOOPBACK, address, text)
    return json.loads(text)
