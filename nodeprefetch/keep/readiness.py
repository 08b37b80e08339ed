"""Decides whether the node is ready: every image of its lists is there, as far as runs have seen. Pure."""

from __future__ import annotations

from nodeprefetch.keep.schedule import ALLOWED, BLIND, DONE, FAILED, STALE


class Readiness:
    """Takes what happens, in order. Not ready at first."""

    __slots__ = ("_was_blind", "is_ready")

    def __init__(self) -> None:
        self.is_ready = False
        self._was_blind = False

    def forget(self) -> None:
        """The lists have changed: what was there says nothing about them."""
        self.is_ready = False

    def judge(self, verdict: str) -> None:
        """A run has ended.

        One that could not look at the images changes nothing, except after another such run: nobody knows by then.
        Other verdicts say nothing about the images.
        """
        if verdict in (DONE, STALE, ALLOWED):
            self.is_ready = True
        elif verdict == FAILED:
            self.is_ready = False
        elif verdict == BLIND:
            self.is_ready = self.is_ready and not self._was_blind
        self._was_blind = verdict == BLIND
