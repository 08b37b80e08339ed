"""Attacks with a node's token, which must not delete, replace or forge another node's results."""

import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hostile_runs.attack import Run, attack
from hostile_runs.plain_http import MSGPACK, packed, post, results
from nodeprefetch.events import RunFinished, RunStarted
from nodeprefetch.rpc.metrics import Result
from tests.support.aggregator_program import AggregatorProgram
from tests.support.fake_kube import FakeKube
from tests.support.kube_objects import ReviewedToken

ACCOUNT = "system:serviceaccount:prefetch:fetcher"
OK = 200


def token_of(node: str) -> str:
    """Return a token bound to a node."""
    return f"eyJhbGciOiJSUzI1NiJ9.{node}.c2ln"


@contextmanager
def guarded(run: Run, *nodes: str) -> Iterator[tuple[AggregatorProgram, FakeKube]]:
    """Start an aggregator whose API server knows these nodes' tokens."""
    with ExitStack() as stack:
        kube = stack.enter_context(FakeKube())
        for node in nodes:
            kube.know_token(
                token_of(node), ReviewedToken(username=ACCOUNT, audiences=("nodeprefetch",), node_name=node)
            )
        kubeconfig = kube.write_kubeconfig(Path(tempfile.mkdtemp(dir=run.directory)))
        flags = ["--auth=kubernetes", f"--kubeconfig={kubeconfig}"]
        yield stack.enter_context(run.aggregator(*flags)), kube


def authorized(node: str) -> dict[str, str]:
    """Return headers of a submission with the node's token."""
    return {**MSGPACK, "Authorization": f"Bearer {token_of(node)}"}


@attack("forging", "results by gRPC and HTTP with the IDs and runs of another node")
def results_of_another_node(run: Run) -> None:
    """The other node's results stay unchanged."""
    with guarded(run, "node-a", "node-b") as (program, _):
        _grpc(program, "node-b", Result(attempt_id="abc", image="img:real", error="disk on fire", node="node-b"))
        post(program, packed(results(1, prefix="same"), node="node-b", run_id="r"), authorized("node-b"))
        _grpc(program, "node-a", Result(attempt_id="abc", image="img:evil", node="node-a"))
        post(program, packed(results(1, prefix="same", text="evil"), node="node-a", run_id="r"), authorized("node-a"))
        status, _ = post(program, packed(results(1, prefix="other"), node="node-b"), authorized("node-a"))
        run.count = 3
        found = [(each.get("attempt_id"), each.get("node"), each.get("image")) for each in program.results()]
        run.expect(("abc", "node-b", "img:real") in found, "a result sent over gRPC is missing")
        run.expect(("same-0", "node-b", "registry.test/team/app-0:1") in found, "a result sent over HTTP is missing")
        run.expect(status == 403, f"a batch for another node got {status}")


def _grpc(program: AggregatorProgram, node: str, result: Result) -> None:
    import grpc  # noqa: PLC0415 - heavy

    with grpc.insecure_channel(f"127.0.0.1:{program.grpc_port}") as channel:
        call = channel.stream_unary("/Metrics/Submit", request_serializer=None, response_deserializer=None)
        try:
            call(iter([bytes(result)]), timeout=20, metadata=[("authorization", f"Bearer {token_of(node)}")])
        except grpc.RpcError:
            return


@attack("forging", "events whose own node, instance and run differ from their batch's")
def events_of_another_node(run: Run) -> None:
    """Rejected, or the batch's own values are used."""
    started = RunStarted(
        run_id="victim-run", node="victim", version="1", runtime="c", socket="s", images=("a:1",), instance="victim"
    )
    finished = RunFinished(run_id="victim-run", end="finished", succeeded=1, present=0, failed=0, elapsed=1)  # type: ignore[arg-type]
    with guarded(run, "node-a") as (program, _), program.following() as messages:
        seen: list[object] = []
        threading.Thread(target=lambda: seen.extend(messages), daemon=True).start()
        for event in (started, finished):
            run.count += 1
            post(program, packed([event], node="node-a", run_id="r"), authorized("node-a"))
        time.sleep(2)
        status = json.dumps(program.status())
        run.expect("victim" not in json.dumps(seen), "the live stream has events of another node")
        run.expect("victim" not in status, "the status has another node")
