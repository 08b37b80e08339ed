"""Asks one provider once, such that whatever it does costs no more than this answer."""

import inspect
import math

import trio

from nodeprefetch.credentials.keyring import KeyringEntry
from nodeprefetch.credentials.provider import AnyProvider, CacheKeyType, ProvidedCredentials
from nodeprefetch.errors import NodeprefetchError
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
