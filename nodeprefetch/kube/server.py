"""Finds the API server from inside a pod: its address, its certificate authority, and the login."""

import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nodeprefetch.errors import UsageError
from nodeprefetch.kube.errors import NotInClusterError
from nodeprefetch.text.plain_file import read_plain_file
from nodeprefetch.text.token_file import TokenFile

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet mounts a pod's token and the API server's certificate authority."""

LARGEST_FILE = 1 << 20
"""Bytes of a token, a certificate or a kubeconfig."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiServer:
    """An API server, and how to log in there."""

    url: str
    """`http://` or `https://`, with the path under which the API is served."""

    authorization: Callable[[], Awaitable[str]] = field(repr=False)
    """Returns the value of the header `Authorization` for the next call; empty: no header."""

    tls: ssl.SSLContext | None = None
    """For https."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KubeLogin:
    """What a context of a kubeconfig says."""

    server: ApiServer
    namespace: str
    """`default` if the context names none."""


class TrustedTls(ssl.SSLContext):
    """Trusts the authorities in a file, rereads it for every connection, and checks one name of the server.

    Clusters renew their authority, and an aggregator runs for months. `ssl.create_default_context` would not do: from
    Python 3.13 on it refuses authorities that clusters have and that Go accepts.
    """

    authority: Path | None = None
    """PEM; None: trust the system's."""

    server_name = ""
    """Name or address that the server's certificate must be for."""

    @classmethod
    def load(cls, authority: Path | None, server_name: str) -> "TrustedTls":
        """A context that has read its authorities.

        Raises:
            OSError: the file cannot be read, or holds no certificate.
            ValueError: it is not a text.
        """
        tls = cls(ssl.PROTOCOL_TLS_CLIENT)
        tls.authority, tls.server_name = authority, server_name
        if authority is None:
            tls.load_default_certs()
        else:
            tls._read_authority(authority)
        return tls

    @classmethod
    def of(cls, authorities: bytes, server_name: str) -> "TrustedTls":
        """A context that trusts these authorities.

        Raises:
            OSError: they hold no certificate.
            ValueError: they are not a text.
        """
        tls = cls(ssl.PROTOCOL_TLS_CLIENT)
        tls.server_name = server_name
        tls.load_verify_locations(cadata=authorities.decode("ascii"))
        return tls

    def skip_verification(self) -> None:
        """Trust any server, as `insecure-skip-tls-verify` in a kubeconfig asks for."""
        self.check_hostname = False
        self.verify_mode = ssl.CERT_NONE

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """Called for each new connection."""
        if self.authority is not None:
            with suppress(OSError, ValueError):  # the authorities read before are still trusted
                self._read_authority(self.authority)
        return super().wrap_bio(*args, **{**kwargs, "server_hostname": self.server_name})

    def _read_authority(self, authority: Path) -> None:
        self.load_verify_locations(cadata=read_plain_file(authority, LARGEST_FILE).decode("ascii"))


def namespace_of_pod(mount: Path) -> str:
    """The namespace of this pod.

    Args:
        mount: directory of its service account.

    Raises:
        NotInClusterError: the file with its name cannot be read, or is empty.
    """
    file = mount / "namespace"
    try:
        namespace = read_plain_file(file, LARGEST_FILE).decode("ascii").strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise NotInClusterError(f"cannot read the pod's namespace from {file}: {why}") from error
    if not namespace:
        raise NotInClusterError(f"cannot read the pod's namespace from {file}: the file is empty")
    return namespace


def api_server_of_pod(environment: Mapping[str, str], mount: Path) -> ApiServer:
    """The API server of this pod's cluster, with the pod's service account as login.

    The kubelet renews tokens in place, so the file is read for every call.

    Args:
        environment: with `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`.
        mount: directory with `token` and `ca.crt`.

    Raises:
        NotInClusterError: a variable or a file is missing.
    """
    host, port = (environment.get(f"KUBERNETES_SERVICE_{part}", "") for part in ("HOST", "PORT"))
    if not (host and port):
        raise NotInClusterError(
            "not running in a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set"
        )
    try:
        tls = TrustedTls.load(mount / "ca.crt", host)
        token = TokenFile(mount / "token")
    except (OSError, ValueError, UsageError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise NotInClusterError(
            f"cannot use the service account in {mount}: {why} (is automountServiceAccountToken off?)"
        ) from error

    async def authorization() -> str:
        return f"Bearer {token.token()}"

    return ApiServer(url=f"https://{f'[{host}]' if ':' in host else host}:{port}", tls=tls, authorization=authorization)
