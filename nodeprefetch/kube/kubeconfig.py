"""Reads kubeconfig files with the loader of `kubernetes`, which knows login programs, auth providers and certificates.

The only module that imports `kubernetes`: that takes 0.3 s and 54 MiB, so do it in a worker thread.
"""

from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trio

from nodeprefetch.kube.errors import KubeConfigError, KubeError
from nodeprefetch.kube.messages import one_line
from nodeprefetch.kube.server import LARGEST_FILE, ApiServer, TrustedTls
from nodeprefetch.text.plain_file import read_plain_file


def api_server_of_kubeconfig(path: str) -> ApiServer:
    """The API server of the current context of a kubeconfig file. Blocks; may run a login program.

    Raises:
        KubeConfigError: the file cannot be used.
    """
    from kubernetes.client import Configuration  # type: ignore[import-untyped] # noqa: PLC0415
    from kubernetes.config import ConfigException, load_kube_config  # type: ignore[import-untyped] # noqa: PLC0415

    configuration = Configuration()
    try:
        read_plain_file(Path(path), LARGEST_FILE)
        load_kube_config(config_file=path, client_configuration=configuration, persist_config=False)
        tls = _tls(configuration)
    except OSError as error:
        raise KubeConfigError(f"cannot read the kubeconfig {path}: {error.strerror or type(error).__name__}") from error
    except Exception as error:  # noqa: BLE001 - what a foreign loader raises on an invalid file; it may quote secrets
        why = one_line(str(error), ()) if isinstance(error, ConfigException) else type(error).__name__
        raise KubeConfigError(f"cannot use the kubeconfig {path}: {why}") from None
    return ApiServer(url=configuration.host, tls=tls, authorization=partial(_authorization, configuration))


def _tls(configuration: Any) -> TrustedTls | None:
    url = urlsplit(configuration.host)
    if url.scheme != "https":
        return None
    authority = Path(configuration.ssl_ca_cert) if configuration.ssl_ca_cert else None
    tls = TrustedTls.load(authority, configuration.tls_server_name or url.hostname or "")
    if not configuration.verify_ssl:
        tls.skip_verification()
    if configuration.cert_file:
        tls.load_cert_chain(configuration.cert_file, configuration.key_file, password="")  # never ask on the terminal
    return tls


async def _authorization(configuration: Any) -> str:
    """The header's value. When the token has expired, the loader logs in again, which may run a program."""
    login = partial(configuration.get_api_key_with_prefix, "authorization")
    try:
        value = await trio.to_thread.run_sync(login, abandon_on_cancel=True)
    except Exception as error:  # noqa: BLE001 - whatever a foreign login raises; it may quote secrets
        raise KubeError(f"the login of the kubeconfig failed: {type(error).__name__}") from None
    return str(value or "")
