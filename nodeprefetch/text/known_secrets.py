"""Collects the secrets that a run uses, so that `scrub` can mask them in all foreign text.

A registry, a mirror, a credential plugin or the runtime may repeat a password later, in the error of another call.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from contextvars import ContextVar

_known: ContextVar[set[str] | None] = ContextVar("known_secrets", default=None)


@contextmanager
def knowing_secrets() -> Iterator[None]:
    """Collect secrets within the block, and in tasks and threads started there."""
    token = _known.set(set())
    try:
        yield
    finally:
        _known.reset(token)


def remember_secrets(secrets: Iterable[str]) -> None:
    """Add secrets before they are used. Does nothing outside of a `knowing_secrets` block."""
    known = _known.get()
    if known is not None:
        known.update(secrets)


def known_secrets() -> AbstractSet[str]:
    """All secrets collected so far."""
    return _known.get() or frozenset()
