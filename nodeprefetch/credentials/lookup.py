"""The credentials for one image, one at a time, from plugins that may be slow, wrong or stale."""

from collections.abc import Callable, Sequence

import msgspec
import trio

from nodeprefetch.credentials.auth import AuthConfig, Credential, Verdict
from nodeprefetch.credentials.keyring import match_keyrings
from nodeprefetch.credentials.plugins import Plugin
from nodeprefetch.credentials.provider_cache import ProviderAnswer, ProviderCache
from nodeprefetch.text.known_secrets import remember_secrets
from nodeprefetch.values.image_ref import ImageRef

SOURCE_PATIENCE = 3.0
"""Seconds for which the credentials of later sources wait for an earlier source that has not answered."""

FRESH = 1.0
"""Seconds for which an answer counts as fresh: a credential refused so soon was never valid."""

Verdicts = dict[tuple[str, AuthConfig], Verdict]
"""The last verdict of this run, by registry and credential; UNDECIDED is not kept.

A refusal may be for one repository only, so it changes the order and nothing else.
"""

_RANKS = {Verdict.WORKED: 0, Verdict.UNDECIDED: 1, Verdict.REFUSED: 2}


class SourceCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """What one source has for an image."""

    credentials: tuple[Credential, ...]
    """The most specific key first."""

    asked_at: float
    """When its oldest answer was requested, on Trio's clock."""

    is_complete: bool
    """Whether all of its providers answered."""


class PluginSource:
    """The providers of one plugin, as one source."""

    def __init__(self, plugin: Plugin, nursery: trio.Nursery, warn: Callable[[str], None]) -> None:
        self.providers = tuple(
            ProviderCache(name, provider, nursery=nursery, warn=warn) for name, provider in plugin.providers
        )

    async def find(self, image: ImageRef, *, asked_after: float = -float("inf")) -> SourceCredentials:
        """Ask all providers that want the image, and return the credentials whose key matches it."""
        asked = [provider for provider in self.providers if provider.matches(image)]
        answers: list[ProviderAnswer | None] = [None] * len(asked)

        async def ask(number: int) -> None:
            answers[number] = await asked[number].answer(image, asked_after=asked_after)

        if len(asked) == 1:
            await ask(0)
        elif asked:
            async with trio.open_nursery() as nursery:
                for number in range(len(asked)):
                    nursery.start_soon(ask, number)
        known = [(provider.name, answer) for provider, answer in zip(asked, answers, strict=True) if answer is not None]
        return SourceCredentials(
            credentials=_matching(image, known),
            asked_at=min((answer.asked_at for _, answer in known), default=float("inf")),
            is_complete=len(known) == len(asked),
        )


def _matching(image: ImageRef, known: Sequence[tuple[str, ProviderAnswer]]) -> tuple[Credential, ...]:
    found: list[Credential] = []
    for match in match_keyrings([answer.keyring for _, answer in known], image.lookup_name):
        name, answer = known[match.keyring]
        auth = match.entry.auth
        remember_secrets(auth.secrets)
        found.append(
            Credential(
                source=name,
                key=match.entry.key,
                auth=auth,
                valid_until=answer.valid_until,
                normal_key=match.key,
            )
        )
    return tuple(found)


class ChainLookup:
    """A `Lookup` over plugins.

    Credentials come in the order of the sources, and within a source in the order of its keyring. Among credentials
    under equal keys, those that worked at the registry come first, and those that it refused come last.

    Args:
        image: the image to look up.
        sources: in the order of use.
        verdicts: those of the run; `report` adds to them.
    """

    def __init__(self, image: ImageRef, sources: Sequence[PluginSource], verdicts: Verdicts) -> None:
        self._image = image
        self._sources = sources
        self._verdicts = verdicts
        self._began = trio.current_time()
        self._found: list[SourceCredentials | None] = [None] * len(sources)
        self._changed = trio.Event()
        self._searches = [trio.CancelScope() for _ in sources]
        self._given: set[AuthConfig] = set()
        self._refused: dict[AuthConfig, float] = {}
        """When each was refused."""

        self._renewed = False

    @property
    def is_complete(self) -> bool:
        """Whether all sources have answered."""
        return all(found is not None and found.is_complete for found in self._found)

    @property
    def matched(self) -> tuple[Credential, ...]:
        """All matching credentials known so far, in the order of sources and keys."""
        return tuple(one for found in self._found if found is not None for one in found.credentials)

    async def search(self, number: int) -> None:
        """Ask one source; run one such task for each source."""
        with self._searches[number]:
            self._found[number] = await self._sources[number].find(self._image)
            self._changed.set()
            self._changed = trio.Event()

    def abandon(self) -> None:
        """Stop waiting for sources."""
        for scope in self._searches:
            scope.cancel()

    def report(self, credential: Credential, verdict: Verdict) -> None:
        """Report what an attempt with a credential showed."""
        if verdict is Verdict.REFUSED:
            self._refused[credential.auth] = trio.current_time()
        if verdict is not Verdict.UNDECIDED:
            self._verdicts[self._image.registry, credential.auth] = verdict

    async def next(self) -> Credential | None:
        """Return the credential to try next; None if there are no more."""
        ready = await self._ready()
        if not ready and await self._renew():
            ready = await self._ready()
        if not ready:
            return None
        equals = [one for one in ready if one.normal_key == ready[0].normal_key]
        best = min(equals, key=self._rank)
        self._given.add(best.auth)
        return best

    def is_outdated(self, credential: Credential) -> bool:
        """Whether a credential has expired, or was refused for another image while another one may work."""
        if trio.current_time() >= credential.valid_until:
            return True
        refused = _RANKS[Verdict.REFUSED]
        return self._rank(credential) == refused and any(
            one.normal_key == credential.normal_key and one.auth not in self._given and self._rank(one) < refused
            for one in self.matched
        )

    def _rank(self, credential: Credential) -> int:
        return _RANKS[self._verdicts.get((self._image.registry, credential.auth), Verdict.UNDECIDED)]

    async def _ready(self) -> list[Credential]:
        """Return what may be tried now, in order; empty if all are given and all sources have answered."""
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

    def _ungiven(self, found: Sequence[SourceCredentials | None]) -> list[Credential]:
        return [one for each in found if each is not None for one in each.credentials if one.auth not in self._given]

    async def _renew(self) -> bool:
        """Ask sources again, once, whose credentials were refused and may have expired early. True if there are any.

        A cached answer may have expired, and so may one whose image waited long for its turn to be pulled.
        """
        if self._renewed:
            return False
        self._renewed = True
        renewed = False
        for number, found in enumerate(self._found):
            if found is None:
                continue
            refused = [self._refused[one.auth] for one in found.credentials if one.auth in self._refused]
            was_cached = found.asked_at < self._began
            if refused and (was_cached or max(refused) - found.asked_at > FRESH):
                again = msgspec.structs.replace(found, is_complete=False)  # what holds unless it answers in time
                with trio.move_on_after(SOURCE_PATIENCE):
                    again = await self._sources[number].find(self._image, asked_after=found.asked_at)
                self._found[number] = again
                renewed = True
        return renewed
