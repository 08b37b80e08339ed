"""The permissions of fetch pods: no more than the flags need."""

import dataclasses

import pytest

from deploy_gen.arguments import parse_arguments
from deploy_gen.manifests import build_manifests, notices
from deploy_gen.options import IMPERSONATE, Options, Taint
from deploy_gen.parse import read_options

WANTED = [
    ({}, {"nodes get", "nodes patch"}),
    ({"node_condition": True}, {"nodes get", "nodes patch", "nodes/status patch"}),
    ({"startup_taints": (Taint(key="a"),)}, {"nodes get", "nodes patch"}),
]


def options(*arguments: str, **changes) -> Options:
    return dataclasses.replace(read_options(parse_arguments(["web", "--namespace=prefetch", *arguments])), **changes)


def rules(wanted: Options, kind: str) -> dict[str, set[str]]:
    """What the roles of that kind allow, by namespace."""
    found: dict[str, set[str]] = {}
    for each in build_manifests(wanted):
        if each["kind"] == kind:
            allowed = found.setdefault(each["metadata"].get("namespace", ""), set())
            allowed |= {
                f"{resource} {verb}"
                for rule in each["rules"]
                for resource in rule["resources"]
                for verb in rule["verbs"]
            }
    return found


@pytest.mark.parametrize(("changes", "wanted"), WANTED)
def test_each_flag_brings_what_it_needs(changes, wanted):
    assert {"": wanted} == rules(options(**changes), "ClusterRole")


@pytest.mark.parametrize(("changes", "wanted"), WANTED[:2])
def test_who_acts_as_its_node_has_no_right_to_nodes(changes, wanted):
    """The verbs of nodes are those of acting as one: the API server then asks what that node may do."""
    acting = {text.replace(" ", " impersonate-on:associated-node:") for text in wanted}

    assert {"": {"nodes impersonate:associated-node"} | acting} == rules(
        options(node_access=IMPERSONATE, **changes), "ClusterRole"
    )


def test_events_are_allowed_where_those_about_nodes_are():
    assert {"default": {"events create"}} == rules(options(), "Role")
    assert {} == rules(options(events=False), "Role")


@pytest.mark.parametrize(
    ("arguments", "policies"),
    [((), []), (("--restrict-node-access",), ["node-access", "node-events"])],
)
def test_every_right_of_the_fetch_pods_has_its_policy(arguments, policies):
    found = [each for each in build_manifests(options(*arguments)) if each["kind"] == "ValidatingAdmissionPolicy"]

    assert [f"nodeprefetch.prefetch.web.{policy}" for policy in policies] == [
        each["metadata"]["name"] for each in found
    ]


def test_the_policy_names_the_taints_that_may_go():
    taints = (Taint(key="a.io/b", value="", effect="NoSchedule"), Taint(key="c"))
    found = build_manifests(options("--restrict-node-access", startup_taints=taints))
    policy = next(each for each in found if each["kind"] == "ValidatingAdmissionPolicy")
    (rule,) = [each for each in policy["spec"]["validations"] if "variables.newTaints" in each["expression"]]

    assert (
        "(taint.key == 'a.io/b' && taint.?value.orValue('') == '' && taint.effect == 'NoSchedule')"
        in (rule["expression"])
    )
    assert "|| (taint.key == 'c')" in rule["expression"]
    assert "may remove the taints a.io/b=:NoSchedule, c, and change no others" in rule["message"]


@pytest.mark.parametrize(
    ("arguments", "warned"),
    [
        (("--restrict-node-access",), False),
        (("--node-access=impersonate",), False),
        (("--node-access=impersonate", "--restrict-node-access"), True),
    ],
)
def test_a_policy_that_others_may_meet_is_announced(arguments, warned):
    assert warned == any(
        "all pods of the cluster that act as their node" in text for text in notices(options(*arguments))
    )


@pytest.mark.parametrize(
    ("arguments", "namespace"),
    [(("--once-for=app=web",), "prefetch"), (("--once-for=team/app=web", "--node-access=impersonate"), "team")],
)
def test_pods_of_the_workload_are_listed_in_its_namespace_alone(arguments, namespace):
    roles = rules(options(*arguments), "Role")

    assert {"pods list"} == roles[namespace]
    assert not any("pods" in each for each in rules(options(*arguments), "ClusterRole")[""])
