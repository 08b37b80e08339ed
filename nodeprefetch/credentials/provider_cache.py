"""Asks one provider in isolation and no more often than needed: shares calls, caches answers, backs off on failure."""

import inspect
import math
from collections.abc import Callable

import msgspec
import trio

from nodeprefetch.credentials.api import AnyProvider, CacheKeyType, ProvidedCredentials, is_local, wants
from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.credentials.keyring import Keyring, KeyringEntry
from nodeprefetch.errors import NodeprefetchError
from nodeprefetch.text.known_secrets import remember_secrets
from nodeprefetch.values.duration import format_duration
from nodeprefetch.values.image_ref import ImageRef

ANSWER_LIMIT = 60.0
"""Timeout of one call in seconds, as in the kubelet."""

MAX_THREADS = 20
"""Maximum number of concurrent blocking calls to one provider. Each provider has its own limit: a call may hang for a
minute."""


class NoAnswerError(NodeprefetchError):
    """Raised when a provider failed. Its text says how, without the text of a foreign exception."""


async def ask(
    provider: AnyProvider, image: ImageRef, threads: trio.CapacityLimiter, last: ProvidedCredentials | None = None
) -> ProvidedCredentials:
    """Ask a provider for the credentials of an image.

    A blocking provider is called in a thread, which is abandoned at the timeout and at the end of the run.

    Args:
        provider: the plugin's.
        image: the image.
        threads: limits the threads.
        last: an earlier answer, which is valid and need not be checked again.

    Raises:
        NoAnswerError: it raised something, took longer than a minute, or returned an invalid answer.
    """
    try:
        with trio.fail_after(ANSWER_LIMIT):
            answer: object
            if inspect.iscoroutinefunction(provider.get_credentials):
                answer = await provider.get_credentials(image)
            else:
                # In a tuple, because Trio refuses threads that return a coroutine: a decorated method may.
                (answer,) = await trio.to_thread.run_sync(
                    lambda: (provider.get_credentials(image),), abandon_on_cancel=True, limiter=threads
                )
                if inspect.isawaitable(answer):
                    answer = await answer
    except trio.TooSlowError as error:
        raise NoAnswerError(f"no answer in {format_duration(ANSWER_LIMIT)}") from error
    except NodeprefetchError as error:  # raised on purpose, for people
        from nodeprefetch.text.scrub import mask_known  # noqa: PLC0415 - only where something fails

        raise NoAnswerError(f"{type(error).__name__}: {mask_known(str(error))}") from error
    except (Exception, SystemExit) as error:  # a plugin's; its text may hold anything
        raise NoAnswerError(f"raised {type(error).__name__}") from error
    if not isinstance(answer, ProvidedCredentials):
        raise NoAnswerError(f"returned {type(answer).__name__}, not ProvidedCredentials")
    problem = "" if answer is last else _find_problem(answer)
    if problem:
        raise NoAnswerError(problem)
    return answer


def _find_problem(answer: ProvidedCredentials) -> str:
    entries: object = answer.entries
    kind: object = answer.cache_key_type
    duration: object = answer.cache_duration
    if not isinstance(entries, tuple) or not all(isinstance(entry, KeyringEntry) for entry in entries):
        return "returned invalid entries: must be a tuple of KeyringEntry"
    if not all(_is_valid(entry) for entry in entries):
        return "returned an invalid KeyringEntry: key must be a str, auth an AuthConfig of str"
    if not isinstance(kind, CacheKeyType):
        return "returned an invalid cache_key_type: must be a CacheKeyType"
    if duration is not None and not (isinstance(duration, int | float) and 0 <= duration < math.inf):
        return "returned an invalid cache_duration: must be None or a number of seconds"
    return ""


def _is_valid(entry: KeyringEntry) -> bool:
    key: object = entry.key
    auth: object = entry.auth
    return (
        isinstance(key, str)
        and isinstance(auth, AuthConfig)
        and all(isinstance(text, str) for text in (auth.username, auth.password, auth.identity_token))
    )


RENEW_AFTER = 0.9
"""The fraction of an answer's lifetime after which it is renewed, so that no pull gets a credential about to expire."""

FIRST_BACKOFF, LONGEST_BACKOFF = 1.0, 60.0
"""Seconds for which a provider that failed is not asked; doubles with each consecutive failure."""


class ProviderAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a provider and its lifetime. Times are on Trio's clock."""

    keyring: Keyring
    """Its entries, ready to be matched: created once for each answer."""

    cache_key_type: CacheKeyType
    is_cacheable: bool
    asked_at: float
    valid_until: float
    """Infinite unless the provider set a duration."""

    renew_at: float


class _Flight(msgspec.Struct, kw_only=True):
    """A call in progress."""

    image: ImageRef
    done: trio.Event = msgspec.field(default_factory=trio.Event)
    answer: ProviderAnswer | None = None


