"""Reads the fields of an object and collects all problems instead of stopping at the first."""

from collections.abc import Callable, Sequence

from nodeprefetch.credentials import Problems, quote


class Members:
    """An object in a configuration. As in Kubernetes, `null` means absent.

    Args:
        value: the parsed value, which should be an object.
        where: the prefix of problems: `config.yaml: providers[0] "x"`.
        problems: collects the problems.
        warn: called with each warning.
        path: the object's place inside `where`: `env[0]`.
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
        """Return a required, non-empty string; if it is not, add a problem and return an empty one."""
        value = self._take(name)
        if value is None:
            self._missing(name)
        elif value == "":
            self.problem(f"`{name}` is empty")
        return self._as_text(value, name)

    def optional_text(self, name: str) -> str:
        """Return a string; empty if it is absent."""
        return self._as_text(self._take(name), name)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of strings; empty if it is absent."""
        return tuple(self._as_text(item, f"{name}[{n}]") for n, item in enumerate(self.items(name)))

    def flag(self, name: str) -> bool:
        """Return a required boolean."""
        value = self._take(name)
        if value is None:
            self._missing(name)
        elif not isinstance(value, bool):
            self.problem(f"`{name}` must be true or false, not {kind_of(value)}")
        return value is True

    def items(self, name: str) -> Sequence[object]:
        """Return a list of any values; empty if it is absent."""
        value = self._take(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            self.problem(f"`{name}` must be a list, not {kind_of(value)}")
            return ()
        return value

    def objects(self, name: str) -> "tuple[Members, ...]":
        """Return a list of objects; empty if it is absent."""
        return tuple(
            Members(item, self._where, self._problems, self.warn, self._inside(f"{name}[{n}]"))
            for n, item in enumerate(self.items(name))
        )

    def child(self, name: str, problems: Problems) -> "Members | None":
        """Return an object, or None if it is absent; its problems are collected separately."""
        value = self._take(name)
        return None if value is None else Members(value, self._where, problems, self.warn, self._inside(name))

    def mention_others(self) -> None:
        """Warn of all fields that were not read. Only newer kubelets reject them."""
        for name in self._members:
            if name not in self._read:
                self.warning(f"unknown field {quote(name)}, ignored (known: {', '.join(self._read)})")

    def problem(self, text: str) -> None:
        """Add a problem of this object."""
        self._problems.add(self._placed(text))

    def warning(self, text: str) -> None:
        """Add a warning about this object."""
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
            hint = " (add quotes)" if isinstance(value, int | float) else ""
            self.problem(f"`{name}` must be a string, not {kind_of(value)}{hint}")
            return ""
        if "\0" in value:
            self.problem(f"`{name}` must not contain a NUL byte")
        return value

    def _placed(self, text: str) -> str:
        inside = f"`{self._path}`: " if self._path else ""
        return f"{self._where}: {inside}{text}"

    def _inside(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name


def kind_of(value: object) -> str:
    """Name the type of a value in JSON's terms."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
