"""The credentials for one image, one after the other, from plugins that may be slow, wrong or stale."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import trio

from nodeprefetch.credentials.auth import AuthConfig, Credential, Verdict
from nodeprefetch.credentials.keyring import KeyPattern, Keyring, KeyringEntry
from nodeprefetch.credentials.plugins import Plugin
from nodeprefetch.credentials.provider_cache import Answer, ProviderCache
from nodeprefetch.values.image_ref import ImageRef

PILOT_PATIENCE = 1.0
"""Seconds to wait for another image's attempt to show whether a credential is refused: a refusal comes fast, and a pull
that has gone on for longer was let in."""


class Verdicts:
    """By registry and credential. A refusal may be for one repository only, so it changes an order and nothing more."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, AuthConfig], Verdict] = {}
        self._pilots: dict[tuple[str, AuthConfig], trio.Event] = {}

    def rank(self, registry: str, auth: AuthConfig) -> int:
        """What worked before what is unknown before what was refused."""
        return {Verdict.WORKED: 0, Verdict.REFUSED: 2}.get(self.of(registry, auth), 1)

    def of(self, registry: str, auth: AuthConfig) -> Verdict:
        """The last verdict; UNDECIDED where there is none."""
        return self._known.get((registry, auth), Verdict.UNDECIDED)

    def begin(self, registry: str, auth: AuthConfig) -> None:
        """An attempt with it begins. The first one of several is the pilot."""
        if self.of(registry, auth) is Verdict.UNDECIDED:
            self._pilots.setdefault((registry, auth), trio.Event())

    async def wait_for_pilot(self, registry: str, auth: AuthConfig) -> bool:
        """Wait until somebody's attempt with it has shown something. False, and no waiting, when nobody tries it."""
        pilot = self._pilots.get((registry, auth))
        if pilot is None:
            return False
        with trio.move_on_after(PILOT_PATIENCE):
            await pilot.wait()
        return True

    def report(self, registry: str, auth: AuthConfig, verdict: Verdict) -> None:
        """An attempt with it ended."""
        if verdict is not Verdict.UNDECIDED:
            self._known[registry, auth] = verdict
        pilot = self._pilots.pop((registry, auth), None)
        if pilot is not None:
            pilot.set()


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

    def __init__(self, plugin: Plugin, nursery: trio.Nursery, warn: Callable[[str], None]) -> None:
        self.name = plugin.name
        self.providers = tuple(
            ProviderCache(name, provider, nursery=nursery, warn=warn) for name, provider in plugin.providers
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


SOURCE_PATIENCE = 3.0
"""Seconds for which what later sources know waits for an earlier source that has not answered."""

FRESH = 1.0
"""Seconds for which an answer is not doubted: what is refused so soon after it was asked for was never right."""


class ChainLookup:
    """A `Lookup` over plugins.

    The order is that of the sources, and within one of them that of its keyring. Among credentials under equal keys
    those that worked at the registry come first, those that were refused there last; where that is not known and
    somebody is just finding out, a moment is waited for it: many images cost one refused login, not one each.

    Args:
        image: what for.
        sources: in their order.
        verdicts: what the run has learnt.
    """

    def __init__(self, image: ImageRef, sources: Sequence[PluginSource], verdicts: Verdicts) -> None:
        self._image = image
        self._sources = sources
        self._verdicts = verdicts
        self._began = trio.current_time()
        self._found: list[Found | None] = [None] * len(sources)
        self._changed = trio.Event()
        self._searches = [trio.CancelScope() for _ in sources]
        self._given: set[AuthConfig] = set()
        self._refused: dict[AuthConfig, float] = {}
        """And when."""

        self._waited_for: set[AuthConfig] = set()
        self._renewed = False

    @property
    def is_complete(self) -> bool:
        """No source failed to answer so far."""
        return all(found is not None and found.is_complete for found in self._found)

    @property
    def matched(self) -> tuple[Credential, ...]:
        """All that is known so far to match, in the order of sources and keys."""
        return tuple(one for found in self._found if found is not None for one in found.credentials)

    async def search(self, number: int) -> None:
        """Ask one source; runs beside the others."""
        with self._searches[number]:
            self._found[number] = await self._sources[number].find(self._image)
            self._changed.set()
            self._changed = trio.Event()

    def abandon(self) -> None:
        """Wait for no source any more."""
        for scope in self._searches:
            scope.cancel()

    def report(self, credential: Credential, verdict: Verdict) -> None:
        """What became of one that was given."""
        if verdict is Verdict.REFUSED:
            self._refused[credential.auth] = trio.current_time()
        self._verdicts.report(self._image.registry, credential.auth, verdict)

    async def next(self) -> Credential | None:
        """The credential to try next; None when there is no more."""
        while True:
            ready = await self._ready()
            if not ready:
                if self._renewed or not await self._renew():
                    return None
                continue
            first = _specificity(ready[0].key)
            equals = [one for one in ready if _specificity(one.key) == first]
            best = min(equals, key=lambda one: self._verdicts.rank(self._image.registry, one.auth))
            if await self._wait_for_pilot(best, equals):
                continue
            self._given.add(best.auth)
            self._verdicts.begin(self._image.registry, best.auth)
            return best

    async def _ready(self) -> list[Credential]:
        """What may be tried now, in order; empty when everything known has been given and nobody is asked any more."""
        while True:
            missing = next((number for number, found in enumerate(self._found) if found is None), len(self._found))
            before = self._ungiven(self._found[:missing])
            if before or missing == len(self._found):
                return before
            after = self._ungiven(self._found[missing:])
            deadline = self._began + SOURCE_PATIENCE if after else float("inf")
            with trio.CancelScope(deadline=deadline) as patience:
                await self._changed.wait()
            if patience.cancelled_caught:
                return after

    def _ungiven(self, found: Sequence[Found | None]) -> list[Credential]:
        return [one for each in found if each is not None for one in each.credentials if one.auth not in self._given]

    async def _wait_for_pilot(self, best: Credential, equals: Sequence[Credential]) -> bool:
        """Wait for another image's attempt where its outcome could change the order. True when there was one."""
        registry = self._image.registry
        others = [one for one in equals if one.auth != best.auth]
        if (
            best.auth in self._waited_for
            or self._verdicts.of(registry, best.auth) is not Verdict.UNDECIDED
            or all(self._verdicts.of(registry, one.auth) is Verdict.REFUSED for one in others)
        ):
            return False
        self._waited_for.add(best.auth)
        return await self._verdicts.wait_for_pilot(registry, best.auth)

    async def _renew(self) -> bool:
        """Ask sources again whose answers were refused when they were not fresh any more: they may have expired early.

        A remembered answer is none that is fresh, nor is one with which a pull waited long for its slot. Once.
        """
        self._renewed = True
        renewed = False
        for number, found in enumerate(self._found):
            if found is None:
                continue
            refused = [self._refused[one.auth] for one in found.credentials if one.auth in self._refused]
            was_remembered = found.asked_at < self._began
            if refused and (was_remembered or max(refused) - found.asked_at > FRESH):
                again = replace(found, is_complete=False)  # what holds unless it answers in time
                with trio.move_on_after(SOURCE_PATIENCE):
                    again = await self._sources[number].find(self._image, asked_after=found.asked_at)
                self._found[number] = again
                renewed = True
        return renewed


def _specificity(key: str) -> str:
    """Keys that are written differently and mean the same are equally specific."""
    pattern = KeyPattern.parse(key)
    return pattern.without_api_version().text if pattern else key
