"""Calls credential providers as a run does, with a timeout for those that hang."""

import inspect
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import trio

from nodeprefetch.credentials.api import AnyProvider, ProvidedCredentials
from nodeprefetch.credentials.keyring import Keyring, KeyringEntry
from nodeprefetch.values.image_ref import ImageRef

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class PluginAnswers:
    """The answers of a plugin's providers for an image."""

    image: ImageRef
    each: tuple[ProvidedCredentials, ...]
    """Of each provider that was asked, in their order."""

    @property
    def used(self) -> tuple[KeyringEntry, ...]:
        """The entries that a run would use, in the order of use: providers of one plugin share a keyring."""
        return Keyring(entry for answer in self.each for entry in answer.entries).lookup(self.image)


def matches(provider: AnyProvider, image: ImageRef) -> bool:
    """Call its `matches`, if it has one; exceptions are passed on."""
    method = getattr(provider, "matches", None)
    return method is None or bool(method(image))


def is_blocking(provider: AnyProvider) -> bool:
    """Whether the provider must be called in a thread."""
    return not inspect.iscoroutinefunction(provider.get_credentials)


async def ask_each(providers: Sequence[AnyProvider], image: ImageRef) -> PluginAnswers:
    """Ask the providers that match the image; exceptions are passed on."""
    each = [await ask_one(provider, image) for provider in providers if matches(provider, image)]
    return PluginAnswers(image=image, each=tuple(each))


async def ask_one(provider: AnyProvider, image: ImageRef) -> ProvidedCredentials:
    """Ask one provider. A blocking one is called in a thread, which is abandoned if the call is cancelled."""
    if is_blocking(provider):
        answer: object = await trio.to_thread.run_sync(provider.get_credentials, image, abandon_on_cancel=True)
    else:
        answer = await cast("Awaitable[object]", provider.get_credentials(image))
    if not isinstance(answer, ProvidedCredentials):
        kind = type(answer).__name__
        raise AssertionError(f"{type(provider).__name__} returned {kind}, not ProvidedCredentials")  # noqa: TRY004
    return answer


def run_within(seconds: float, function: Callable[[], Awaitable[T]]) -> T:
    """Run an async function under Trio for at most that many seconds.

    Raises:
        AssertionError: it has not ended. It continues in a daemon thread.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(trio.run(function))
        except BaseException as error:  # noqa: BLE001 - raised again after the join
            errors.append(error)

    thread = threading.Thread(target=run, name="asks a credential provider", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise AssertionError(f"the provider did not end in {seconds:g} s")
    return results[0]
