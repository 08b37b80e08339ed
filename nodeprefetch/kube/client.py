"""Sends requests to the API server over httpcore on Trio, and maps errors to `KubeError`s.

Imports httpcore, which is slow, so import this module only when there is something to send.
"""

from collections.abc import Callable, Iterable, Mapping

import httpcore
import msgspec
import trio

from nodeprefetch import __version__
from nodeprefetch.http_backend import Backend
from nodeprefetch.http_proxy import proxy_for, read_proxy, read_url
from nodeprefetch.kube.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    KubeError,
    NotFoundError,
    ServerFailedError,
    TooManyRequestsError,
    UnauthorizedError,
    UnreachableError,
)
from nodeprefetch.kube.messages import message_of, one_line, seconds_of
from nodeprefetch.kube.server import ApiServer
from nodeprefetch.text.innermost import innermost_message

CALL_TIMEOUT = 30.0
"""Seconds for a whole call, where the caller has no shorter deadline."""

CALLS_AT_ONCE = 16
"""Connections; calls beyond that wait for one."""

LARGEST_ANSWER = 2 << 20
"""Bytes of an answer. The largest object that etcd stores by default has 1.5 MiB."""

_BY_STATUS: Mapping[int, type[KubeError]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    422: InvalidError,
    429: TooManyRequestsError,
}


class KubeClient:
    """Sends requests to an API server. May be used by many tasks at once; a cancelled call closes its connection.

    Args:
        server: its address, and how to log in.
        environment: the variables that name proxies.
        kept_connections: number of connections to keep open between calls, until `aclose`.

    Raises:
        KubeError: the address of the server or the proxy is invalid.
    """

    def __init__(self, server: ApiServer, environment: Mapping[str, str], *, kept_connections: int = 0) -> None:
        self._server = server
        try:
            url, port = read_url("address of the API server", server.url)
            host = url.hostname or ""
            proxy_url = proxy_for(url.scheme, host, port, environment)
            proxy = read_proxy(proxy_url) if proxy_url else None
        except ValueError as error:
            raise KubeError(str(error)) from None
        self._via = f"by the proxy {proxy.url.host.decode()}:{proxy.url.port}: " if proxy else ""
        bracketed = f"[{host}]" if ":" in host else host
        self._host = f"{bracketed}:{port}"
        self._path = url.path.rstrip("/")
        # httpcore connects to an IPv6 address without brackets, and asks a proxy for the host as it is given.
        self._origin = (url.scheme.encode(), (bracketed if proxy else host).encode(), port)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=server.tls,
            proxy=proxy,
            max_connections=CALLS_AT_ONCE,
            max_keepalive_connections=kept_connections,
            network_backend=Backend(),
        )

    async def aclose(self) -> None:
        """Close the kept connections."""
        await self._pool.aclose()

    async def request(
        self,
        what: str,
        method: str,
        path: str,
        *,
        body: object = None,
        content_type: str = "application/json",
        secret: str = "",
        user: str = "",
        accept: str = "application/json",
        largest: int = LARGEST_ANSWER,
    ) -> bytes:
        """Send a request, and return the body of the answer.

        Args:
            what: begins the text of errors, such as `reading node n1`.
            method: of HTTP.
            path: with the query, quoted.
            body: sent as JSON; None: nothing.
            content_type: of the body.
            secret: masked in errors.
            user: name of the user to act as (impersonation); empty: as who logs in.
            accept: media type of the answer.
            largest: bytes of the answer. If it is more than the default, the answer may come compressed.

        Raises:
            KubeError: the status is not 2xx, or the API server did not answer; the class says which.
        """
        secrets: tuple[str, ...] = (secret,)
        try:
            with trio.fail_after(CALL_TIMEOUT):
                authorization = await self._server.authorization()
                secrets = (secret, authorization.rpartition(" ")[2])
                headers = self._headers(authorization, user, accept)
                if largest > LARGEST_ANSWER:
                    headers.append((b"Accept-Encoding", b"gzip"))
                content = None
                if body is not None:
                    content = msgspec.json.encode(body)
                    headers.append((b"Content-Type", content_type.encode()))
                response, answer = await self._exchange(method, path, headers, content, largest)
        except trio.TooSlowError:
            raise UnreachableError(f"{what}: no answer in {CALL_TIMEOUT:g}s") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError) as error:
            raise UnreachableError(f"{what}: {self._via}{one_line(innermost_message(error), secrets)}") from error
        except KubeError as error:
            raise type(error)(f"{what}: {error}") from None
        except ValueError as error:  # a host name that cannot be one; the text may hold anything
            raise KubeError(f"{what}: {type(error).__name__}") from None
        if 200 <= response.status < 300:  # noqa: PLR2004 - success
            return answer
        raise _refusal(what, response, answer, secrets)

    def _headers(self, authorization: str, user: str, accept: str) -> list[tuple[bytes, bytes]]:
        for name, value in (("token", authorization), ("user name", user)):
            if not (value.isascii() and value.isprintable()):
                raise KubeError(f"the {name} contains characters that an HTTP header cannot carry")
        headers = {
            "Host": self._host,
            "User-Agent": f"nodeprefetch/{__version__}",
            "Accept": accept,
            **({"Authorization": authorization} if authorization else {}),
            **({"Impersonate-User": user} if user else {}),
        }
        return [(name.encode(), value.encode()) for name, value in headers.items()]

    async def _exchange(
        self, method: str, path: str, headers: list[tuple[bytes, bytes]], content: bytes | None, largest: int
    ) -> tuple[httpcore.Response, bytes]:
        """The answer with its body, unpacked."""
        scheme, host, port = self._origin
        url = httpcore.URL(scheme=scheme, host=host, port=port, target=f"{self._path}{path}".encode())
        read = bytearray()
        async with self._pool.stream(method, url, headers=headers, content=content) as response:
            unpacked = _unpacker(response.headers, largest)
            with trio.CancelScope() as reading:
                async for part in response.aiter_stream():
                    read += unpacked(part)
                    if len(read) > largest:
                        reading.cancel()  # ends httpcore's generators from inside, and so closes the connection
        if len(read) > largest:
            raise KubeError(f"the answer is larger than {largest} bytes")
        return response, bytes(read)


def _unpacker(headers: Iterable[tuple[bytes, bytes]], largest: int) -> Callable[[bytes], bytes]:
    """What takes the parts of a body as they come, and returns them unpacked: hardly more than `largest` bytes."""
    is_packed = any(name.lower() == b"content-encoding" and value.lower() == b"gzip" for name, value in headers)
    if not is_packed or largest <= LARGEST_ANSWER:  # nobody asked for it
        return bytes
    import zlib  # noqa: PLC0415 - only for large answers

    stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    def unpacked(part: bytes) -> bytes:
        try:
            return stream.decompress(part, largest + 1)
        except zlib.error:
            raise KubeError("the answer is not valid gzip") from None

    return unpacked


def _refusal(what: str, response: httpcore.Response, content: bytes, secrets: tuple[str, ...]) -> KubeError:
    kind = _BY_STATUS.get(response.status, ServerFailedError if response.status >= 500 else KubeError)  # noqa: PLR2004
    reason: bytes = response.extensions.get("reason_phrase", b"")
    message = one_line(message_of(content) or reason.decode(errors="replace"), secrets)
    return kind(f"{what}: {response.status}: {message}", retry_after=_retry_after(response.headers))


def _retry_after(headers: Iterable[tuple[bytes, bytes]]) -> float | None:
    values = (value.decode(errors="replace") for name, value in headers if name.lower() == b"retry-after")
    return seconds_of(next(values, ""))
