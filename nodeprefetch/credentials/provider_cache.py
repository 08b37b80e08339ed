"""Asks one provider, safely and no more than needed: shares calls, remembers answers, lets one rest that has failed."""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from nodeprefetch.credentials.keyring import KeyringEntry
from nodeprefetch.credentials.provider import AnyProvider, CacheKeyType, ProvidedCredentials, is_local, wants
from nodeprefetch.errors import NodeprefetchError
from nodeprefetch.text.known_secrets import remember_secrets
from nodeprefetch.values.duration import format_duration
from nodeprefetch.values.image_ref import ImageRef

ANSWER_LIMIT = 60.0
"""Seconds for one answer, as in the kubelet."""

MAX_THREADS = 20
"""How many blocking calls to one provider may be under way: as each may hang for a minute, each has its own."""


class NoAnswerError(NodeprefetchError):
    """Raised when a provider failed. Its text says how, and holds nothing that the provider said in an exception."""


async def ask(provider: AnyProvider, image: ImageRef, threads: trio.CapacityLimiter) -> ProvidedCredentials:
    """What the provider answers for the image.

    A provider that blocks is called in a thread, which is left to itself when the limit or the run ends.

    Raises:
        NoAnswerError: it raised something, took longer than a minute, or answered something else.
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
        raise NoAnswerError(f"it raised {type(error).__name__}") from error
    if not isinstance(answer, ProvidedCredentials):
        raise NoAnswerError(f"it answered {type(answer).__name__}, not ProvidedCredentials")
    problem = _what_is_wrong_with(answer)
    if problem:
        raise NoAnswerError(problem)
    return answer


def _what_is_wrong_with(answer: ProvidedCredentials) -> str:
    entries: object = answer.entries
    kind: object = answer.cache_key_type
    duration: object = answer.cache_duration
    if not isinstance(entries, tuple) or not all(isinstance(entry, KeyringEntry) for entry in entries):
        return "it answered entries that are no tuple of KeyringEntry"
    if not isinstance(kind, CacheKeyType):
        return "it answered a cache key type that is none"
    if duration is not None and not (isinstance(duration, int | float) and 0 <= duration < math.inf):
        return "it answered a cache duration that is no number of seconds"
    return ""


RENEW_AFTER = 0.9
"""The part of an answer's time after which it is asked for again, so that nobody is given what is about to expire."""

FIRST_REST, LONGEST_REST = 1.0, 60.0
"""Seconds for which a provider that failed is not asked; doubles with each failure in a row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a provider answered, and for how long it holds. Times are Trio's."""

    provided: ProvidedCredentials
    asked_at: float
    valid_until: float
    """Infinite, unless the provider said for how long."""

    renew_at: float


@dataclass(kw_only=True, slots=True)
class _Flight:
    """A call under way."""

    image: ImageRef
    done: trio.Event = field(default_factory=trio.Event)
    answer: Answer | None = None


class ProviderCache:
    """One provider.

    Args:
        name: for people.
        provider: asked in the background: a call goes on for the others when the image that began it is gone.
        nursery: where.
        warn: is told why the provider failed.
    """

    def __init__(self, name: str, provider: AnyProvider, *, nursery: trio.Nursery, warn: Callable[[str], None]) -> None:
        self.name = name
        self._provider = provider
        self._nursery = nursery
        self._warn = warn
        self._threads = trio.CapacityLimiter(MAX_THREADS)
        self._remembered: dict[tuple[CacheKeyType, str], Answer] = {}
        self._flights: dict[str, _Flight] = {}
        self._last_type: CacheKeyType | None = None
        self._rest_until = -float("inf")
        self._rest = FIRST_REST
        self.is_local = is_local(provider)
        """It answers from what it holds, and is asked each time."""

    def matches(self, image: ImageRef) -> bool:
        """Whether the provider wants to be asked for that image."""
        return wants(self._provider, image)

    async def answer(self, image: ImageRef, *, asked_after: float = -float("inf")) -> Answer | None:
        """The provider's answer for an image; None when it failed, now or a moment ago.

        Args:
            image: what for.
            asked_after: an answer from before that time of Trio's clock will not do.
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
                if now < self._rest_until:
                    return known
                flight = self._take_off(image)
            await flight.done.wait()
            if flight.answer is None:
                return self._recall(image, asked_after)
            if _key(flight.answer.provided.cache_key_type, image) == _key(
                flight.answer.provided.cache_key_type, flight.image
            ):
                return flight.answer  # also one that may not be remembered: it was asked for while we waited

    def _recall(self, image: ImageRef, asked_after: float) -> Answer | None:
        now = trio.current_time()
        for kind in CacheKeyType:
            key = _key(kind, image)
            answer = self._remembered.get(key)
            if answer is None or answer.asked_at <= asked_after:
                continue
            if now < answer.valid_until:
                return answer
            del self._remembered[key]
        return None

    def _flight_key(self, image: ImageRef) -> str:
        """What is asked for one at a time: until the first answer says otherwise, images of one registry."""
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
                kind = self._last_type = answer.provided.cache_key_type
                if answer.provided.cache_duration:
                    self._remembered[_key(kind, flight.image)] = answer
        finally:
            del self._flights[key]
            flight.done.set()

    async def _ask(self, image: ImageRef) -> Answer | None:
        asked_at = trio.current_time()
        try:
            provided = await ask(self._provider, image, self._threads)
        except NoAnswerError as error:
            self._rest_until = trio.current_time() + self._rest
            self._rest = min(2 * self._rest, LONGEST_REST)
            self._warn(f"credential provider {self.name}: {error}")
            return None
        self._rest = FIRST_REST
        remember_secrets(secret for entry in provided.entries for secret in entry.auth.secrets)
        duration = provided.cache_duration or float(
            "inf"
        )  # what may not be used again holds for this time all the same
        answered_at = trio.current_time()  # the kubelet counts from here too
        return Answer(
            provided=provided,
            asked_at=asked_at,
            valid_until=answered_at + duration,
            renew_at=answered_at + RENEW_AFTER * duration,
        )


def _key(kind: CacheKeyType, image: ImageRef) -> tuple[CacheKeyType, str]:
    match kind:
        case CacheKeyType.IMAGE:
            return kind, image.lookup_name
        case CacheKeyType.REGISTRY:
            return kind, image.registry
        case CacheKeyType.GLOBAL:
            return kind, ""
