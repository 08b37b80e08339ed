"""Authenticates service account tokens with TokenReview: caches the results and limits the load on the API server."""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, Protocol

import trio

from nodeprefetch.aggregator.access.caller import Caller, bearer, unauthorized
from nodeprefetch.aggregator.access.rate_limit import TokenRateLimit
from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.errors import NodeprefetchError

_CACHED = 10_000
"""Size of each cache, of accepted tokens and of rejected ones: as many as there may be nodes."""

_ACCEPTED_FOR, _REJECTED_FOR = 60.0, 10.0
"""Seconds that the review of an accepted token and of a rejected one is valid."""

_UNKNOWN_AT_ONCE, _KNOWN_AT_ONCE = 12, 4
"""Concurrent reviews: of unknown tokens, and of tokens accepted before whose review has expired."""

_LONGEST_REVIEW = 8.0
"""Seconds to wait for the API server, and as many before that for a free slot. SIGTERM waits for the API server too."""

_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
"""What a service account token looks like (RFC 7519, signed)."""


class Review(Protocol):
    """The API server's answer about a token (`TokenReviewStatus`)."""

    @property
    def authenticated(self) -> bool:
        """Whether the token is valid for the requested audience."""
        ...

    @property
    def username(self) -> str:
        """`system:serviceaccount:NAMESPACE:NAME` for a service account."""
        ...

    @property
    def node_name(self) -> str:
        """The node the token is bound to (`authentication.kubernetes.io/node-name`); empty if it is not bound."""
        ...


class TokenReviewer(Protocol):
    """Asks the API server about tokens."""

    async def review_token(self, token: str, audience: str) -> Review:
        """Return the API server's answer about a token.

        Raises:
            NodeprefetchError: the API server did not answer.
        """
        ...


class _CachedReview(NamedTuple):
    until: float
    """Trio's time at which it expires."""

    review: Review


class _PendingReview:
    """A review under way, shared by all requests with the same token."""

    def __init__(self) -> None:
        self.over = trio.Event()
        self.refused: RefusedError | None = None
        """Why the API server did not answer; None: the answer is in the cache."""


class ServiceAccounts:
    """Accepts service account tokens that the API server confirms.

    A token accepted within the last minute needs no review. Requests with the same token share one review. Tokens
    accepted before have review slots of their own, so unknown tokens do not delay them.

    Args:
        reviewer: asks the API server.
        audience: required audience of tokens.
        account: `namespace:name` of the only service account accepted; empty: any user.
        log: logs a line when the API server becomes unavailable, and when it is available again.
    """

    def __init__(self, reviewer: TokenReviewer, audience: str, account: str, log: Callable[[str], None]) -> None:
        self._reviewer = reviewer
        self._audience = audience
        self._username = f"system:serviceaccount:{account}" if account else ""
        self._log = log
        self._accepted: OrderedDict[bytes, _CachedReview] = OrderedDict()
        self._rejected: OrderedDict[bytes, _CachedReview] = OrderedDict()
        self._pending: dict[bytes, _PendingReview] = {}
        self._known_at_once = trio.CapacityLimiter(_KNOWN_AT_ONCE)
        self._unknown_at_once = trio.CapacityLimiter(_UNKNOWN_AT_ONCE)
        self._rate_limit = TokenRateLimit()
        self._is_unavailable = False

    async def authenticate(self, authorization: str, address: str) -> Caller:
        """Return the service account, restricted to its node if the token is bound to one."""
        token = bearer(authorization)
        if not _JWT.fullmatch(token):
            raise unauthorized("the token is not a service account token (a JWT)")
        key = hashlib.sha256(token.encode()).digest()  # keeps secrets out of the caches
        while (review := self._cached(key)) is None:
            pending = self._pending.get(key)
            if pending is None:
                await self._ask(key, token, address)
                continue
            await pending.over.wait()
            if pending.refused is not None:
                raise pending.refused.copy() from pending.refused
        if not review.authenticated:
            raise unauthorized("token rejected by the API server (unknown or wrong audience)")
        if not self._is_accepted(review):
            raise RefusedError(403, "wrong_account", f"{review.username} may not use this aggregator")
        return Caller(node=review.node_name or None)

    def _is_accepted(self, review: Review) -> bool:
        return review.authenticated and self._username in ("", review.username)

    def _cached(self, key: bytes) -> Review | None:
        """The review of a token, unless it has expired."""
        for cache in (self._accepted, self._rejected):
            cached = cache.get(key)
            if cached is not None and cached.until >= trio.current_time():
                cache.move_to_end(key)
                return cached.review
        return None

    def _cache(self, key: bytes, review: Review) -> None:
        cache, other, seconds = (
            (self._accepted, self._rejected, _ACCEPTED_FOR)
            if self._is_accepted(review)
            else (self._rejected, self._accepted, _REJECTED_FOR)
        )
        other.pop(key, None)
        cache[key] = _CachedReview(trio.current_time() + seconds, review)
        cache.move_to_end(key)
        if len(cache) > _CACHED:
            cache.popitem(last=False)

    async def _ask(self, key: bytes, token: str, address: str) -> None:
        """Review a token and cache the result. Requests with the same token wait for it.

        Raises:
            RefusedError: the API server did not answer, or too many tokens are under review.
        """
        pending = self._pending[key] = _PendingReview()
        try:
            if key in self._accepted:
                await self._review(key, token, self._known_at_once)
            else:
                with self._rate_limit.pending(address) as unknown:
                    await self._review(key, token, self._unknown_at_once)
                    unknown.is_rejected = key not in self._accepted
        except RefusedError as refused:
            pending.refused = refused
            raise
        finally:
            del self._pending[key]
            pending.over.set()

    async def _review(self, key: bytes, token: str, at_once: trio.CapacityLimiter) -> None:
        with trio.move_on_after(_LONGEST_REVIEW) as waiting:
            await at_once.acquire()
        if waiting.cancelled_caught:
            raise RefusedError(503, "no_review", "too many tokens are waiting for review", retry_after=5)
        try:
            # The API server answers anyway, so a client that leaves must not free its slot early.
            with trio.CancelScope(shield=True), trio.fail_after(_LONGEST_REVIEW):
                review = await self._reviewer.review_token(token, self._audience)
        except NodeprefetchError as error:
            raise self._unavailable(str(error)) from error
        except trio.TooSlowError as error:
            raise self._unavailable(f"no answer in {_LONGEST_REVIEW:g} seconds") from error
        finally:
            at_once.release()
        if self._is_unavailable:
            self._is_unavailable = False
            self._log("the API server reviews tokens again")
        self._cache(key, review)

    def _unavailable(self, why: str) -> RefusedError:
        if not self._is_unavailable:
            self._is_unavailable = True
            self._log(f"the API server cannot review tokens: {why} (new submitters get status 503 until it can)")
        return RefusedError(503, "no_review", f"the API server cannot review the token: {why}", retry_after=5)
