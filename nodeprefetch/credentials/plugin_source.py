"""One plugin as a source: its providers' answers in one keyring, as the kubelet does with its providers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import trio

from nodeprefetch.credentials.auth import Credential
from nodeprefetch.credentials.keyring import Keyring, KeyringEntry
from nodeprefetch.credentials.plugins import Plugin
from nodeprefetch.credentials.provider_cache import Answer, ProviderCache
from nodeprefetch.values.image_ref import ImageRef


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What one source knows for an image."""

    credentials: tuple[Credential, ...]
    asked_at: float
    """When the oldest of the answers was asked for, on Trio's clock."""

    is_complete: bool
    """All its providers answered."""


class PluginSource:
    """One plugin."""

    def __init__(self, plugin: Plugin, nursery: trio.Nursery, complain: Callable[[str], None]) -> None:
        self.name = plugin.name
        self.providers = tuple(
            ProviderCache(name, provider, nursery=nursery, complain=complain) for name, provider in plugin.providers
        )
        self._keyring: tuple[tuple[tuple[KeyringEntry, ...], ...], Keyring] = ((), Keyring())

    async def find(self, image: ImageRef, *, asked_after: float = -float("inf")) -> Found:
        """The credentials of all providers that match, the most specific key first."""
        asked = [provider for provider in self.providers if provider.matches(image)]
        answers: list[Answer | None] = [None] * len(asked)

        async def ask(number: int) -> None:
            answers[number] = await asked[number].answer(image, asked_after=asked_after)

        if len(asked) == 1:
            await ask(0)
        elif asked:
            async with trio.open_nursery() as nursery:
                for number in range(len(asked)):
                    nursery.start_soon(ask, number)
        known = [(provider.name, answer) for provider, answer in zip(asked, answers, strict=True) if answer is not None]
        return Found(
            credentials=tuple(self._matching(image, known)),
            asked_at=min((answer.asked_at for _, answer in known), default=float("inf")),
            is_complete=len(known) == len(asked),
        )

    def _matching(self, image: ImageRef, known: Sequence[tuple[str, Answer]]) -> Iterator[Credential]:
        parts = tuple(answer.provided.entries for _, answer in known)
        if len(parts) != len(self._keyring[0]) or any(a is not b for a, b in zip(parts, self._keyring[0], strict=True)):
            self._keyring = (parts, Keyring(entry for part in parts for entry in part))
        origin = {id(entry): (name, answer) for name, answer in known for entry in answer.provided.entries}
        for entry in self._keyring[1].lookup(image):
            name, answer = origin[id(entry)]
            yield Credential(source=name, key=entry.key, auth=entry.auth, valid_until=answer.valid_until)
