"""`status` as people run it: its output and its exit codes, against a fake API server and a real aggregator."""

import http.client
import json
from contextlib import closing
from typing import Any

import msgspec
import pytest

from nodeprefetch.cli.commands import run
from nodeprefetch.events import Outcome, RunEnd, RunFinished
from nodeprefetch.values.image_list import list_digest
from nodeprefetch.values.image_ref import ImageRef
from tests.support.aggregator_program import AggregatorProgram
from tests.support.batches import batch_of, begun, ended
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


TOKEN = "a-token-for-readers"


@pytest.fixture(scope="module")
def aggregator(tmp_path_factory):
    """With the results of two nodes, and a token to read them."""
    directory = tmp_path_factory.mktemp("aggregator")
    (directory / "token").write_text(TOKEN)
    flags = ["--auth=token-file", f"--auth-token-file={directory / 'token'}", "--auth-read"]
    with AggregatorProgram(directory, *flags, keeps=False) as running:
        for name, outcome in (("n1", Outcome.PRESENT), ("n2", Outcome.FAILED)):
            submit(running, name, outcome)
        yield running


def submit(aggregator: AggregatorProgram, name: str, outcome: Outcome) -> None:
    last = ended(IMAGES[1], outcome)
    if outcome is Outcome.FAILED:
        last = msgspec.structs.replace(last, error_class="permanent", reason="not_found")
    batch = batch_of(
        begun(*IMAGES, node=name, list_digest=list_digest(map(ImageRef.parse, IMAGES))),
        ended(IMAGES[0], Outcome.PRESENT),
        last,
        RunFinished(run_id=name, end=RunEnd.FINISHED, succeeded=0, present=1, failed=1, elapsed=1),
        run_id=name,
        node=name,
        instance="web",
    )
    headers = {"content-type": "application/msgpack", "authorization": f"Bearer {TOKEN}"}
    with closing(http.client.HTTPConnection("127.0.0.1", aggregator.http_port)) as connection:
        connection.request("POST", "/v1/events", msgspec.msgpack.encode(batch), headers)
        assert 200 == connection.getresponse().status


def test_a_real_aggregator_is_asked_at_its_address(status, aggregator, tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    address = f"http://127.0.0.1:{aggregator.http_port}"

    code, output, errors = status(
        f"--aggregator={address}", f"--aggregator-token-file={tmp_path / 'token'}", "--output=json"
    )

    assert (0, "") == (code, errors)
    (picture,) = json.loads(output)
    assert f"aggregator at {address}" == picture["source"]
    assert "notes" not in picture
    assert [("n1", "warm", 2), ("n2", "failed", 1)] == [
        (each["node"], each["state"], each["present"]) for each in picture["nodes"]
    ]
    assert [IMAGES[1]] == picture["nodes"][1]["final_images"]
    assert [(IMAGES[0], 2, 0), (IMAGES[1], 1, 1)] == [
        (each["image"], each.get("present", 0), each.get("missing", 0)) for each in picture["images"]
    ]
    assert [("not_found", 1, ["n2"])] == [
        (each["reason"], each["nodes"], each["examples"]) for each in picture["causes"]
    ]


def test_without_its_token_the_nodes_answer(status, aggregator):
    code, output, _ = status(f"--aggregator=http://127.0.0.1:{aggregator.http_port}", "--output=json")

    (picture,) = json.loads(output)
    assert (0, "node labels and pods") == (code, picture["source"])
    assert "401" in picture["notes"][0]
    assert TOKEN not in output


def test_an_address_where_nobody_listens_is_named(status):
    code, output, _ = status("--aggregator=127.0.0.1:1")

    assert 0 == code
    assert "note: the aggregator did not answer: http://127.0.0.1:1: " in output
