"""What the generator prints, taken by real API servers: the newest, and the oldest that is supported."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from tests.e2e.installation import READINESS_RULES, ROOT, Installation, namespace_object
from tests.e2e.operators import OPERATORS_KINDS, definition
from tests.golden.regenerate import COMMANDS, text
from tests.support.apiserver import ApiServer
from tests.support.kubectl import KubectlError

pytestmark = pytest.mark.apiserver


@pytest.fixture(scope="module")
def prepared(api_server: ApiServer) -> ApiServer:
    """Has the namespaces of the installations and workloads, and knows the kinds of operators."""
    kubectl = api_server.kubectl
    for kind in OPERATORS_KINDS:
        kubectl.apply(json.dumps(definition(kind)))
    for namespace in ("prefetch", "team"):
        kubectl.apply(json.dumps(namespace_object(namespace)))
    kubectl.apply(READINESS_RULES.read_text("utf-8"))
    kubectl.run("wait", "--for=condition=Established", "customresourcedefinition", "--all", "--timeout=5m")
    return api_server


@pytest.mark.parametrize("name", COMMANDS)
def test_every_installation_is_taken(prepared: ApiServer, name: str) -> None:
    """Each over the one before, as an edit of flags is. Fields that the server does not know are errors."""
    manifest = text(name)
    wanted = sorted(f"{each['kind']}/{each['metadata']['name']}".lower() for each in yaml.safe_load_all(manifest))

    tried = prepared.kubectl.apply(manifest, "--dry-run=server", "--validate=strict")
    done = prepared.kubectl.apply(manifest, "--validate=strict")

    assert wanted == _names(tried)
    assert wanted == _names(done)


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_there_is_what_was_applied(prepared: ApiServer, name: str) -> None:
    """Tools that compare the two, as those of GitOps do, find no difference: the server has only added its defaults."""
    manifest = text(name)
    prepared.kubectl.apply(manifest)

    live = json.loads(prepared.kubectl.run("get", "--filename=-", "--output=json", stdin=manifest))
    by_name = {(each["kind"], each["metadata"]["name"]): each for each in live.get("items", [live])}

    for wanted in yaml.safe_load_all(manifest):
        there = by_name[wanted["kind"], wanted["metadata"]["name"]]
        assert [] == list(_differences(wanted, there, wanted["kind"]))
    assert "" == prepared.kubectl.run("diff", "--server-side", "--filename=-", stdin=manifest)


def _differences(wanted: Any, there: Any, path: str) -> Iterator[str]:
    """What is not as it was applied. The server may add keys, but neither items nor other values."""
    if isinstance(wanted, dict) and isinstance(there, dict):
        for key, value in wanted.items():
            if key in there:
                yield from _differences(value, there[key], f"{path}.{key}")
            else:
                yield f"{path}.{key} is not there"
    elif isinstance(wanted, list) and isinstance(there, list) and len(wanted) == len(there):
        for index, pair in enumerate(zip(wanted, there, strict=True)):
            yield from _differences(*pair, f"{path}[{index}]")
    elif wanted != there or type(wanted) is not type(there):
        yield f"{path}: {wanted!r} became {there!r}"


def test_all_of_a_readiness_rule_but_its_dry_run_is_immutable(prepared: ApiServer) -> None:
    """So that other flags need another rule; and a rule can be tried first."""
    kubectl = prepared.kubectl
    (rule,) = (each for each in yaml.safe_load_all(text("new-nodes")) if each["kind"] == "NodeReadinessRule")
    kubectl.apply(json.dumps(rule))

    for dry_run in (True, False):
        kubectl.apply(json.dumps({**rule, "spec": {**rule["spec"], "dryRun": dry_run}}))
    for field, value in (
        ("nodeSelector", {"matchLabels": {"pool": "gpu"}}),
        ("conditions", [{"type": "example.com/web", "requiredStatus": "True"}]),
        ("taint", {"key": "readiness.k8s.io/other", "effect": "NoSchedule"}),
    ):
        with pytest.raises(KubectlError, match=f"{field} is immutable"):
            kubectl.apply(json.dumps({**rule, "spec": {**rule["spec"], field: value}}), "--force-conflicts")


def test_two_installations_of_one_name_share_nothing(
    api_server: ApiServer, installed: Callable[..., Installation]
) -> None:
    """Taking one away leaves all of the other."""
    first, second = (installed("--collect-metrics", "--restrict-node-access") for _ in range(2))

    first.remove()

    assert len(second.objects) == len(_kept(api_server, second))
    assert [] == _kept(api_server, first)


def test_a_restricted_namespace_refuses_the_pods_that_fetch(
    api_server: ApiServer, installed: Callable[..., Installation]
) -> None:
    """In the words that the documentation shows."""
    installation = installed()
    _restrict(api_server, installation.namespace, "restricted")

    with pytest.raises(KubectlError) as refusal:
        api_server.kubectl.create(installation.pod("DaemonSet", "late"))

    said = str(refusal.value)
    shown = " ".join((ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8").split())
    _, _, reasons = said.partition('violates PodSecurity "restricted:latest": ')
    assert reasons
    for reason in reasons.strip().split("), "):
        assert reason.rstrip(")") in shown


def test_a_baseline_namespace_refuses_them_for_the_socket_alone(
    api_server: ApiServer, installed: Callable[..., Installation]
) -> None:
    installation = installed()
    _restrict(api_server, installation.namespace, "baseline")

    with pytest.raises(KubectlError) as refusal:
        api_server.kubectl.create(installation.pod("DaemonSet", "late"))

    _, _, reasons = str(refusal.value).partition('violates PodSecurity "baseline:latest": ')
    assert 'hostPath volumes (volume "cri-socket-dir")' == reasons.strip()


def test_a_restricted_namespace_takes_the_aggregator(
    api_server: ApiServer, installed: Callable[..., Installation]
) -> None:
    installation = installed("--collect-metrics")
    _restrict(api_server, installation.namespace, "restricted")

    (made,) = api_server.kubectl.create(installation.pod("Deployment", "late"))

    assert "late" == made["metadata"]["name"]


def _restrict(server: ApiServer, namespace: str, level: str) -> None:
    server.kubectl.run("label", "namespace", namespace, f"pod-security.kubernetes.io/enforce={level}")


def _kept(server: ApiServer, installation: Installation) -> list[str]:
    """Names of the objects of its manifest that the server still has."""
    found = server.kubectl.run(
        "get", "--filename=-", "--ignore-not-found", "--output=name", stdin=installation.manifest
    )
    return found.split()


def _names(output: str) -> list[str]:
    """`kind/name` of each line `kind.group/name serverside-applied`."""
    names = (line.split()[0] for line in output.splitlines())
    return sorted("/".join((kind.partition(".")[0], name)) for kind, _, name in (each.partition("/") for each in names))
