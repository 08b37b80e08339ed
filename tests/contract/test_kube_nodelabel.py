"""A node's label through the real client, over real HTTPS, from the first attempt to the grace at the end."""

import json

import pytest
import trio

from nodeprefetch.events import AttemptStarted, ImageFinished, NodeLabelled, Outcome, RunEnd, RunFinished, RunStarted
from nodeprefetch.kube import connect
from nodeprefetch.report.node_api import NodeApi
from nodeprefetch.report.node_label import NodeLabel
from nodeprefetch.settings import PullPolicy
from tests.support.fake_kube import CLOSE, STALL, Failure, FakeKube

PREFIX = "image-prefetcher.stackrox.io"
KEY, SUMMARY = f"{PREFIX}/web", f"{PREFIX}/web.summary"


@pytest.fixture
def api():
    with FakeKube() as running:
        running.add_node("n1", {KEY: "succeeded", "other": "1"})
        yield running


class Labelling:
    def __init__(self, api: FakeKube, mount, node: str = "n1") -> None:
        self.api = api
        self.complaints: list[str] = []
        self.told: list[NodeLabelled] = []
        api.write_service_account(mount)
        self.label = NodeLabel(
            NodeApi(
                node,
                connect=lambda: connect(environment=api.environment, mount=mount),
                warn=self.complaints.append,
                jitter=lambda: 0.1,
            ),
            "web",
            prefix=PREFIX,
            emit=self.told.append,
        )

    def start(self) -> None:
        self.label.emit(RunStarted(run_id="r", node="n1", version="1", runtime="c", socket="/s", images=("a:1",)))
        self.label.emit(AttemptStarted(attempt_id="x", image="a:1", attempt=1, limit=30))

    def end(self, outcome: Outcome = Outcome.SUCCEEDED, error: str = "") -> None:
        failed = int(outcome is Outcome.FAILED)
        self.label.emit(
            ImageFinished(image="a:1", outcome=outcome, policy=PullPolicy.ALWAYS, attempts=1, elapsed=1, error=error)
        )
        self.label.emit(
            RunFinished(run_id="r", end=RunEnd.FINISHED, succeeded=1 - failed, present=0, failed=failed, elapsed=1)
        )

    def methods(self) -> list[str]:
        return [request.method for request in self.api.requests]


async def test_a_stale_label_goes_and_the_new_one_comes(api, tmp_path):
    labelling = Labelling(api, tmp_path)
    labelling.start()
    await labelling.label.run()
    meanwhile = api.labels("n1")
    labelling.end(Outcome.FAILED, "not found")
    await labelling.label.finish()

    assert ({"other": "1"}, {"other": "1", KEY: "failed"}) == (meanwhile, api.labels("n1"))
    assert {"image": "a:1", "error": "not found"} == json.loads(api.annotations("n1")[SUMMARY])["first_failure"]
    assert ["GET", "PATCH", "PATCH"] == labelling.methods()
    assert ([], ["", "failed"]) == (labelling.complaints, [each.value for each in labelling.told])


@pytest.mark.parametrize(
    "failure",
    [
        Failure(status=500),
        Failure(status=503, headers={"Retry-After": "0"}, body=b"<html>gone</html>"),
        Failure(status=429, headers={"Retry-After": "0"}),
        Failure(status=409),
        Failure(how=CLOSE),
        Failure(how=CLOSE, is_carried_out=True),
    ],
    ids=str,
)
async def test_a_server_in_trouble_gets_the_label_in_the_end(api, tmp_path, failure):
    labelling = Labelling(api, tmp_path)
    api.fail(failure, failure)
    labelling.end()

    await labelling.label.finish()

    assert {"other": "1", KEY: "succeeded"} == api.labels("n1")
    assert 3 == len(api.requests)


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_server_that_refuses_is_asked_once(api, tmp_path, status):
    labelling = Labelling(api, tmp_path)
    api.fail(Failure(status=status))
    labelling.end()

    await labelling.label.finish()

    assert (["PATCH"], 1) == (labelling.methods(), len(labelling.complaints))
    assert [f"patching node n1: {status}: it was told to fail"] == [each.error for each in labelling.told]


async def test_a_node_that_does_not_exist_is_named(api, tmp_path):
    labelling = Labelling(api, tmp_path, node="n2")

    await labelling.label.finish()

    (complaint,) = labelling.complaints
    assert 'patching node n2: 404: nodes "n2" not found (NODE_NAME must be' in complaint


async def test_a_server_that_says_nothing_costs_the_grace_and_no_more(api, tmp_path):
    labelling = Labelling(api, tmp_path)
    labelling.start()
    await labelling.label.run()
    api.fail(Failure(how=STALL))
    began = trio.current_time()

    with trio.move_on_after(0.3):
        await labelling.label.finish()

    assert 2 > trio.current_time() - began
    assert ["no time left: no answer yet"] == [each.error for each in labelling.told if each.value]


async def test_the_end_may_come_while_the_client_is_being_loaded(api, tmp_path):
    labelling = Labelling(api, tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(labelling.label.run)
        await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    labelling.end()

    await labelling.label.finish()

    assert "succeeded" == api.labels("n1")[KEY]
