"""`status` as people run it: its output and its exit codes, against a fake API server and a real aggregator."""

import json
from typing import Any

import pytest

from nodeprefetch.cli.commands import run
from nodeprefetch.values.image_list import list_digest
from nodeprefetch.values.image_ref import ImageRef
from tests.support.cluster_objects import IMAGES, config_map, daemon_set, node, pod
from tests.support.fake_kube import FakeKube


@pytest.fixture(autouse=True)
def no_kubeconfig(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def api():
    with FakeKube() as running:
        reads = running.objects.reads
        reads.put("daemonsets", daemon_set(desired=2))
        reads.put("configmaps", config_map())
        for name in ("n1", "n2"):
            reads.put("pods", pod(name, ready=name == "n1"))
            reads.put("nodes", node(name) if name == "n1" else node(name, label="failed", failed=IMAGES[1]))
        yield running


@pytest.fixture
def status(api, tmp_path, capsys):
    path = str(api.write_kubeconfig(tmp_path))

    def run_it(*arguments: str) -> tuple[int, str, str]:
        code = run(["status", f"--kubeconfig={path}", *arguments])
        return (code, *capsys.readouterr())

    return run_it


def test_the_answer_is_printed_and_the_exit_code_is_0_though_nodes_have_failed(status):
    code, output, errors = status()

    assert (0, "") == (code, errors)
    assert "infra      web   2      1     0        0        1" in output
    assert f"1 node: {IMAGES[1]}: not_found (permanent)" in output
    assert "to do: push the image" in output


def test_json_has_all_of_the_picture(status):
    code, output, _ = status("web", "--namespace=infra", "--output=json")

    (picture,) = json.loads(output)
    assert 0 == code
    assert ("infra", "web", "node labels and pods") == (picture["namespace"], picture["name"], picture["source"])
    assert list_digest(map(ImageRef.parse, IMAGES)) == picture["list_digest"]
    assert [("n1", "warm"), ("n2", "failed")] == [(each["node"], each["state"]) for each in picture["nodes"]]
    assert [IMAGES[1]] == picture["nodes"][1]["final_images"]


def test_no_such_installation_is_a_usage_error(status):
    code, _, errors = status("other")

    assert (2, "nodeprefetch: no installation other in the cluster\n") == (code, errors)


def test_a_missing_permission_is_shown_with_the_command_that_checks_it(api, status):
    api.objects.reads.forbidden.add("list pods infra")

    code, output, errors = status()

    assert (3, "") == (code, output)
    assert "nodeprefetch: check with: kubectl --kubeconfig" in errors
    assert "auth can-i list pods -n infra\n" in errors


def test_no_login_at_all_is_no_access(capsys, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    assert 3 == run(["status"])
    assert "not running in a cluster" in capsys.readouterr().err


def test_a_kubeconfig_that_cannot_be_read_is_no_access(capsys):
    assert 3 == run(["status", "--kubeconfig=/none"])
    assert "nodeprefetch: cannot read the kubeconfig /none: No such file or directory\n" == capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--aggregator=ftp://x"], "--aggregator: invalid aggregator address"),
        (["--aggregator-token-file=/none"], "--aggregator-token-file requires --aggregator"),
        (["--aggregator=a:1", "--aggregator-token-file=/none"], "cannot read token file"),
        (["a", "b"], "Unused Tokens"),
    ],
)
def test_invalid_flags_are_usage_errors(flags, problem, capsys):
    assert 2 == run(["status", *flags])
    assert problem in capsys.readouterr().err
