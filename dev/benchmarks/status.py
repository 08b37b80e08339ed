"""Measure `status` as a process: with many nodes, from the aggregator through the API server, and from node labels.

The API server here answers with what is prepared, compressed as a real one does it: what a real one needs for such
answers comes on top.
"""

import gzip
import http.client
import json
import resource
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from benchmarks.figures import Figure
from benchmarks.processes import RunError
from benchmarks.surroundings import Surroundings
from nodeprefetch.events import ImageFinished, Outcome, RunEnd, RunFinished
from nodeprefetch.settings import PullPolicy
from tests.support.aggregator_program import AggregatorProgram
from tests.support.batches import batch_of, begun
from tests.support.cluster_objects import config_map, daemon_set, digest_of, node, pod

_NODES, _ROUNDS = 1000, 7
_IMAGES = tuple(f"quay.io/team/image-{number:02}:v1.{number}" for number in range(40))
_COMPRESSED_FROM = 128 * 1024
"""Bytes of an answer, as in the API server."""

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent"}
Board = Callable[[], bytes] | None


def status(around: Surroundings) -> Iterator[Figure]:
    """Measure seconds and CPU seconds of `nodeprefetch status`."""
    yield from _figures(around, "1 node, from its label", 1, None)
    yield from _figures(around, f"{_NODES} nodes, from their labels", _NODES, None)
    directory = around.directory / "status-aggregator"
    directory.mkdir()
    with AggregatorProgram(directory, keeps=False) as aggregator:
        _submit(aggregator)
        name = f"{_NODES} nodes x {len(_IMAGES)} images, from the aggregator"
        yield from _figures(around, name, _NODES, lambda: aggregator.ask("/v1/board?instance=web").body)


def _figures(around: Surroundings, name: str, nodes: int, board: Board) -> Iterator[Figure]:
    with _served(around.directory, nodes, board) as kubeconfig:
        command = [around.product.python, "-m", "nodeprefetch", "status", f"--kubeconfig={kubeconfig}", "--output=json"]
        _run(command, nodes)
        runs = [_run(command, nodes) for _ in range(_ROUNDS)]
    yield Figure(name=f"status of {name}", unit="s", values=tuple(wall for wall, _ in runs), goal=1.0)
    yield Figure(name="  CPU", unit="s", values=tuple(cpu for _, cpu in runs))


def _run(command: Sequence[str], nodes: int) -> tuple[float, float]:
    """Seconds and CPU seconds of a run, whose answer must be right."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    ended = subprocess.run(command, capture_output=True, env=_ENVIRONMENT, cwd="/", check=False)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode:
        raise RunError(f"{command} ended with {ended.returncode}: {ended.stderr[-2000:]!r}")
    (picture,) = json.loads(ended.stdout)
    if [each["state"] for each in picture["nodes"]] != ["warm"] * nodes:
        raise RunError(f"not all nodes are warm: {ended.stdout[:1000]!r}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _submit(aggregator: AggregatorProgram) -> None:
    """The results of all nodes."""
    headers = {"content-type": "application/msgpack"}
    with closing(http.client.HTTPConnection("127.0.0.1", aggregator.http_port)) as connection:
        for name in map(_name, range(_NODES)):
            images = [
                ImageFinished(
                    image=image,
                    outcome=Outcome.SUCCEEDED,
                    policy=PullPolicy.IF_NOT_PRESENT,
                    attempts=1,
                    elapsed=2.0,
                    size=250_000_000,
                    digest=f"sha256:{number:064x}",
                )
                for number, image in enumerate(_IMAGES)
            ]
            finished = RunFinished(
                run_id=name, end=RunEnd.FINISHED, succeeded=len(_IMAGES), present=0, failed=0, elapsed=9
            )
            first = begun(*_IMAGES, run_id=name, node=name, list_digest=digest_of(_IMAGES))
            batch = batch_of(first, *images, finished, run_id=name, node=name, instance="web")
            connection.request("POST", "/v1/events", msgspec.msgpack.encode(batch), headers)
            answer = connection.getresponse()
            if answer.read() and answer.status != http.client.OK:
                raise RunError(f"the aggregator answered {answer.status}")


@contextmanager
def _served(directory: Path, nodes: int, board: Board) -> Iterator[Path]:
    """An API server for an installation with so many nodes. Yields a kubeconfig."""
    answers = _Answers(nodes, board)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            code, body, is_compressed = answers.to(self.path)
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if is_compressed:
                self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    config = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_address[1]}"}}],
        "users": [{"name": "u", "user": {"token": "token"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
    path = directory / "status-kubeconfig"
    path.write_text(json.dumps(config))
    try:
        yield path
    finally:
        server.shutdown()
        server.server_close()


class _Answers:
    """Made at the first request for each."""

    def __init__(self, nodes: int, board: Board) -> None:
        self._nodes = nodes
        self._board = board
        self._made: dict[str, tuple[int, bytes, bool]] = {}

    def to(self, path: str) -> tuple[int, bytes, bool]:
        """Status code, body, and whether it is compressed."""
        if "/proxy/" in path and self._board is not None:
            return 200, self._board(), False
        if path not in self._made:
            found = self._find(urlsplit(path).path)
            body = json.dumps(_page(found, path) if isinstance(found, list) else found or {}).encode()
            is_compressed = len(body) >= _COMPRESSED_FROM
            body = gzip.compress(body, 4) if is_compressed else body
            self._made[path] = (404 if found is None else 200, body, is_compressed)
        return self._made[path]

    def _find(self, path: str) -> Any:
        names = map(_name, range(self._nodes))
        match path.rsplit("/", maxsplit=1)[-1], path.split("/")[-2]:
            case "daemonsets", _:
                return [daemon_set(desired=self._nodes)]
            case "pods", _:
                return list(map(_pod, names))
            case "nodes", _:
                return [node(name, images=_IMAGES) for name in names]
            case "web", "configmaps":
                return config_map(_IMAGES)
        return None


def _page(objects: list[dict[str, Any]], path: str) -> dict[str, Any]:
    query = dict(parse_qsl(urlsplit(path).query))
    start, limit = int(query.get("continue", "0")), int(query["limit"])
    rest = {"continue": str(start + limit)} if start + limit < len(objects) else {}
    return {"kind": "List", "metadata": rest, "items": objects[start : start + limit]}


def _pod(name: str) -> dict[str, Any]:
    """A pod of the size that real ones have, 5 KB."""
    found = pod(name)
    found["metadata"]["managedFields"] = [
        {"manager": "kubelet", "fieldsV1": {f"f:{number}": {} for number in range(150)}}
    ]
    spec = daemon_set()["spec"]["template"]["spec"]
    found["spec"] |= {"containers": spec["containers"], "initContainers": spec["initContainers"]}
    found["spec"]["tolerations"] = [{"key": f"key-{number}", "operator": "Exists"} for number in range(8)]
    return found


def _name(number: int) -> str:
    return f"node-{number:04}"
