"""Asks users to report errors that `runtime.pull_errors` does not recognize, once for each shape of text."""

import re

from nodeprefetch.emitter import Reader
from nodeprefetch.events import AttemptFinished, Event, Notice

MOST_SHAPES = 20
"""Notices per run, so that texts with unrecognized variable parts cannot fill the log."""

_SECTION = 'docs/troubleshooting.md, section "Report an unrecognized error"'

_VARIABLE = r"""
  (?P<url> [a-z][a-z0-9+.-]*://[^\s"'<>]+ )
| (?P<quoted> "(?:[^"\\]|\\.)*+" )
| (?P<digest> \b[a-z0-9]+:[0-9a-f]{32,} )
| (?P<address> \[[0-9a-f:]+\](?::\d+)? | \b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)? )
| (?P<name> (?<!\S)[\w.-]*\w(?::\d+)?(?:/[\w.-]+)+(?:[:@][\w.:-]*\w)?
          | (?<![\w.-])(?=[\d.-]*[a-z])[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d+)? )
| (?P<path> (?<!\S)/[^\s:,;]+ )
| (?P<id> \b[0-9a-f]{8,}(?:-[0-9a-f]{4,})*\b )
| (?P<number> \d+(?:\.\d+)? )
"""
"""A verbose pattern, compiled when an error needs it."""


def shape_of(text: str, image: str) -> str:
    """Replace everything that depends on image, node or time by `<kind>`.

    Args:
        text: error of a runtime.
        image: name of the image.
    """
    repository = re.split(r"[@:]", image.rpartition("/")[2])[0]
    shape = text.replace(image, "<image>")
    shape = re.sub(_VARIABLE, lambda found: f"<{found.lastgroup}>", shape, flags=re.VERBOSE)
    return re.sub(rf"(?<![\w<]){re.escape(repository)}(?![\w>])", "<image>", shape) if repository else shape


class UnrecognizedErrors:
    """A reader of events that emits notices about unknown errors.

    Args:
        emit: receives the notices.
    """

    def __init__(self, emit: Reader) -> None:
        self._emit = emit
        self._shapes: set[str] = set()

    def hear(self, event: Event) -> None:
        """Emit a notice for an attempt that ended with an unknown error."""
        if not isinstance(event, AttemptFinished) or event.reason != "unknown" or len(self._shapes) >= MOST_SHAPES:
            return
        shape = shape_of(event.error, event.image)
        if shape not in self._shapes:
            self._shapes.add(shape)
            self._emit(Notice(message=f"unrecognized error, please report it ({_SECTION}): {shape}"))
