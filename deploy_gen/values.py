"""Checks values of flags, and collects the problems of all of them."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from deploy_gen.problems import Problems

T = TypeVar("T")
Fallback = TypeVar("Fallback")


class Values:
    """Checks values.

    Args:
        problems: get those of the values.
    """

    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    def one(self, flag: str, check: Callable[[str], T], text: str, fallback: Fallback) -> T | Fallback:
        """Check one value. The fallback only serves until the problems are raised."""
        with self._problems.collected(f"{flag}: "):
            return check(text)
        return fallback

    def given(self, flag: str, check: Callable[[str], str], text: str | None, default: str = "") -> str:
        """Check the value of a flag that may be absent or empty."""
        return self.one(flag, check, text, default) if text else default

    def each(self, flag: str, check: Callable[[str], T], texts: Iterable[str]) -> tuple[T, ...]:
        """Check all values, without duplicates. Ignores empty ones, as unset variables of scripts produce them."""
        values: list[T] = []
        for text in filter(None, texts):
            with self._problems.collected(f"{flag}: "):
                values.append(check(text))
        return tuple(dict.fromkeys(values))
