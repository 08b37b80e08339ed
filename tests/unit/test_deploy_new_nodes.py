"""The manifests that keep new nodes closed until they have their images."""

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy_gen.arguments import parse_arguments
from deploy_gen.images import LIST_LIMIT, full_name
from deploy_gen.manifests import build_manifests
from deploy_gen.parse import read_options
from deploy_gen.problems import InputError
from nodeprefetch.errors import UsageError
from nodeprefetch.report.label_key import label_key
from nodeprefetch.values.image_ref import ImageRef
from nodeprefetch.values.taint import parse_taint

RULE_TAINT = {"key": "readiness.k8s.io/nodeprefetch-web", "effect": "NoSchedule"}


def made(*arguments):
    return build_manifests(read_options(parse_arguments(arguments)))


def of_kind(kind, *arguments):
    return [each for each in made(*arguments) if each["kind"] == kind]


def pod(*arguments):
    (daemons,) = of_kind("DaemonSet", *arguments)
    return daemons["spec"]["template"]["spec"]


def problems(*arguments):
    with pytest.raises(InputError) as caught:
        made(*arguments)
    return list(caught.value.problems)


def lists(folder, images, needs):
    (folder / "images").write_text(images)
    (folder / "needs").write_text(needs)
    return [f"--images={folder}/images", f"--gate-needs={folder}/needs", "--node-condition"]


@pytest.mark.parametrize(("containers", "command"), [("initContainers", []), ("containers", ["--keep"])])
def test_what_opens_a_node_is_given_to_fetch_and_keep(containers, command, tmp_path):
    flags = ["--remove-startup-taint=a.b/c=d:NoExecute", "--remove-startup-taint=e=", "--remove-startup-taint=f"]
    found = pod("web", *command, *lists(tmp_path, "a\n", "a\n"), *flags, "--gate-timeout=5m")[containers][0]

    assert [
        "--node-condition",
        "--remove-taint=a.b/c=d:NoExecute",
        "--remove-taint=e=",
        "--remove-taint=f",
        "--gate-file=/var/lib/nodeprefetch/gate/first-run",
        "--gate-timeout=5m",
        "--gate-needs=/etc/nodeprefetch/list/gate-needs.txt",
    ] == [each for each in found["args"] if re.match("--(node-condition|remove|gate)", each)]
    assert {"name": "gate", "mountPath": "/var/lib/nodeprefetch/gate"} in found["volumeMounts"]


@pytest.mark.parametrize("flag", ["--node-condition", "--remove-startup-taint=a", "--node-readiness-rule"])
def test_the_time_of_the_first_run_is_kept_as_long_as_the_pod(flag):
    volumes = pod("web", flag)["volumes"]

    assert {"name": "gate", "emptyDir": {"sizeLimit": "1Mi"}} in volumes


def test_without_a_gate_there_is_nothing_of_it():
    found = pod("web")

    assert not any("gate" in each["name"] for each in found["volumes"])
    assert not any("gate" in each for each in found["initContainers"][0]["args"])
    assert "priorityClassName" not in found


def test_the_startup_taints_are_tolerated_whatever_else_is():
    flags = ["--remove-startup-taint=a=b:NoSchedule", "--remove-startup-taint=c", "--node-readiness-rule"]
    ours = [
        {"key": "a", "operator": "Equal", "value": "b", "effect": "NoSchedule"},
        {"key": "c", "operator": "Exists"},
        {"operator": "Exists", **RULE_TAINT},
    ]

    assert [{"operator": "Exists"}] == pod("web", *flags)["tolerations"]
    assert ours == pod("web", *flags, "--no-tolerate-all")["tolerations"]
    assert [{"key": "d", "operator": "Exists"}, *ours] == pod("web", *flags, "--toleration=d")["tolerations"]
    assert ours == pod("web", *flags, "--no-tolerate-all", "--toleration=a=b:NoSchedule")["tolerations"]


def test_the_rule_opens_nodes_whose_condition_is_true():
    (rule,) = of_kind("NodeReadinessRule", "web", "--node-readiness-rule", "--node-selector=pool=gpu")

    assert ("readiness.node.x-k8s.io/v1alpha1", "nodeprefetch-web") == (rule["apiVersion"], rule["metadata"]["name"])
    assert "namespace" not in rule["metadata"]
    assert {
        "conditions": [{"type": "nodeprefetch.io/web", "requiredStatus": "True"}],
        "taint": RULE_TAINT,
        "enforcementMode": "bootstrap-only",
        "nodeSelector": {"matchLabels": {"kubernetes.io/os": "linux", "pool": "gpu"}},
        "dryRun": False,
    } == rule["spec"]


