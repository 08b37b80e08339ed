"""Who is told what a run says: readers one after another, and notices that wait for a reader."""

from nodeprefetch.events import Event, Notice, Reader


class Telling:
    """Tells every reader every event. One that raises harms neither the caller nor the others; a notice names it, once.

    Args:
        readers: told in this order.
    """

    def __init__(self, *readers: Reader) -> None:
        self._readers = list(readers)
        self._raised: list[Reader] = []

    def add(self, reader: Reader) -> None:
        """Tell this one too, after the others."""
        self._readers.append(reader)

    def add_first(self, reader: Reader) -> None:
        """Tell this one too, before the others."""
        self._readers.insert(0, reader)

    def __call__(self, event: Event) -> None:
        """Tell it to all. Does not raise."""
        for reader in self._readers:
            try:
                reader(event)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with a reader, pulls go on
                self._complain(reader, event, error)

    def _complain(self, reader: Reader, event: Event, error: Exception) -> None:
        if reader not in self._raised:
            self._raised.append(reader)
            name = getattr(reader, "__qualname__", type(reader).__qualname__).partition(".")[0]
            about = type(event).__name__
            self(Notice(message=f"{name} failed at {about}, the run continues: {where_raised(error)}"))


def where_raised(error: BaseException) -> str:
    """The error's class, and the line that raised it. Not its text, which may be anything."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    file = trace.tb_frame.f_code.co_filename.rpartition("/")[2]
    return f"{type(error).__name__} in {file}, line {trace.tb_lineno}"


class Notices:
    """Takes what people should know, from any thread, and keeps it until there is a reader."""

    def __init__(self) -> None:
        self._kept: list[Notice] = []
        self._tell: Reader | None = None

    def add(self, text: str) -> None:
        """One more that people should look into."""
        self._take(Notice(message=text))

    def mention(self, text: str) -> None:
        """One more for the record."""
        self._take(Notice(message=text, is_warning=False))

    def pass_to(self, tell: Reader) -> None:
        """From now on a reader hears them; what was kept, at once."""
        self._tell = tell
        for notice in self._kept:
            tell(notice)
        self._kept.clear()

    def _take(self, notice: Notice) -> None:
        if self._tell is None:
            self._kept.append(notice)
        else:
            self._tell(notice)
