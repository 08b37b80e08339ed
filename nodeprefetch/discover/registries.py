"""Asks registries which digest a tag stands for, with the credentials that `fetch` would use.

https://github.com/opencontainers/distribution-spec and https://distribution.github.io/distribution/spec/auth/.
"""

import base64
import re
import ssl
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from hashlib import sha256
from ipaddress import ip_address
from types import TracebackType
from typing import NamedTuple, Self, TypeVar
from urllib.parse import SplitResult, urlencode, urljoin, urlsplit

import httpcore
import msgspec
import trio

from nodeprefetch import __version__
from nodeprefetch.credentials.auth import AuthConfig, CredentialSource, Verdict
from nodeprefetch.errors import NodeprefetchError
from nodeprefetch.http_backend import Backend
from nodeprefetch.http_proxy import proxy_for, read_proxy
from nodeprefetch.text.innermost import innermost_message
from nodeprefetch.text.scrub import scrub
from nodeprefetch.values.image_ref import DEFAULT_DOMAIN, DEFAULT_TAG, ImageRef

_TIMEOUT = 30.0
"""Seconds for a request."""

_PAUSES = (1.0, 3.0)
"""Seconds before another attempt, after an error that may pass."""

_STEPS = 6
"""Requests for one answer: a challenge, and redirections such as those of registry.k8s.io."""

_LARGEST = 4 << 20
"""Bytes of a manifest, as in the specification."""

_DOCKER_HUB = "registry-1.docker.io"
_ACCEPT = (
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json,"
    " application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
)
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}")
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_REDIRECTED = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_REFUSED = frozenset({401, 403})

_INVALID = "the registry names an invalid address"

Address = TypeVar("Address")


class RegistryError(NodeprefetchError):
    """Raised when a registry does not say which digest a tag stands for. The text has no secrets."""


class _RefusedError(RegistryError):
    """The registry or its token server does not accept this login."""


class _Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class _Token(msgspec.Struct):
    token: str = ""
    access_token: str = ""