def test_the_rule_comes_last_and_its_reporter_is_on():
    found = made("web", "--node-readiness-rule", "--collect-metrics")

    assert ["DaemonSet", "NodeReadinessRule"] == [each["kind"] for each in found[-2:]]
    assert "--node-condition" in pod("web", "--node-readiness-rule")["initContainers"][0]["args"]


def test_names_are_no_longer_than_the_controller_and_kubernetes_allow():
    """What is behind the slash of a taint or annotation has 63 characters at most, a condition's type 316."""
    name, prefix = "a" * 30, ".".join(["p" * 49] * 5 + ["ppp"])
    assert 253 == len(prefix)
    (rule,) = of_kind("NodeReadinessRule", name, "--node-readiness-rule", f"--node-label-prefix={prefix}")
    (condition,) = rule["spec"]["conditions"]

    assert 63 == len(f"bootstrap-completed-{rule['metadata']['name']}")
    assert len(rule["spec"]["taint"]["key"].partition("/")[2]) <= 63
    assert label_key(prefix, name) == condition["type"]
    assert len(label_key(prefix, "a" * 55)) <= 316
    assert [
        "NAME: 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' must not exceed 30 characters with --node-readiness-rule, got 31"
    ] == (problems("a" * 31, "--node-readiness-rule"))


@pytest.mark.parametrize("flag", ["--node-condition", "--remove-startup-taint=a", "--node-readiness-rule"])
def test_pods_that_nodes_wait_for_come_first(flag):
    """Before other daemons that fill the node, and with the quota that some clusters want for it."""
    assert "system-node-critical" == pod("web", flag)["priorityClassName"]
    assert 1 == len(of_kind("ResourceQuota", "web", flag))


@pytest.mark.parametrize(("given", "used"), [("high", "high"), ("none", None)])
def test_another_priority_class_or_none_can_be_chosen(given, used):
    assert used == pod("web", "--node-condition", f"--priority-class={given}").get("priorityClassName")
    assert [] == of_kind("ResourceQuota", "web", "--node-condition", f"--priority-class={given}")


def test_what_nodes_need_is_beside_the_list(tmp_path):
    (found,) = of_kind("ConfigMap", "web", *lists(tmp_path, "a\nb # first\n", "# x\ndocker.io/library/b:latest\n"))

    assert {
        "images.txt": "a\nb # first\n",
        "gate-needs.txt": "# x\ndocker.io/library/b:latest\n",
    } == found["data"]


def test_a_change_of_what_nodes_need_triggers_a_rollout(tmp_path):
    def digest(*arguments):
        (daemons,) = of_kind("DaemonSet", "web", *arguments)
        return daemons["spec"]["template"]["metadata"]["annotations"]["nodeprefetch.io/images-sha256"]

    digests = [digest(*lists(tmp_path, "a\nb\n", needs)) for needs in ("a\n", "b\n")]

    assert 2 == len(set(digests))
    assert hashlib.sha256(b"a\nb\n").hexdigest() == digest(f"--images={tmp_path}/images", "--node-condition")


def test_nodes_cannot_need_what_is_not_pulled(tmp_path):
    flags = lists(tmp_path, "a\nb:1\nquay.io/c\n", "a\nb:2\nc\nquay.io/c:latest\n")

    assert [
        f"--gate-needs: {tmp_path}/needs:2: b:2 is not in the list of --images",
        f"--gate-needs: {tmp_path}/needs:3: c is not in the list of --images",
    ] == problems("web", *flags)


def test_both_lists_must_fit_into_one_config_map(tmp_path):
    images = "a\n" + "#" * (LIST_LIMIT - 100)

    assert ["--gate-needs: must not be longer than"] == [
        each.partition(f" {LIST_LIMIT}")[0] for each in problems("web", *lists(tmp_path, images, "a\n" + "#" * 200))
    ]


