"""What readers may do: see one installation, and change nothing."""

import pytest

from deploy_gen.arguments import parse_arguments
from deploy_gen.manifests import build_manifests
from deploy_gen.parse import read_options

ALWAYS = {
    "daemonsets[web] get",
    "daemonsets list",
    "controllerrevisions list",
    "configmaps[web] get",
    "pods get",
    "pods list",
    "pods/log get",
}
READERS = {"nodeprefetch.prefetch.web.reader", "nodeprefetch.prefetch.web.node-reader"}


def made(*arguments: str):
    options = read_options(parse_arguments(["web", "--namespace=prefetch", "--reader-role", *arguments]))
    return [
        each
        for each in build_manifests(options)
        if each["metadata"]["labels"]["app.kubernetes.io/component"] == "reader"
    ]


def allowed(found, kind):
    """Resources, the names to which they are limited, and verbs."""
    (role,) = [each for each in found if each["kind"] == kind]
    return {
        f"{resource}{rule.get('resourceNames', [''])[0] and str(rule['resourceNames']).replace(chr(39), '')} {verb}"
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize(
    ("arguments", "more"), [((), set()), (("--collect-metrics",), {"services/proxy[web-metrics:http] get"})]
)
def test_readers_see_the_namespace_and_its_aggregator(arguments, more):
    assert ALWAYS | more == allowed(made(*arguments), "Role")


def test_readers_see_nodes_of_the_whole_cluster():
    assert {"nodes get", "nodes list"} == allowed(made("--collect-metrics"), "ClusterRole")


def test_only_the_account_for_jobs_has_the_roles_and_mounts_no_token_by_itself():
    found = made()
    bindings = [each for each in found if each["kind"].endswith("Binding")]
    (account,) = [each for each in found if each["kind"] == "ServiceAccount"]

    assert "web-reader" == account["metadata"]["name"]
    assert not account["automountServiceAccountToken"]
    assert READERS == {each["roleRef"]["name"] for each in bindings}
    subject = {"kind": "ServiceAccount", "name": "web-reader", "namespace": "prefetch"}
    assert [[subject]] * 2 == [each["subjects"] for each in bindings]


def test_nothing_is_printed_for_readers_without_the_flag():
    objects = build_manifests(read_options(parse_arguments(["web", "--collect-metrics"])))

    assert not [each for each in objects if "reader" in each["metadata"]["name"]]
