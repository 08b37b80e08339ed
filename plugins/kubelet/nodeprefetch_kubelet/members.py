"""Reads the members of an object, collecting all that is wrong instead of stopping at the first."""

from collections.abc import Callable, Sequence

from nodeprefetch.errors import Problems
from nodeprefetch.values.image_ref import quote


class Members:
    """An object of a configuration. `null` is absent, as in Kubernetes.

    Args:
        value: what stands where the object should be.
        where: what problems are prefixed with: `config.yaml: providers[0] "x"`.
        problems: where they go.
        warn: is told what is odd, and can be used all the same.
        path: where the object is, inside `where`: `env[0]`.
    """

    def __init__(
        self, value: object, where: str, problems: Problems, warn: Callable[[str], None], path: str = ""
    ) -> None:
        self._where = where
        self._problems = problems
        self.warn = warn
        self._path = path
        self._is_object = isinstance(value, dict)
        self._members: dict[str, object] = value if isinstance(value, dict) else {}
        self._read: list[str] = []
        if not self._is_object:
            self.problem(f"must be an object, not {kind_of(value)}")

    def text(self, name: str) -> str:
        """A string that must be there and not be empty; where it is not, an empty one, and a problem."""
        value = self._take(name)
        if value is None:
            self._missing(name)
        elif value == "":
            self.problem(f"`{name}` is empty")
        return self._as_text(value, name)

    def optional_text(self, name: str) -> str:
        """A string that may be absent or empty."""
        return self._as_text(self._take(name), name)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings, empty where it is absent."""
        return tuple(self._as_text(item, f"{name}[{n}]") for n, item in enumerate(self.items(name)))

    def flag(self, name: str) -> bool:
        """A boolean that must be there."""
        value = self._take(name)
        if value is None:
            self._missing(name)
        elif not isinstance(value, bool):
            self.problem(f"`{name}` must be true or false, not {kind_of(value)}")
        return value is True

    def items(self, name: str) -> Sequence[object]:
        """A list of anything, empty where it is absent."""
        value = self._take(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            self.problem(f"`{name}` must be a list, not {kind_of(value)}")
            return ()
        return value

    def objects(self, name: str) -> "tuple[Members, ...]":
        """A list of objects, empty where it is absent."""
        return tuple(
            Members(item, self._where, self._problems, self.warn, self._inside(f"{name}[{n}]"))
            for n, item in enumerate(self.items(name))
        )

    def child(self, name: str, problems: Problems) -> "Members | None":
        """An object in it, None where it is absent; what is wrong with it goes to problems of its own."""
        value = self._take(name)
        return None if value is None else Members(value, self._where, problems, self.warn, self._inside(name))

    def mention_others(self) -> None:
        """Warn of whatever has not been read. The kubelet refuses it in newer versions only."""
        for name in self._members:
            if name not in self._read:
                self.warning(f"unknown field {quote(name)}, ignored (known: {', '.join(self._read)})")

    def problem(self, text: str) -> None:
        """Something is wrong with a member."""
        self._problems.add(self._placed(text))

    def warning(self, text: str) -> None:
        """Something is odd."""
        self.warn(self._placed(text))

    def _take(self, name: str) -> object:
        self._read.append(name)
        return self._members.get(name)

    def _missing(self, name: str) -> None:
        if self._is_object:
            self.problem(f"`{name}` is missing")

    def _as_text(self, value: object, name: str) -> str:
        if value is None:
            return ""
        if not isinstance(value, str):
            hint = ": put it in quotes" if isinstance(value, int | float) else ""
            self.problem(f"`{name}` must be a string, not {kind_of(value)}{hint}")
            return ""
        if "\0" in value:
            self.problem(f"`{name}` has a NUL in it")
        return value

    def _placed(self, text: str) -> str:
        inside = f"`{self._path}`: " if self._path else ""
        return f"{self._where}: {inside}{text}"

    def _inside(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name


def kind_of(value: object) -> str:
    """What a value is, in the words of JSON."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
