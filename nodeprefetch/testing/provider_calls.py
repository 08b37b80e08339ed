"""Asks credential providers as a run does, and does not wait for ever for one that hangs."""

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
class Answers:
    """What the providers of a plugin answered for an image."""

    image: ImageRef
    each: tuple[ProvidedCredentials, ...]
    """Of every provider that was asked, in their order."""

    @property
    def used(self) -> tuple[KeyringEntry, ...]:
        """The entries that a run would use, in the order of use: the providers of a plugin share a keyring."""
        return Keyring(entry for answer in self.each for entry in answer.entries).lookup(self.image)


def wants(provider: AnyProvider, image: ImageRef) -> bool:
    """What its `matches` says, where it has one."""
    matches = getattr(provider, "matches", None)
    return matches is None or bool(matches(image))


def is_blocking(provider: AnyProvider) -> bool:
    """Whether it has to be called in a thread."""
    return not inspect.iscoroutinefunction(provider.get_credentials)


async def ask_each(providers: Sequence[AnyProvider], image: ImageRef) -> Answers:
    """Ask those that want to be asked; what they raise is passed on."""
    each = [await ask_one(provider, image) for provider in providers if wants(provider, image)]
    return Answers(image=image, each=tuple(each))


async def ask_one(provider: AnyProvider, image: ImageRef) -> ProvidedCredentials:
    """Ask one: a provider that blocks in a thread, which is left to itself when the call is cancelled."""
    if is_blocking(provider):
        answer: object = await trio.to_thread.run_sync(provider.get_credentials, image, abandon_on_cancel=True)
    else:
        answer = await cast("Awaitable[object]", provider.get_credentials(image))
    if not isinstance(answer, ProvidedCredentials):
        kind = type(answer).__name__
        raise AssertionError(f"{type(provider).__name__} answered {kind}, not ProvidedCredentials")  # noqa: TRY004
    return answer


def run_within(seconds: float, function: Callable[[], Awaitable[T]]) -> T:
    """Run an async function under Trio, to its end or until that many seconds are over.

    Raises:
        AssertionError: it has not ended. It goes on in a thread that does not keep the process alive.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(trio.run(function))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            errors.append(error)

    thread = threading.Thread(target=run, name="asks a credential provider", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise AssertionError(f"the provider has not come to an end in {seconds:g} s")
    return results[0]
