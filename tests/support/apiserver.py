"""A real Kubernetes API server on loopback with an etcd of its own: objects and rights, no controllers and no nodes.

What controllers would make (service accounts of namespaces, pods of DaemonSets) the test makes itself. Needs `trustme`.
"""

import json
import ssl
import urllib.error
import urllib.request
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import trustme

from tests.support.cluster_programs import api_server_program, programs_directory
from tests.support.kubectl import Kubectl
from tests.support.patience import PATIENCE
from tests.support.ports import free_ports
from tests.support.spawn import Daemon, DaemonError, find_program

AUDIENCE = "https://kubernetes.test"
"""Of tokens for the API server itself."""


class Answer(NamedTuple):
    """Of the API server."""

    status: int
    body: dict[str, Any]
    """The object; or a `Status`, where it refuses."""

    @property
    def message(self) -> str:
        """Why it refuses."""
        return str(self.body.get("message", "")) if self.status >= HTTPStatus.BAD_REQUEST else ""


class ApiServer:
    """An API server with RBAC, and an administrator; a context manager.

    Args:
        directory: for certificates, data and logs.
        version: minor version, such as `1.30`; the newest without it.
        program: the API server, in place of the one `dev/cluster build` made.

    Raises:
        DaemonError: a program is missing.
    """

    def __init__(self, directory: Path, *, version: str = "", program: Path | None = None) -> None:
        self._directory = directory.absolute()
        self.version = version
        self._program = program or api_server_program(version)
        etcd = find_program("etcd")
        if etcd is None or not self._program.exists():
            raise DaemonError(f"etcd or {self._program} not found (run dev/cluster build)")
        self._etcd = etcd
        self._port = 0
        self._daemons = ExitStack()
        self._server: Daemon | None = None
        self._authority = trustme.CA()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"https://127.0.0.1:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a pod finds in its environment."""
        return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self._port)}

    @property
    def kubeconfig(self) -> Path:
        """A file that leads here as the administrator."""
        return self._directory / "admin.kubeconfig"

    @property
    def kubectl(self) -> Kubectl:
        """As the administrator."""
        return self._kubectl(self.kubeconfig)

    def kubectl_with(self, token: str) -> Kubectl:
        """As whose token it is."""
        return self._kubectl(self.kubeconfig_with(token))

    def kubeconfig_with(self, token: str) -> Path:
        """A file that leads here with that token."""
        number = len(list(self._directory.glob("token-*.kubeconfig")))
        return self._write_kubeconfig(f"token-{number}", {"token": token})

    def write_service_account(self, mount: Path, token: str) -> None:
        """Write what the kubelet mounts into a pod."""
        mount.mkdir(parents=True, exist_ok=True)
        (mount / "token").write_text(token)
        (mount / "ca.crt").write_bytes((self._directory / "ca.crt").read_bytes())
        (mount / "namespace").write_text("default")

    def ask(
        self,
        method: str,
        path: str,
        *,
        token: str = "",
        certificate: str = "",
        user: str = "",
        body: object = None,
        content_type: str = "",
    ) -> "Answer":
        """Send one request.

        kubectl will not do where it reads before it writes, which takes other rights.

        Args:
            method: of HTTP.
            path: with the query.
            token: of who asks.
            certificate: the same, from `kubelet_login`.
            user: to act as.
            body: sent as JSON.
            content_type: of the body; JSON without it.
        """
        headers = {"Content-Type": content_type or "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if user:
            headers["Impersonate-User"] = user
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        context = ssl.create_default_context(cafile=str(self._directory / "ca.crt"))
        if certificate:
            context.load_cert_chain(self._directory / f"{certificate}.crt", self._directory / f"{certificate}.key")
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE, context=context) as answer:
                return Answer(answer.status, json.load(answer))
        except urllib.error.HTTPError as refusal:
            return Answer(refusal.code, json.load(refusal))

    def kubelet_login(self, node: str) -> str:
        """Make a certificate with which the kubelet of a node logs in. Returns what `ask` takes."""
        certificate = self._authority.issue_cert(
            f"{node}.test", common_name=f"system:node:{node}", organization_name="system:nodes"
        )
        self._write_pair(node, certificate)
        return node

    def token(self, namespace: str, account: str, *, audience: str = "", pod: str = "") -> str:
        """A token of a service account, by TokenRequest.

        Args:
            namespace: of the account.
            account: its name.
            audience: whom it is for; the API server without it.
            pod: name of a pod it is bound to, as the kubelet does it.
        """
        bound: list[str] = []
        if pod:
            uid = self.kubectl.get("pod", pod, namespace)["metadata"]["uid"]
            bound = ["--bound-object-kind=Pod", f"--bound-object-name={pod}", f"--bound-object-uid={uid}"]
        if audience:
            bound.append(f"--audience={audience}")
        return self.kubectl.run("create", "token", account, f"--namespace={namespace}", *bound).strip()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._daemons.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._daemons.close()

    def _start(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        client, peer, self._port = free_ports(3)
        urls = [f"http://127.0.0.1:{port}" for port in (client, peer)]
        self._run(
            "etcd",
            [
                self._etcd,
                f"--data-dir={self._directory / 'etcd'}",
                "--unsafe-no-fsync",
                f"--listen-client-urls={urls[0]}",
                f"--advertise-client-urls={urls[0]}",
                f"--listen-peer-urls={urls[1]}",
                f"--initial-advertise-peer-urls={urls[1]}",
                f"--initial-cluster=default={urls[1]}",
            ],
        ).wait_until(lambda: _answers(f"{urls[0]}/health"), patience=PATIENCE)
        self._certify()
        self._server = self._run("kube-apiserver", [str(self._program), *self._flags(urls[0])])
        context = ssl.create_default_context(cafile=str(self._directory / "ca.crt"))
        self._server.wait_until(lambda: _answers(f"{self.url}/readyz", context), patience=PATIENCE)

    def _run(self, name: str, command: list[str]) -> Daemon:
        daemon = Daemon(command, self._directory / f"{name}.log", {})
        self._daemons.callback(daemon.kill)  # what they keep goes with the directory: no order is needed
        return daemon

    def _flags(self, etcd: str) -> list[str]:
        at = self._directory
        return [
            f"--etcd-servers={etcd}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--secure-port={self._port}",
            "--service-cluster-ip-range=10.97.0.0/16",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",  # as kubeadm does
            "--allow-privileged=true",
            f"--client-ca-file={at / 'ca.crt'}",
            f"--tls-cert-file={at / 'server.crt'}",
            f"--tls-private-key-file={at / 'server.key'}",
            f"--service-account-issuer={AUDIENCE}",
            f"--service-account-key-file={at / 'server.key'}",
            f"--service-account-signing-key-file={at / 'server.key'}",
        ]

    def _certify(self) -> None:
        self._authority.cert_pem.write_to_path(str(self._directory / "ca.crt"))
        server = self._authority.issue_cert("127.0.0.1", "localhost")
        admin = self._authority.issue_cert("admin.test", common_name="admin", organization_name="system:masters")
        self._write_pair("server", server)
        self._write_pair("admin", admin)
        files = {"client-certificate": "admin.crt", "client-key": "admin.key"}
        self._write_kubeconfig("admin", {name: str(self._directory / file) for name, file in files.items()})

    def _write_pair(self, name: str, certificate: trustme.LeafCert) -> None:
        (self._directory / f"{name}.crt").write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
        certificate.private_key_pem.write_to_path(str(self._directory / f"{name}.key"))

    def _write_kubeconfig(self, name: str, user: dict[str, Any]) -> Path:
        cluster = {"server": self.url, "certificate-authority": str(self._directory / "ca.crt")}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }
        path = self._directory / f"{name}.kubeconfig"
        path.write_text(json.dumps(config))
        return path

    def _kubectl(self, kubeconfig: Path) -> Kubectl:
        return Kubectl(
            command=[str(programs_directory() / "kubectl"), f"--kubeconfig={kubeconfig}"],
            environment={"KUBECACHEDIR": str(self._directory / "cache")},
        )


def _answers(url: str, context: ssl.SSLContext | None = None) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5, context=context) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
