"""Who is told what a run says: readers one after another, and notices that wait for a reader."""

from nodeprefetch.events import Event, Notice, Reader


class Telling:
    """Tells every reader every event.

    Args:
        readers: told in this order.
    """

    def __init__(self, *readers: Reader) -> None:
        self._readers = list(readers)

    def add(self, reader: Reader) -> None:
        """Tell this one too, after the others."""
        self._readers.append(reader)

    def add_first(self, reader: Reader) -> None:
        """Tell this one too, before the others."""
        self._readers.insert(0, reader)

    def __call__(self, event: Event) -> None:
        """Tell it to all."""
        for reader in self._readers:
            reader(event)


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
