"""How events reach their readers."""

from collections.abc import Callable

from nodeprefetch.events import Event, Notice

Reader = Callable[[Event], None]
"""Receives events, in order and in Trio's thread. Must not block. `Emitter` isolates a reader that raises."""


class Emitter:
    """Passes every event to all readers. A reader that raises is named in a notice, once, and affects nobody else.

    Args:
        readers: called in this order.
    """

    def __init__(self, *readers: Reader) -> None:
        self._readers = list(readers)
        self._raised: list[Reader] = []

    def add(self, reader: Reader) -> None:
        """Add a reader after the others."""
        self._readers.append(reader)

    def add_first(self, reader: Reader) -> None:
        """Add a reader before the others."""
        self._readers.insert(0, reader)

    def __call__(self, event: Event) -> None:
        """Pass an event to all readers. Does not raise."""
        for reader in self._readers:
            try:
                reader(event)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with a reader, pulls continue
                self._warn(reader, event, error)

    def _warn(self, reader: Reader, event: Event, error: Exception) -> None:
        if reader not in self._raised:
            self._raised.append(reader)
            name = getattr(reader, "__qualname__", type(reader).__qualname__).partition(".")[0]
            about = type(event).__name__
            self(Notice(message=f"{name} failed at {about}, the run continues: {where_raised(error)}"))


def where_raised(error: BaseException) -> str:
    """The class of an error, and the line that raised it. Not its text, which may contain anything."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    file = trace.tb_frame.f_code.co_filename.rpartition("/")[2]
    return f"{type(error).__name__} in {file}, line {trace.tb_lineno}"


class Notices:
    """Collects notices until there is a reader."""

    def __init__(self) -> None:
        self._kept: list[Notice] = []
        self._emit: Reader | None = None

    def add(self, text: str) -> None:
        """Add a warning."""
        self._take(Notice(message=text))

    def info(self, text: str) -> None:
        """Add a message that requires no action."""
        self._take(Notice(message=text, is_warning=False))

    def pass_to(self, emit: Reader) -> None:
        """Pass all notices to a reader, those collected so far at once."""
        self._emit = emit
        for notice in self._kept:
            emit(notice)
        self._kept.clear()

    def _take(self, notice: Notice) -> None:
        if self._emit is None:
            self._kept.append(notice)
        else:
            self._emit(notice)
