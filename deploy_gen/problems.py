"""What is wrong with the input: collected, so that all of it is said at once."""

from collections.abc import Iterator
from contextlib import contextmanager


class InputError(Exception):
    """Raised when manifests cannot be made of what was given.

    Args:
        problems: a sentence each.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Problems:
    """Takes the problems of many checks."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def add(self, *problems: str) -> None:
        """Remember problems."""
        self._found.extend(problems)

    @contextmanager
    def collected(self, prefix: str = "") -> Iterator[None]:
        """Remember the `InputError` of a block, with its flag before it, and go on behind the block."""
        try:
            yield
        except InputError as error:
            self.add(*(f"{prefix}{problem}" for problem in error.problems))

    def raise_if_any(self) -> None:
        """Say all of them.

        Raises:
            InputError: there are problems.
        """
        if self._found:
            raise InputError(*dict.fromkeys(self._found))
