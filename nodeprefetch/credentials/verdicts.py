"""What this run has learnt about credentials: which worked at a registry, which were refused, which are being tried."""

import trio

from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.credentials.source import Verdict

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

    def tell(self, registry: str, auth: AuthConfig, verdict: Verdict) -> None:
        """An attempt with it ended."""
        if verdict is not Verdict.UNDECIDED:
            self._known[registry, auth] = verdict
        pilot = self._pilots.pop((registry, auth), None)
        if pilot is not None:
            pilot.set()