class ProviderCache:
    """One provider, with the answers cached that it gave.

    Args:
        name: for messages.
        provider: the plugin's.
        nursery: runs the calls, so that a call continues for others when the image that began it is cancelled.
        warn: called with each failure of the provider.
    """

    def __init__(self, name: str, provider: AnyProvider, *, nursery: trio.Nursery, warn: Callable[[str], None]) -> None:
        self.name = name
        self._provider = provider
        self._nursery = nursery
        self._warn = warn
        self._threads = trio.CapacityLimiter(MAX_THREADS)
        self._cached: dict[tuple[CacheKeyType, str], ProviderAnswer] = {}
        self._flights: dict[str, _Flight] = {}
        self._last_type: CacheKeyType | None = None
        self._paused_until = -float("inf")
        self._backoff = FIRST_BACKOFF
        self._last = ProvidedCredentials()
        self._last_keyring = Keyring()
        self.is_local = is_local(provider)
        """Whether it answers from memory, and so is asked each time."""

    def matches(self, image: ImageRef) -> bool:
        """Whether the provider is asked for an image."""
        return wants(self._provider, image)

    async def answer(self, image: ImageRef, *, asked_after: float = -float("inf")) -> ProviderAnswer | None:
        """Return the provider's answer for an image; None if it failed, now or a moment ago.

        Args:
            image: the image.
            asked_after: ignore answers requested at or before this time on Trio's clock.
        """
        if self.is_local:
            return await self._ask(image)
        while True:
            now = trio.current_time()
            known = self._recall(image, asked_after)
            if known is not None and now < known.renew_at:
                return known
            flight = self._flights.get(self._flight_key(image))
            if flight is None:
                if now < self._paused_until:
                    return known
                flight = self._take_off(image)
            await flight.done.wait()
            if flight.answer is None:
                return self._recall(image, asked_after)
            kind = flight.answer.cache_key_type
            if _key(kind, image) == _key(kind, flight.image):
                return flight.answer  # also one that is not cacheable: it was requested while this call waited

    def _recall(self, image: ImageRef, asked_after: float) -> ProviderAnswer | None:
        now = trio.current_time()
        for kind in CacheKeyType:
            key = _key(kind, image)
            answer = self._cached.get(key)
            if answer is None or answer.asked_at <= asked_after:
                continue
            if now < answer.valid_until:
                return answer
            del self._cached[key]
        return None

    def _flight_key(self, image: ImageRef) -> str:
        """The scope of one call at a time: the registry, until an answer was for one image only."""
        return image.lookup_name if self._last_type is CacheKeyType.IMAGE else image.registry

    def _take_off(self, image: ImageRef) -> _Flight:
        key = self._flight_key(image)
        flight = self._flights[key] = _Flight(image=image)
        self._nursery.start_soon(self._fly, key, flight, name=f"ask {self.name} for {image.lookup_name}")
        return flight

    async def _fly(self, key: str, flight: _Flight) -> None:
        try:
            flight.answer = answer = await self._ask(flight.image)
            if answer is not None:
                kind = self._last_type = answer.cache_key_type
                if answer.is_cacheable:
                    self._cached[_key(kind, flight.image)] = answer
        finally:
            del self._flights[key]
            flight.done.set()

    async def _ask(self, image: ImageRef) -> ProviderAnswer | None:
        asked_at = trio.current_time()
        try:
            provided = await ask(self._provider, image, self._threads, self._last)
        except NoAnswerError as error:
            self._paused_until = trio.current_time() + self._backoff
            self._backoff = min(2 * self._backoff, LONGEST_BACKOFF)
            self._warn(f"credential provider {self.name}: {error}")
            return None
        self._backoff = FIRST_BACKOFF
        if not self.is_local:  # a local one may return all that it has; what matches is remembered later
            remember_secrets(secret for entry in provided.entries for secret in entry.auth.secrets)
        # An answer that is not cacheable is valid for its look-up.
        duration = provided.cache_duration or float("inf")
        answered_at = trio.current_time()  # the kubelet counts from here too
        return ProviderAnswer(
            keyring=self._keyring_of(provided),
            cache_key_type=provided.cache_key_type,
            is_cacheable=bool(provided.cache_duration),
            asked_at=asked_at,
            valid_until=answered_at + duration,
            renew_at=answered_at + RENEW_AFTER * duration,
        )

    def _keyring_of(self, provided: ProvidedCredentials) -> Keyring:
        """Index an answer; the same object, which a local provider returns each time, only once."""
        if provided is not self._last:
            self._last, self._last_keyring = provided, Keyring(provided.entries)
        return self._last_keyring


def _key(kind: CacheKeyType, image: ImageRef) -> tuple[CacheKeyType, str]:
    match kind:
        case CacheKeyType.IMAGE:
            return kind, image.lookup_name
        case CacheKeyType.REGISTRY:
            return kind, image.registry
        case CacheKeyType.GLOBAL:
            return kind, ""
