"""Reads kubeconfig files with the loader of `kubernetes`, which knows login programs, auth providers and certificates.

The only module that imports `kubernetes`: that takes 0.3 s and 54 MiB, so do it in a worker thread.
"""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trio

from nodeprefetch.kube.errors import KubeConfigError, KubeError
from nodeprefetch.kube.messages import one_line
from nodeprefetch.kube.plain_kubeconfig import read_plain_kubeconfig
from nodeprefetch.kube.server import LARGEST_FILE, ApiServer, KubeLogin, TrustedTls
from nodeprefetch.text.plain_file import read_plain_file


def find_kubeconfig(given: str | None, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Where the kubeconfig is, as `kubectl` finds it. Empty: there is none.

    Args:
        given: a file, which is not checked; None: `$KUBECONFIG`, of whose files some may be missing, otherwise
            `~/.kube/config`.
        environment: the variables.
    """
    if given is not None:
        return (given,)
    listed = [path for path in environment.get("KUBECONFIG", "").split(os.pathsep) if path]
    if listed:
        return tuple(dict.fromkeys(path for path in listed if Path(path).exists())) or (listed[0],)
    usual = Path(environment.get("HOME") or "~").expanduser() / ".kube" / "config"
    return (str(usual),) if usual.exists() else ()


def api_server_of_kubeconfig(path: str) -> ApiServer:
    """The API server of the current context of a kubeconfig file. Blocks; may run a login program.

    Raises:
        KubeConfigError: the file cannot be used.
    """
    return read_kubeconfig((path,), None).server


def read_kubeconfig(paths: Sequence[str], context: str | None) -> KubeLogin:
    """Read kubeconfig files, of which the first one that says something wins. Blocks; may run a login program.

    Args:
        paths: of the files.
        context: its name; None: the current one.

    Raises:
        KubeConfigError: there is no file, or one cannot be used.
    """
    if plain := read_plain_kubeconfig(paths, context):
        return plain
    from kubernetes.client import Configuration  # type: ignore[import-untyped] # noqa: PLC0415
    from kubernetes.config import ConfigException  # type: ignore[import-untyped] # noqa: PLC0415
    from kubernetes.config.kube_config import (  # type: ignore[import-untyped] # noqa: PLC0415
        KubeConfigLoader,
        KubeConfigMerger,
    )

    if not paths:
        raise KubeConfigError("no kubeconfig found")
    names = ", ".join(paths)
    configuration = Configuration()
    try:
        for path in paths:
            names = path
            read_plain_file(Path(path), LARGEST_FILE)
        names = ", ".join(paths)
        merged = KubeConfigMerger(os.pathsep.join(paths))
        current = (merged.config_files[path].get("current-context") for path in merged.paths)
        chosen = context or next(filter(None, current), None)
        loader = KubeConfigLoader(config_dict=merged.config, config_base_path=None, active_context=chosen)
        loader.load_and_set(configuration)
        namespace = loader.current_context["context"].get("namespace")
        tls = _tls(configuration)
    except OSError as error:
        raise KubeConfigError(
            f"cannot read the kubeconfig {names}: {error.strerror or type(error).__name__}"
        ) from error
    except Exception as error:  # noqa: BLE001 - what a foreign loader raises on an invalid file; it may quote secrets
        why = one_line(str(error), ()) if isinstance(error, ConfigException) else type(error).__name__
        raise KubeConfigError(f"cannot use the kubeconfig {names}: {why}") from None
    server = ApiServer(url=configuration.host, tls=tls, authorization=partial(_authorization, configuration))
    return KubeLogin(server=server, namespace=str(namespace or "default"))


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
