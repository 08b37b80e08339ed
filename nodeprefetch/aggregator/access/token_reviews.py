"""Service accounts that the API server vouches for: what it said is kept, and strangers ask it little."""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, Protocol

import trio

from nodeprefetch.aggregator.access.callers import Caller, bearer, unauthorized
from nodeprefetch.aggregator.access.strangers import Strangers
from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.errors import NodeprefetchError

_CACHED = 10_000
"""Tokens let in, and tokens refused, that are remembered: as many as there may be nodes."""

_GOOD_FOR, _BAD_FOR = 60.0, 10.0
"""Seconds a review is believed, when the token was let in and when it was not."""

_UNKNOWN_AT_ONCE, _KNOWN_AT_ONCE = 12, 4
"""Questions to the API server at one moment: about new tokens, and again about tokens that were let in before."""

_LONGEST_REVIEW = 8.0
"""Seconds for an answer of the API server, and for waiting until it can be asked. SIGTERM waits for that answer."""

_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
"""What a token of a service account looks like (RFC 7519, signed)."""


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


class _Known(NamedTuple):
    until: float
    """Trio's time; after it the API server is asked again."""

    review: Review


class _Question:
    """One that is being asked, and those that wait for its answer too."""

    def __init__(self) -> None:
        self.over = trio.Event()
        self.refused: RefusedError | None = None
        """Set when no answer can be had, for those that wait."""


class ServiceAccounts:
    """Lets in service accounts the API server vouches for.

    Whoever was let in within the last minute waits for nothing. One question is asked for one token, whoever waits
    for it. Tokens that were let in before have questions of their own, which new ones do not delay.

    Args:
        reviewer: asks it.
        audience: whom tokens must be meant for.
        account: `namespace:name` of the only one let in; empty: any user.
        log: takes a line for people when the API server cannot be asked, and when it can again.
    """

    def __init__(self, reviewer: TokenReviewer, audience: str, account: str, log: Callable[[str], None]) -> None:
        self._reviewer = reviewer
        self._audience = audience
        self._username = f"system:serviceaccount:{account}" if account else ""
        self._log = log
        self._good: OrderedDict[bytes, _Known] = OrderedDict()
        self._bad: OrderedDict[bytes, _Known] = OrderedDict()
        self._questions: dict[bytes, _Question] = {}
        self._known_at_once = trio.CapacityLimiter(_KNOWN_AT_ONCE)
        self._unknown_at_once = trio.CapacityLimiter(_UNKNOWN_AT_ONCE)
        self._strangers = Strangers()
        self._is_lost = False

    async def caller(self, authorization: str, address: str) -> Caller:
        """A service account, bound to its node where its token is."""
        token = bearer(authorization)
        if not _JWT.fullmatch(token):
            raise unauthorized("the token is not a service account token (a JWT)")
        key = hashlib.sha256(token.encode()).digest()  # the caches hold no secret
        while (review := self._remembered(key)) is None:
            question = self._questions.get(key)
            if question is None:
                await self._ask(key, token, address)
                continue
            await question.over.wait()
            if question.refused is not None:
                raise question.refused.again() from question.refused
        if not review.authenticated:
            raise unauthorized("the API server does not know this token, or it is meant for another audience")
        if not self._lets_in(review):
            raise RefusedError(403, "wrong_account", f"{review.username} may not use this aggregator")
        return Caller(node=review.node_name or None)

    def _lets_in(self, review: Review) -> bool:
        return review.authenticated and self._username in ("", review.username)

    def _remembered(self, key: bytes) -> Review | None:
        """What was said of the token, as long as that is believed."""
        for cache in (self._good, self._bad):
            known = cache.get(key)
            if known is not None and known.until >= trio.current_time():
                cache.move_to_end(key)
                return known.review
        return None

    def _remember(self, key: bytes, review: Review) -> None:
        cache, other, good_for = (
            (self._good, self._bad, _GOOD_FOR) if self._lets_in(review) else (self._bad, self._good, _BAD_FOR)
        )
        other.pop(key, None)
        cache[key] = _Known(trio.current_time() + good_for, review)
        cache.move_to_end(key)
        if len(cache) > _CACHED:
            cache.popitem(last=False)

    async def _ask(self, key: bytes, token: str, address: str) -> None:
        """Ask, and remember the answer. Those that come meanwhile with the same token wait for this.

        Raises:
            RefusedError: it cannot be asked.
        """
        question = self._questions[key] = _Question()
        try:
            if key in self._good:
                await self._review(key, token, self._known_at_once)
            else:
                with self._strangers.allowed(address) as stranger:
                    await self._review(key, token, self._unknown_at_once)
                    stranger.is_bad = key not in self._good
        except RefusedError as refused:
            question.refused = refused
            raise
        finally:
            del self._questions[key]
            question.over.set()

    async def _review(self, key: bytes, token: str, at_once: trio.CapacityLimiter) -> None:
        with trio.move_on_after(_LONGEST_REVIEW) as waiting:
            await at_once.acquire()
        if waiting.cancelled_caught:
            raise RefusedError(503, "no_review", "too many tokens wait for the API server", retry_after=5)
        try:
            # Its thread goes on anyway, so a caller that leaves frees no place for another question.
            with trio.CancelScope(shield=True), trio.fail_after(_LONGEST_REVIEW):
                review = await self._reviewer.review_token(token, self._audience)
        except NodeprefetchError as error:
            raise self._lost(str(error)) from error
        except trio.TooSlowError as error:
            raise self._lost(f"no answer in {_LONGEST_REVIEW:g} seconds") from error
        finally:
            at_once.release()
        if self._is_lost:
            self._is_lost = False
            self._log("the API server reviews tokens again")
        self._remember(key, review)

    def _lost(self, why: str) -> RefusedError:
        if not self._is_lost:
            self._is_lost = True
            self._log(f"the API server cannot review tokens: {why} (new submitters are answered 503 until it can)")
        return RefusedError(
            503, "no_review", f"the API server could not be asked about the token: {why}", retry_after=5
        )