class Registries:
    """Asks registries. An asynchronous context manager, which closes its connections at the end.

    Args:
        credentials: for each image, as for `fetch`.
        environment: variables that name proxies.
    """

    def __init__(self, credentials: CredentialSource, environment: Mapping[str, str]) -> None:
        self._credentials = credentials
        self._environment = environment
        self._tls: ssl.SSLContext | None = None
        self._pools: dict[str, httpcore.AsyncConnectionPool] = {}
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        # the system's certificate authorities and certifi's, in a thread: it takes 50 ms
        self._tls = await trio.to_thread.run_sync(httpcore.default_ssl_context)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def digest(self, image: ImageRef) -> str:
        """Return the digest of an image: that of its name, or that of its tag now.

        Each credential is tried in turn, also after "not found", which may be another word for a refusal; without any,
        the registry is asked without a login.

        Raises:
            RegistryError: it is not known, for example because the registry does not have the image.
        """
        if image.digest:
            return image.digest
        with self._credentials.look_up(image) as lookup:
            credential = await lookup.next()
            while True:
                verdict = Verdict.UNDECIDED
                try:
                    found = await self._patiently(image, credential.auth if credential else None)
                    verdict = Verdict.WORKED
                except RegistryError as error:
                    verdict = Verdict.REFUSED if isinstance(error, _RefusedError) else verdict
                    failed = error
                else:
                    return found
                finally:
                    if credential is not None:
                        lookup.report(credential, verdict)
                if credential is None or (credential := await lookup.next()) is None:
                    raise failed

    async def _patiently(self, image: ImageRef, auth: AuthConfig | None) -> str:
        """Ask again after errors that may pass."""
        for pause in (*_PAUSES, None):
            try:
                with trio.fail_after(_STEPS * _TIMEOUT):
                    answer = await self._manifest("HEAD", image, auth)
                    if answer.status not in _PASSING or pause is None:
                        return await self._digest_of(answer, image, auth)
            except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError, trio.TooSlowError) as error:
                if pause is None:
                    text = "no answer" if isinstance(error, trio.TooSlowError) else innermost_message(error)
                    raise RegistryError(scrub(text, auth.secrets if auth else ())) from None
            await trio.sleep(pause)
        raise AssertionError

    async def _digest_of(self, answer: _Answer, image: ImageRef, auth: AuthConfig | None) -> str:
        if answer.status in _REFUSED:
            raise _RefusedError(f"access denied (HTTP status {answer.status}{'' if auth else ', without a login'})")
        if answer.status == 404:  # noqa: PLR2004 - HTTP
            raise RegistryError("the registry does not have this image")
        if answer.status != 200:  # noqa: PLR2004 - HTTP
            raise RegistryError(f"the registry answered with HTTP status {answer.status}")
        digest = answer.headers.get("docker-content-digest", "")
        if not digest:  # the header is optional
            whole = await self._manifest("GET", image, auth)
            digest = f"sha256:{sha256(whole.body).hexdigest()}" if whole.status == 200 else ""  # noqa: PLR2004 - HTTP
        if not _DIGEST.fullmatch(digest):
            raise RegistryError("the registry sent no valid digest")
        return digest

    async def _manifest(self, method: str, image: ImageRef, auth: AuthConfig | None) -> _Answer:
        """Request a manifest: log in where that is wanted, and follow redirections, without the login."""
        host = _DOCKER_HUB if image.registry == DEFAULT_DOMAIN else image.registry
        scheme = "http" if _is_loopback(urlsplit(f"//{host}").hostname or "") else "https"
        url = f"{scheme}://{host}/v2/{image.path}/manifests/{image.tag or DEFAULT_TAG}"
        authorization = ""
        for _ in range(_STEPS):
            answer = await self._request(method, url, {"Accept": _ACCEPT, "Authorization": authorization})
            if answer.status in _REDIRECTED and (location := answer.headers.get("location")):
                there = _address(urljoin, url, location)
                if _address(urlsplit, there)[:2] != urlsplit(url)[:2]:  # another host, or no longer TLS
                    auth, authorization = None, ""
                url = there
            elif answer.status == 401 and not authorization:  # noqa: PLR2004 - HTTP
                authorization = await self._log_in(answer.headers.get("www-authenticate", ""), url, auth)
                if not authorization:
                    return answer
            else:
                return answer
        raise RegistryError("too many redirections")

    async def _log_in(self, challenge: str, url: str, auth: AuthConfig | None) -> str:
        """Return what a challenge asks for; empty: it cannot be given."""
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic":
            return _basic(auth)
        asked = dict(_PARAMETER.findall(rest))
        realm = asked.get("realm", "")
        if scheme.lower() != "bearer" or not realm:
            return ""
        if _address(urlsplit, realm).scheme != "https" and urlsplit(url).scheme == "https":
            raise RegistryError("the registry names a token server without TLS")
        query = {key: asked[key] for key in ("service", "scope") if key in asked}
        if auth is not None and auth.identity_token:
            form = {"grant_type": "refresh_token", "client_id": "nodeprefetch", "refresh_token": auth.identity_token}
            answer = await self._request("POST", realm, {}, urlencode(query | form).encode())
        else:
            joined = f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}" if query else realm
            answer = await self._request("GET", joined, {"Authorization": _basic(auth)})
        if answer.status in _REFUSED or (answer.status == 400 and auth is not None):  # noqa: PLR2004 - HTTP
            raise _RefusedError(f"access denied by the token server (HTTP status {answer.status})")
        try:
            token = msgspec.json.decode(answer.body, type=_Token)
        except (ValueError, RecursionError):
            raise RegistryError(f"the token server sent no token (HTTP status {answer.status})") from None
        return f"Bearer {token.token or token.access_token}"

    async def _request(self, method: str, url: str, headers: Mapping[str, str], form: bytes | None = None) -> _Answer:
        sent = {"User-Agent": f"nodeprefetch/{__version__}"}
        sent |= {name: value for name, value in headers.items() if value}
        if form is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        pairs = [*sent.items()]
        try:
            with trio.fail_after(_TIMEOUT):
                async with self._pool(urlsplit(url)).stream(method, url, headers=pairs, content=form) as response:
                    body = b""
                    async for part in response.aiter_stream():
                        body += part
                        if len(body) > _LARGEST:
                            raise RegistryError(f"an answer is larger than {_LARGEST >> 20} MiB")
        except (ValueError, TypeError, httpcore.UnsupportedProtocol):
            raise RegistryError(_INVALID) from None
        found = {name.decode("latin1").lower(): value.decode("latin1") for name, value in response.headers}
        return _Answer(response.status, found, body)

    def _pool(self, url: SplitResult) -> httpcore.AsyncConnectionPool:
        """Return the connections to a host, by its proxy if it has one."""
        port = url.port or (443 if url.scheme == "https" else 80)
        proxy = proxy_for(url.scheme, url.hostname or "", port, self._environment)
        if proxy not in self._pools:
            try:
                by = read_proxy(proxy) if proxy else None
            except ValueError as error:
                raise RegistryError(str(error)) from None
            pool = httpcore.AsyncConnectionPool(ssl_context=self._tls, proxy=by, network_backend=Backend())
            self._open.push_async_callback(pool.aclose)
            self._pools[proxy] = pool
        return self._pools[proxy]


def _address(read: Callable[..., Address], *texts: str) -> Address:
    """Read an address that a server has sent."""
    try:
        return read(*texts)
    except ValueError:
        raise RegistryError(_INVALID) from None


def _basic(auth: AuthConfig | None) -> str:
    if auth is None or not (auth.username or auth.password):
        return ""
    return f"Basic {base64.b64encode(f'{auth.username}:{auth.password}'.encode()).decode()}"


def _is_loopback(host: str) -> bool:
    """Whether plain HTTP is used, as container runtimes do."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
