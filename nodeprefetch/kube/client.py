"""Loads and builds a client of `kubernetes`: in the cluster by the pod's service account, elsewhere by a kubeconfig.

All of this blocks, and is meant for a worker thread.
"""

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from nodeprefetch.kube.errors import KubeConfigError, NotInClusterError
from nodeprefetch.kube.exchange import exchange
from nodeprefetch.text.plain_file import read_plain_file

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet mounts a pod's token and the API server's certificate authority."""

THREADS = 16
"""How many calls may be under way, and so how many connections are kept."""

LARGEST_ANSWER = 2 << 20
"""Bytes of an answer. The largest object that etcd stores by default has 1.5 MiB."""

_LARGEST_FILE = 1 << 20
_PACKAGES = ("kubernetes", "kubernetes.client", "kubernetes.client.models")

_loading = threading.Lock()


class Foreign(NamedTuple):
    """The classes of `kubernetes` and urllib3 that we use."""

    client: Any
    configuration: Any
    connection_error: type[Exception]
    """No answer, or a failed TLS handshake."""


def in_cluster_client(environment: Mapping[str, str], mount: Path) -> tuple[Any, Foreign]:
    """A client that logs in with the pod's service account.

    Service account tokens are renewed in place: the file is read for every call.

    Args:
        environment: `KUBERNETES_SERVICE_HOST` and `_PORT` say where the API server is.
        mount: directory with `token` and `ca.crt`.

    Raises:
        NotInClusterError: it says what is missing.
    """
    host, port = (environment.get(f"KUBERNETES_SERVICE_{part}", "") for part in ("HOST", "PORT"))
    if not (host and port):
        raise NotInClusterError("this is not a pod: KUBERNETES_SERVICE_HOST and _PORT are not set")
    authority = mount / "ca.crt"
    try:
        read_plain_file(authority, _LARGEST_FILE)
        _read_token(mount)
    except (OSError, ValueError) as error:
        raise NotInClusterError(
            f"no service account at {mount} ({error.strerror if isinstance(error, OSError) else error}): "
            "is automountServiceAccountToken off?"
        ) from error
    foreign = _load_generic()
    configuration = foreign.configuration(host=f"https://{f'[{host}]' if ':' in host else host}:{port}")
    configuration.ssl_ca_cert = str(authority)
    configuration.refresh_api_key_hook = partial(_refresh, mount)
    _refresh(mount, configuration)
    # The client takes HTTP_PROXY for https:// too, and forgets NO_PROXY, where clusters name their service network.
    configuration.proxy, configuration.no_proxy = (
        environment.get(name) or environment.get(name.lower()) for name in ("HTTPS_PROXY", "NO_PROXY")
    )
    return _build(foreign, configuration), foreign


def kubeconfig_client(path: str) -> tuple[Any, Foreign]:
    """A client as the current context of a kubeconfig file says.

    Raises:
        KubeConfigError: the file cannot be used.
    """
    foreign = _load_all()
    configuration = foreign.configuration()
    try:
        read_plain_file(Path(path), _LARGEST_FILE)
        import_module("kubernetes.config.kube_config").load_kube_config(
            config_file=path, client_configuration=configuration, persist_config=False
        )
    except OSError as error:
        raise KubeConfigError(f"the kubeconfig {path} cannot be read: {error.strerror}") from error
    except Exception as error:  # noqa: BLE001 - what a foreign loader raises on a file that is none; it may quote secrets
        said = f": {error}" if type(error).__name__ == "ConfigException" else ""
        raise KubeConfigError(f"the kubeconfig {path} cannot be used: {type(error).__name__}{said}") from None
    return _build(foreign, configuration), foreign


def _build(foreign: Foreign, configuration: Any) -> Any:
    configuration.retries = False  # ours alone: urllib3 would sleep in the thread, unseen
    configuration.connection_pool_maxsize = THREADS
    client = foreign.client(configuration)
    client.request = partial(exchange, client.rest_client.pool_manager, LARGEST_ANSWER)
    return client


def _refresh(mount: Path, configuration: Any) -> None:
    """Called by the client before every call. A token that cannot be read for a moment is still the last one."""
    try:
        configuration.api_key["authorization"] = f"Bearer {_read_token(mount)}"
    except (OSError, ValueError):
        configuration.api_key.setdefault("authorization", "")


def _read_token(mount: Path) -> str:
    token = read_plain_file(mount / "token", _LARGEST_FILE).decode("ascii").strip()
    if not token:
        raise ValueError("the token is empty")
    return token


def _load_generic() -> Foreign:
    """Load the generic client alone, without the packages' own `__init__`, which load a class for each kind of object.

    That is a sixth of the time and a third of the memory. What was loaded is not left for others to find: to them
    it would be half a package. Where somebody has loaded all of it already, that is used.
    """
    with _loading:  # a second caller finds what the first has loaded
        return _generic()


@cache
def _generic() -> Foreign:
    if "kubernetes" in sys.modules:
        return _classes()
    with _hollow_packages():
        return _classes()


def _load_all() -> Foreign:
    """Load all of it, but not the validator of manifests that it uses where that is installed: a second for nothing."""
    with _loading, _hidden("kubernetes_validate"):
        import_module("kubernetes")
        return _classes()


def _classes() -> Foreign:
    return Foreign(
        client=import_module("kubernetes.client.api_client").ApiClient,
        configuration=import_module("kubernetes.client.configuration").Configuration,
        connection_error=import_module("urllib3.exceptions").HTTPError,
    )


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """While inside, there is no such module, unless somebody has loaded it already."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment] # as import has it
    try:
        yield
    finally:
        del sys.modules[name]


@contextmanager
def _hollow_packages() -> Iterator[None]:
    """While inside, the packages are folders to import from and nothing else."""
    spec = find_spec(_PACKAGES[0])
    roots = list(spec.submodule_search_locations or ()) if spec else []
    for name in _PACKAGES:
        hollow = ModuleType(name)
        hollow.__path__ = [os.path.join(root, *name.split(".")[1:]) for root in roots]  # noqa: PTH118 - as import has it
        sys.modules[name] = hollow
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == _PACKAGES[0]]:
            del sys.modules[name]
