"""A fake Kubernetes API server on 127.0.0.1, over real HTTPS: nodes to read and patch, events, tokens to review.

It checks the caller's bearer token, fails as told, and keeps what it was asked. Needs `trustme`.
"""

import copy
import json
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

import trustme

from tests.support.kube_objects import Answer, KubeObjects, ReviewedToken, refusal

CLOSE, STALL = "close", "stall"
"""Failures without an answer: the connection is closed; nothing comes until the client leaves or the server stops."""

_POLL = 0.02  # seconds until `stop` is noticed


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """What happens to one request in place of its answer."""

    status: int | None = None
    how: str = ""
    """Without a status: `CLOSE` or `STALL`."""

    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """None: a `Status` object, as API servers answer."""

    is_carried_out: bool = False
    """The request takes effect all the same: the answer alone is lost."""

    method: str = ""
    """Only requests with this method; empty: any."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KubeRequest:
    """A request as it came."""

    method: str
    path: str
    content_type: str
    token: str
    """Bearer token; without one, the common name of the client's certificate."""

    body: Any
    """JSON, decoded; None without one."""

    user: str = ""
    """Whom the caller wants to act as."""


class FakeKube:
    """The server: serves from entering to leaving the `with` block.

    Args:
        tokens: bearer tokens of callers that are let in.
    """

    def __init__(self, *, tokens: tuple[str, ...] = ("service-account-token",)) -> None:
        self.tokens = list(tokens)
        self.objects = KubeObjects()
        self.requests: list[KubeRequest] = []
        self.failures: list[Failure] = []
        """Met by the next requests, in order; one that wants another method waits for it."""

        self.stopping = threading.Event()
        self.accepted = 0
        """Connections so far."""

        self.connections = 0
        """Open now."""

        self.unread = 0
        """Answers that the client did not read to their end."""

        self._lock = threading.Lock()
        self._authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        self._authority.configure_trust(context)
        context.verify_mode = ssl.CERT_OPTIONAL
        self._server = _Server(self, context)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def environment(self) -> dict[str, str]:
        """What the kubelet tells a pod of it."""
        return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self.port)}

    def add_node(
        self, name: str, labels: Mapping[str, str] | None = None, annotations: Mapping[str, str] | None = None
    ) -> None:
        """One more node."""
        self.objects.add_node(name, labels or {}, annotations or {})

    def labels(self, node: str) -> dict[str, str]:
        """The labels of a node."""
        return self.objects.metadata(node, "labels")

    def annotations(self, node: str) -> dict[str, str]:
        """The annotations of a node."""
        return self.objects.metadata(node, "annotations")

    def conditions(self, node: str) -> dict[str, dict[str, Any]]:
        """The conditions of a node, by type."""
        return self.objects.conditions(node)

    def set_conditions(self, node: str, conditions: list[dict[str, Any]]) -> None:
        """Somebody else writes all conditions of a node."""
        self.objects.set_conditions(node, conditions)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events in the namespace `default`."""
        return copy.deepcopy(self.objects.events)

    def know_token(self, token: str, reviewed: ReviewedToken) -> None:
        """What reviews of a token find; all others are unknown."""
        self.objects.tokens[token] = reviewed

    def fail(self, *failures: Failure) -> None:
        """Let the next requests meet these."""
        with self._lock:
            self.failures.extend(failures)

    def methods(self) -> list[str]:
        """The methods of the requests so far."""
        return [request.method for request in self.requests]

    def write_service_account(self, directory: Path, token: str | None = None) -> Path:
        """A service account's mount, as the kubelet makes it. Returns the directory."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "token").write_text(token or self.tokens[0])
        (directory / "namespace").write_text("prefetch")
        self._authority.cert_pem.write_to_path(directory / "ca.crt")
        return directory

    def write_kubeconfig(
        self,
        directory: Path,
        token: str | None = None,
        *,
        user: Mapping[str, Any] | None = None,
        cluster: Mapping[str, Any] | None = None,
    ) -> Path:
        """A kubeconfig. Returns its path.

        Args:
            directory: where it is written.
            token: bearer token.
            user: how to log in, in place of the token.
            cluster: added to what leads here, or replacing it.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self._authority.cert_pem.write_to_path(directory / "authority.pem")
        here = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority": "authority.pem", **(cluster or {})}
        path = directory / "kubeconfig"
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "fake", "cluster": here}],
                    "users": [{"name": "me", "user": user or {"token": token or self.tokens[0]}}],
                    "contexts": [{"name": "here", "context": {"cluster": "fake", "user": "me"}}],
                    "current-context": "here",
                }
            )
        )
        return path

    def write_certificate(self, directory: Path, name: str) -> dict[str, str]:
        """A client's certificate and its key. Returns them as a kubeconfig's user has them."""
        directory.mkdir(parents=True, exist_ok=True)
        issued = self._authority.issue_cert(common_name=name)
        issued.cert_chain_pems[0].write_to_path(directory / "client.pem")
        issued.private_key_pem.write_to_path(directory / "client.key")
        return {"client-certificate": "client.pem", "client-key": "client.key"}

    def count(self, change: int) -> None:
        """A connection has come (1) or gone (-1). Called by the connections' threads."""
        with self._lock:
            self.connections += change
            self.accepted += max(change, 0)

    def take(self, request: KubeRequest) -> tuple[Answer, Failure | None]:
        """What becomes of a request. Called by the connections' threads."""
        with self._lock:
            self.requests.append(request)
            wanted = (failure for failure in self.failures if failure.method in ("", request.method))
            failure = next(wanted, None)
            if failure is not None:
                self.failures.remove(failure)
                if not failure.is_carried_out:
                    return refusal(failure.status or 500, "it was told to fail"), failure
            if request.token not in self.tokens:
                return refusal(401, "Unauthorized"), failure
            return self.objects.answer(request.method, request.path, request.content_type, request.body), failure


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, kube: FakeKube, context: ssl.SSLContext) -> None:
        self.kube = kube
        self._context = context
        self._thread: threading.Thread | None = None
        super().__init__(("127.0.0.1", 0), _Handler, bind_and_activate=False)

    def start(self) -> None:
        self.server_bind()
        self.server_activate()
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": _POLL}, name="fake API server", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        self.kube.stopping.set()
        self.shutdown()
        self.server_close()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands in the connection's own thread."""
        self.kube.count(1)
        try:
            with self._context.wrap_socket(request, server_side=True) as connection:
                super().finish_request(connection, client_address)
        finally:
            self.kube.count(-1)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave, or do not trust us, are nothing special."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30  # seconds a kept connection may be idle
    server: _Server

    def log_message(self, *_: object) -> None:
        """Nothing to the terminal."""

    def do_GET(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer, failure = self.server.kube.take(
            KubeRequest(
                method=self.command,
                path=unquote(self.path),
                content_type=self.headers.get("Content-Type", ""),
                token=(self.headers.get("Authorization") or _common_name(self.connection)).removeprefix("Bearer "),
                body=json.loads(data) if data else None,
                user=self.headers.get("Impersonate-User", ""),
            )
        )
        if failure is not None and failure.status is None:
            self._give_no_answer(failure)
            return
        status = answer.status if failure is None else failure.status
        body = _encoded(answer.body) if failure is None or failure.body is None else failure.body
        self.send_response(status or answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (failure.headers if failure else {}).items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            self.server.kube.unread += 1
            raise

    do_POST = do_PATCH = do_GET  # noqa: N815 (names given by http.server)

    def _give_no_answer(self, failure: Failure) -> None:
        self.close_connection = True
        if failure.how == STALL:
            self.connection.settimeout(_POLL)
            while not self.server.kube.stopping.is_set():
                with suppress(TimeoutError):
                    if not self.connection.recv(1):
                        return
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def _encoded(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def _common_name(connection: ssl.SSLSocket) -> str:
    certificate: Any = connection.getpeercert() or {}
    names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    return str(names[0]) if names else ""
