"""Who may submit and read: nobody asked, a token from a file, or a token the API server vouches for."""

import hashlib
import hmac
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import trio

from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.settings import AggregatorSettings, AuthMode
from nodeprefetch.errors import NodeprefetchError, UsageError

_LONGEST_TOKEN = 16 << 10
_CACHED = 10_000
_GOOD_FOR, _BAD_FOR = 60.0, 10.0
"""Seconds a review is believed, when it said yes and when it said no."""

_AT_ONCE = 10
"""Questions to the API server at one moment."""


class Review(Protocol):
    """What the API server says of a token (`TokenReviewStatus`)."""

    @property
    def authenticated(self) -> bool:
        """Whether the token is good for the audience asked about."""
        ...

    @property
    def username(self) -> str:
        """`system:serviceaccount:NAMESPACE:NAME` for a service account."""
        ...

    @property
    def node_name(self) -> str:
        """The node the token is bound to (`authentication.kubernetes.io/node-name`); empty when to none."""
        ...


class TokenReviewer(Protocol):
    """Asks the API server about tokens."""

    async def review_token(self, token: str, audience: str) -> Review:
        """What it says.

        Raises:
            NodeprefetchError: it could not be asked.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who sends a request."""

    node: str | None = None
    """The only node it may report for; None: any."""

    def may_report_for(self, node: str) -> None:
        """Pass, if it may.

        Raises:
            RefusedError: it may not.
        """
        if self.node is not None and node != self.node:
            raise RefusedError(403, "wrong_node", f"this token may report for node {self.node} alone")


class Authenticator(Protocol):
    """Tells who sends a request."""

    async def caller(self, authorization: str) -> Caller:
        """Who it is, by the header `Authorization`, which may be empty.

        Raises:
            RefusedError: nobody known.
        """
        ...


class Anyone:
    """Lets everybody in."""

    async def caller(self, authorization: str) -> Caller:  # noqa: ARG002 - nobody is asked
        """Somebody."""
        return Caller()


class TokenFile:
    """Lets in who knows the token in a file.

    Args:
        path: read again when it changes.

    Raises:
        UsageError: it cannot be read, or is empty.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._token = b""
        try:
            self._refresh()
        except OSError as error:
            raise UsageError([f"the token file {path} cannot be read: {error.strerror}"]) from error
        if not self._token:
            raise UsageError([f"the token file {path} is empty"])

    async def caller(self, authorization: str) -> Caller:
        """Who knows the token may report for every node."""
        with suppress(OSError):  # while it is being replaced, the token of before holds
            self._refresh()
        if not hmac.compare_digest(_bearer(authorization).encode(), self._token):
            raise _unauthorized("the token is not the right one")
        return Caller()

    def _refresh(self) -> None:
        status = self._path.stat()
        seen = (status.st_mtime_ns, status.st_ino, status.st_size)
        if seen != self._seen:
            token = self._path.read_bytes().strip()
            if token:  # an empty file would let in whoever sends an empty token
                self._token, self._seen = token, seen


class ServiceAccounts:
    """Lets in service accounts the API server vouches for.

    Args:
        reviewer: asks it.
        audience: whom tokens must be meant for.
        account: `namespace:name` of the only one let in; empty: any user.
    """

    def __init__(self, reviewer: TokenReviewer, audience: str, account: str) -> None:
        self._reviewer = reviewer
        self._audience = audience
        self._username = f"system:serviceaccount:{account}" if account else ""
        self._cache: OrderedDict[bytes, tuple[float, Review]] = OrderedDict()
        self._questions = trio.CapacityLimiter(_AT_ONCE)

    async def caller(self, authorization: str) -> Caller:
        """A service account, bound to its node where its token is."""
        token = _bearer(authorization)
        key = hashlib.sha256(token.encode()).digest()  # the cache holds no secret
        async with self._questions:  # of many with one token, the first asks
            until, review = self._cache.get(key, (0.0, None))
            if review is None or until < trio.current_time():
                review = await self._ask(key, token)
        if not review.authenticated:
            raise _unauthorized("the API server does not know this token, or it is meant for another audience")
        if self._username and review.username != self._username:
            raise RefusedError(403, "wrong_account", f"{review.username} may not use this aggregator")
        return Caller(node=review.node_name or None)

    async def _ask(self, key: bytes, token: str) -> Review:
        try:
            review = await self._reviewer.review_token(token, self._audience)
        except NodeprefetchError as error:
            raise RefusedError(
                503, "no_review", f"the API server could not be asked about the token: {error}", retry_after=5
            ) from error
        good_for = _GOOD_FOR if review.authenticated else _BAD_FOR
        self._cache[key] = (trio.current_time() + good_for, review)
        self._cache.move_to_end(key)
        if len(self._cache) > _CACHED:
            self._cache.popitem(last=False)
        return review


def make_authenticator(settings: AggregatorSettings, reviewer: TokenReviewer | None) -> Authenticator:
    """What the settings ask for.

    Raises:
        UsageError: something it needs is missing.
    """
    if settings.auth is AuthMode.TOKEN_FILE:
        if settings.auth_token_file is None:
            raise UsageError(["--auth token-file needs --auth-token-file"])
        return TokenFile(settings.auth_token_file)
    if settings.auth is AuthMode.KUBERNETES:
        if reviewer is None:
            raise UsageError(["--auth kubernetes needs an API server to ask about tokens"])
        return ServiceAccounts(reviewer, settings.auth_audience, settings.auth_service_account)
    return Anyone()


def _bearer(authorization: str) -> str:
    scheme, _, token = authorization.strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > _LONGEST_TOKEN:
        raise _unauthorized("this needs a bearer token in the header Authorization")
    return token


def _unauthorized(detail: str) -> RefusedError:
    return RefusedError(401, "unauthorized", detail)
