"""The secrets that were handed out in a run, so that no text of others shows one of them: `scrub` masks them all.

Whoever is told a password may repeat it later, in another call: a registry, a mirror, a credential plugin, the runtime.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from contextvars import ContextVar

_known: ContextVar[set[str] | None] = ContextVar("known_secrets", default=None)


@contextmanager
def knowing_secrets() -> Iterator[None]:
    """Within the block, and in tasks and threads begun there, secrets are known from when they are handed out."""
    token = _known.set(set())
    try:
        yield
    finally:
        _known.reset(token)


def remember_secrets(secrets: Iterable[str]) -> None:
    """These are handed out. Outside of any block they are forgotten at once."""
    known = _known.get()
    if known is not None:
        known.update(secrets)


def known_secrets() -> AbstractSet[str]:
    """All of them so far."""
    return _known.get() or frozenset()
