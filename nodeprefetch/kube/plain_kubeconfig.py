"""Reads kubeconfig files whose login is a token, a certificate or nothing: those of most administrators and scripts.

`kubeconfig.py` reads all others, and all that are wrong in any way. But it imports `kubernetes`, which takes longer
than everything else that a command for people does.
"""

import base64
import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Generic, TypeVar
from urllib.parse import urlsplit

import msgspec

from nodeprefetch.errors import UsageError
from nodeprefetch.kube.server import LARGEST_FILE, ApiServer, KubeLogin, TrustedTls
from nodeprefetch.text.plain_file import read_plain_file
from nodeprefetch.text.token_file import TokenFile

Body = TypeVar("Body")


class _Cluster(msgspec.Struct, forbid_unknown_fields=True, rename="kebab"):
    server: str
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    extensions: object = None


class _User(msgspec.Struct, forbid_unknown_fields=True, rename="kebab"):
    token: str = ""
    token_file: str = msgspec.field(name="tokenFile", default="")
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""


class _Context(msgspec.Struct):
    cluster: str
    user: str = ""
    namespace: str = ""


class _Entry(msgspec.Struct):
    name: str
    cluster: object = None
    user: object = None
    context: object = None


class _File(msgspec.Struct, rename="kebab"):
    clusters: list[_Entry] | None = None
    users: list[_Entry] | None = None
    contexts: list[_Entry] | None = None
    current_context: str | None = None


class _Found(msgspec.Struct, Generic[Body]):
    body: Body
    directory: Path
    """Of the file with it: paths in it are relative to that."""


def read_plain_kubeconfig(paths: Sequence[str], context: str | None) -> KubeLogin | None:
    """Read the files, of which the first one that says something wins. None: another reader is needed.

    Args:
        paths: of the files.
        context: its name; None: the current one.
    """
    try:
        files = [(Path(path).absolute().parent, _decoded(path)) for path in paths]
        name = context or next(filter(None, (file.current_context for _, file in files)), None) or ""
        chosen = _named(_Context, "context", name, [(at, file.contexts) for at, file in files]).body
        cluster = _named(_Cluster, "cluster", chosen.cluster, [(at, file.clusters) for at, file in files])
        user = _named(_User, "user", chosen.user, [(at, file.users) for at, file in files])
        server = ApiServer(
            url=cluster.body.server.rstrip("/"), tls=_tls(cluster, user), authorization=_authorization(user)
        )
    except (OSError, ValueError, LookupError, TypeError, UsageError, RecursionError):  # ssl.SSLError is an OSError
        return None
    return KubeLogin(server=server, namespace=chosen.namespace or "default")


def _decoded(path: str) -> _File:
    import yaml  # noqa: PLC0415 - only where there is a kubeconfig

    text = read_plain_file(Path(path), LARGEST_FILE)
    try:
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise ValueError from error
    return msgspec.convert(document, type=_File)


def _named(kind: type[Body], what: str, name: str, lists: Sequence[tuple[Path, list[_Entry] | None]]) -> _Found[Body]:
    for directory, entries in lists:
        for entry in entries or ():
            if entry.name == name:
                return _Found(msgspec.convert(getattr(entry, what), type=kind), directory)
    raise LookupError(name)


def _tls(cluster: _Found[_Cluster], user: _Found[_User]) -> TrustedTls | None:
    body, login = cluster.body, user.body
    url = urlsplit(body.server)
    if url.scheme != "https":
        return None
    name = body.tls_server_name or url.hostname or ""
    if body.certificate_authority_data:
        tls = TrustedTls.of(_base64(body.certificate_authority_data), name)
    else:
        path = body.certificate_authority
        tls = TrustedTls.load(cluster.directory / path if path else None, name)
    if body.insecure_skip_tls_verify:
        tls.skip_verification()
    if login.client_certificate or login.client_certificate_data:
        _load_client_certificate(tls, user)
    return tls


def _load_client_certificate(tls: ssl.SSLContext, user: _Found[_User]) -> None:
    """Load certificate and key. OpenSSL wants files, so data become files for a moment, which nobody else may read."""
    login = user.body
    with TemporaryDirectory(prefix="nodeprefetch-") as directory:
        certificate = _file(user, login.client_certificate, login.client_certificate_data, Path(directory) / "cert")
        key = _file(user, login.client_key, login.client_key_data, Path(directory) / "key")
        tls.load_cert_chain(certificate, key, password="")  # never ask on the terminal


def _file(user: _Found[_User], path: str, data: str, temporary: Path) -> Path:
    if data:
        temporary.write_bytes(_base64(data))
        return temporary
    return user.directory / path


def _base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _authorization(user: _Found[_User]) -> Callable[[], Awaitable[str]]:
    login = user.body
    file = TokenFile(user.directory / login.token_file) if login.token_file else None

    async def authorization() -> str:
        token = file.token() if file else login.token
        return f"Bearer {token}" if token else ""

    return authorization
