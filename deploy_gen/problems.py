"""Collects problems of the input, so that all of them are reported at once."""

from collections.abc import Iterator
from contextlib import contextmanager


class InputError(Exception):
    """Raised when the input is invalid.

    Args:
        problems: one sentence per problem.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Problems:
    """Collects the problems of many checks."""

    def __init__(self) -> None:
        self._problems: list[str] = []

    def add(self, *problems: str) -> None:
        """Add problems."""
        self._problems.extend(problems)

    @contextmanager
    def collected(self, prefix: str = "") -> Iterator[None]:
        """Add the `InputError` of a block, its flag as the prefix, and continue after the block."""
        try:
            yield
        except InputError as error:
            self.add(*(f"{prefix}{problem}" for problem in error.problems))

    def raise_if_any(self) -> None:
        """Report all problems, each once.

        Raises:
            InputError: there are problems.
        """
        if self._problems:
            raise InputError(*dict.fromkeys(self._problems))
