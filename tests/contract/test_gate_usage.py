"""A node whose image list is invalid must not wait for ever: real files, and a fake API server over real HTTPS."""

import json
import time
from pathlib import Path

import pytest

from nodeprefetch.cli import gate as module
from nodeprefetch.cli.environment import Environment
from nodeprefetch.cli.flags import FetchFlags
from nodeprefetch.cli.inputs import read_images
from nodeprefetch.cli.prepare import prepare
from nodeprefetch.errors import UsageError
from nodeprefetch.report.gate import GateState
from nodeprefetch.report.gate_record import GateRecord
from tests.support.fake_kube import FakeKube

OURS, OTHER = {"key": "warm", "effect": "NoSchedule"}, {"key": "other", "effect": "NoSchedule"}


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine takes longer than a pod may, above all to load what reads the kubeconfig."""
    monkeypatch.setattr(module, "REPORT_GRACE", 300.0)


@pytest.fixture
def api():
    with FakeKube() as running:
        running.add_node("n1")
        running.objects.set_taints("n1", [OTHER, OURS])
        yield running


class Pod:
    """A container that starts again and again, as its list is invalid."""

    def __init__(self, api: FakeKube, directory: Path) -> None:
        self.gate_file = directory / "first-run"
        self.list = directory / "images.txt"
        self.list.write_text("Not An Image\n")
        self.flags = FetchFlags(
            image_list_file=(str(self.list),),
            remove_taint=("warm",),
            gate_file=str(self.gate_file),
            gate_timeout="1h",
            kubeconfig=str(api.write_kubeconfig(directory)),
            no_events=True,
        )

    def start(self) -> list[str]:
        with pytest.raises(UsageError) as caught:
            prepare(
                self.flags,
                lambda: read_images(self.flags.image_list_file, ()),
                Environment(node_name="n1", instance_name="web"),
            )
        return list(caught.value.problems)

    def pass_time(self) -> None:
        """Let the hour be over."""
        self.gate_file.unlink(missing_ok=True)
        GateRecord(str(self.gate_file), warn=pytest.fail, clock=lambda: max(time.monotonic() - 3600, 0.0))
        if time.monotonic() < 3600:
            pytest.skip("this machine has just started")

    def state(self) -> GateState:
        return GateRecord(str(self.gate_file), warn=pytest.fail).state


def test_before_its_time_is_over_nothing_is_written_and_the_count_begins(api: FakeKube, tmp_path: Path) -> None:
    pod = Pod(api, tmp_path)

    assert 1 == len(pod.start())
    assert ([], [OTHER, OURS]) == (api.requests, api.objects.taints("n1"))
    assert (True, GateState.CLOSED) == (pod.gate_file.exists(), pod.state())


def test_once_it_is_over_the_node_takes_pods_and_everything_says_why(
    api: FakeKube, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pod = Pod(api, tmp_path)
    pod.pass_time()

    problems = pod.start()

    assert [OTHER] == api.objects.taints("n1")
    assert {"nodeprefetch.io/web": "failed"} == api.labels("n1")
    summary = json.loads(api.annotations("n1")["nodeprefetch.io/web.summary"])
    assert ("not-started", True) == (summary["end"], summary["gave_up"])
    log = capsys.readouterr().err
    assert 'level=WARN msg="gate opened without all images"' in log
    assert problems[0].partition('"')[0] in log
    assert 'msg="taints removed" taints=warm:NoSchedule' in log
    assert GateState.GAVE_UP is pod.state()


def test_a_later_start_finds_nothing_left_to_remove(api: FakeKube, tmp_path: Path) -> None:
    pod = Pod(api, tmp_path)
    pod.pass_time()
    pod.start()
    before = len(api.requests)

    pod.start()

    # How often the node is read depends on what is under way when the time for that is over.
    assert [("PATCH", "application/merge-patch+json")] == [
        (each.method, each.content_type) for each in api.requests[before:] if each.method != "GET"
    ]  # labeled again; taints are removed by JSON patches


def test_a_list_of_needed_images_that_is_invalid_is_no_reason_to_wait(api: FakeKube, tmp_path: Path) -> None:
    pod = Pod(api, tmp_path)
    pod.list.write_text("nginx:1\n")
    needs = tmp_path / "needs.txt"
    needs.write_text("redis:7\n")
    pod.flags = FetchFlags(**{**vars(pod.flags), "gate_needs": str(needs)})
    pod.pass_time()

    assert [f"--gate-needs: {needs}:1: redis:7 is not in the image lists"] == pod.start()
    assert [OTHER] == api.objects.taints("n1")