def test_a_list_of_the_users_own_is_passed_on():
    """It is a key of the ConfigMap that the user creates."""
    flag = "--gate-needs=/etc/nodeprefetch/list/first.txt"

    assert flag in pod("web", "--node-condition", f"--fetch-arg={flag}")["initContainers"][0]["args"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--gate-timeout=5m"], "--gate-timeout: requires --node-condition, --remove-startup-taint or"),
        (["--gate-needs=/x"], "--gate-needs: requires --node-condition, --remove-startup-taint or"),
        (["--node-condition", "--gate-needs=/x"], "--gate-needs: requires --images"),
        (["--node-condition", "--gate-timeout=5"], "--gate-timeout: invalid duration '5'"),
        (["--remove-startup-taint=:NoSchedule"], "--remove-startup-taint: invalid label key ''"),
        (["--remove-startup-taint=a:Never"], "--remove-startup-taint: invalid taint 'a:Never': the effect must be"),
        (["--remove-startup-taint=a=/"], "--remove-startup-taint: invalid label value '/'"),
        (["--remove-startup-taint=a/" + "b" * 64], "--remove-startup-taint: invalid label key"),
        (["--remove-startup-taint=a", "--node-access=impersonate"], "--remove-startup-taint: cannot be combined with"),
        (["--fetch-arg=--no-events"], "--fetch-arg: --no-events: use the flag --no-events of"),
        (["--fetch-arg=--node-condition"], "--fetch-arg: --node-condition: use the flag --node-condition of"),
        (["--fetch-arg=--remove-taint=a"], "--fetch-arg: --remove-taint: use the flag --remove-startup-taint of"),
        (["--fetch-arg=--gate-timeout=5m"], "--fetch-arg: --gate-timeout: use the flag --gate-timeout of"),
        (["--fetch-arg=--gate-file=/x"], "--fetch-arg: --gate-file: set by the manifest"),
    ],
)
def test_what_makes_no_sense_is_reported(arguments, problem):
    assert problem in "\n".join(problems("web", *arguments))


def test_both_lists_from_standard_input_are_reported(monkeypatch, tmp_path):
    (tmp_path / "list").write_text("a\n")
    with (tmp_path / "list").open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)

        assert ["--gate-needs: standard input is already the list of --images"] == problems(
            "web", "--node-condition", "--images=-", "--gate-needs=-"
        )


def test_a_list_that_sets_what_nodes_need_is_not_passed_on_too(tmp_path):
    flags = lists(tmp_path, "a\n", "a\n")

    assert ["--fetch-arg: --gate-needs: the flag --gate-needs of this generator sets it"] == problems(
        "web", *flags, "--fetch-arg=--gate-needs=/x"
    )


def test_without_events_there_is_no_permission_for_them():
    assert any(each["resources"] == ["events"] for role in of_kind("Role", "web") for each in role["rules"])
    assert [] == of_kind("Role", "web", "--no-events")
    assert "--no-events" in pod("web", "--no-events")["initContainers"][0]["args"]


def test_zero_waits_for_ever():
    assert "--gate-timeout=0" in pod("web", "--node-condition", "--gate-timeout=0")["initContainers"][0]["args"]


@given(
    st.from_regex(
        r"((a\.b|A|node\.kubernetes\.io|node\.cloudprovider\.kubernetes\.io|)/)?[a._-]{0,3}(=[a._-]{0,2})?(:(NoSchedule|NoExecute|Never|))?",
        fullmatch=True,
    )
)
def test_taints_are_the_same_as_for_fetch(text):
    try:
        theirs = str(parse_taint(text))
    except UsageError:
        theirs = None
    try:
        (ours,) = [
            each.removeprefix("--remove-taint=")
            for each in pod("web", f"--remove-startup-taint={text}")["initContainers"][0]["args"]
            if each.startswith("--remove-taint=")
        ]
    except (InputError, ValueError):
        ours = None

    assert theirs == ours


NAMES = st.from_regex(
    r"((index\.)?docker\.io/|localhost/|Host/|host:5000/|quay\.io/)?(library/|team/)?[a-z]{1,3}(:[a-z0-9]{1,3})?(@sha256:[0-9a-f]{64})?",
    fullmatch=True,
)


@given(NAMES)
def test_names_are_the_same_as_for_fetch(name):
    try:
        theirs = ImageRef.parse(name).pull_ref
    except UsageError:
        return
    assert theirs == full_name(name)
