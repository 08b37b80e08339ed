"""Chooses what `wait` writes when its output is no terminal: a line when something changes."""

from collections.abc import Iterable

from nodeprefetch.cli.wait_text import MOST_CAUSES, cause_text, elapsed_text, progress_text
from nodeprefetch.cluster.goal import Goal, Pending
from nodeprefetch.cluster.picture import Cause, Picture
from nodeprefetch.cluster.waiting import Look, Trouble
from nodeprefetch.text.printable import printable

PACE = 10.0
"""Seconds between lines about mere progress."""

SILENCE = 300.0
"""Seconds after which a line is written although nothing has changed: some CI systems end jobs that say nothing."""


class WaitLines:
    """Chooses what is worth a line, for a reader that is no terminal. Causes at once, mere progress now and then."""

    def __init__(self, goal: Goal) -> None:
        self._goal = goal
        self._said: set[object] = set()
        """Causes and notes."""

        self._source = ""
        self._list_digest: str | None = None
        self._progress = ""
        self._progress_at = -SILENCE
        self._notes_at = -SILENCE
        self._troubles: set[str] = set()
        """Of this outage."""

        self._trouble_at = -SILENCE

    def take(self, seen: Look | Trouble) -> list[str]:
        """Return the lines to write now."""
        lines = self._trouble_lines(seen) if isinstance(seen, Trouble) else self._look_lines(seen)
        return [f"{elapsed_text(seen.elapsed)}: {printable(line)}" for line in lines]

    def _trouble_lines(self, trouble: Trouble) -> list[str]:
        if trouble.elapsed < self._trouble_at + (SILENCE if trouble.text in self._troubles else PACE):
            return []
        self._troubles.add(trouble.text)
        self._trouble_at = trouble.elapsed
        return [f"{trouble.text} (trying again)"]

    def _look_lines(self, look: Look) -> list[str]:
        lines = ["answers again"] if self._troubles else []
        self._troubles.clear()
        lines += [*self._changes(look.picture), *self._progress_lines(look)]
        if isinstance(look.verdict, Pending):  # the end is told by another text
            lines += self._notes((*look.picture.notes, *look.verdict.notes), look.elapsed)
            lines += self._causes(look.picture.causes)
        return lines

    def _changes(self, picture: Picture) -> list[str]:
        lines = []
        if picture.source != self._source:
            lines.append(f"{picture.name} in {picture.namespace}, as seen from: {picture.source}")
        if None not in (picture.list_digest, self._list_digest) and picture.list_digest != self._list_digest:
            lines.append("the image list has changed")
        self._source, self._list_digest = picture.source, picture.list_digest or self._list_digest
        return lines

    def _progress_lines(self, look: Look) -> list[str]:
        text = progress_text(look, self._goal)
        since = look.elapsed - self._progress_at
        if not isinstance(look.verdict, Pending) or since < (PACE if text != self._progress else SILENCE):
            return []
        self._progress, self._progress_at = text, look.elapsed
        return [text]

    def _causes(self, causes: Iterable[Cause]) -> list[str]:
        new = []
        for cause in causes:
            kind = (cause.image, cause.error_class, cause.reason)
            key = (kind if any(kind) else cause.text, cause.is_final)
            if key not in self._said:
                self._said.add(key)
                new.append(f"{_kind(cause)}: {cause_text(cause)}")
        more = [f"and {len(new) - MOST_CAUSES} more causes"] if len(new) > MOST_CAUSES else []
        return [*new[:MOST_CAUSES], *more]

    def _notes(self, notes: Iterable[str], elapsed: float) -> list[str]:
        new = [note for note in dict.fromkeys(notes) if note not in self._said]
        if not new or elapsed < self._notes_at + PACE:
            return []
        self._said.update(new)
        self._notes_at = elapsed
        return [f"note: {note}" for note in new]


def _kind(cause: Cause) -> str:
    if cause.is_final:
        return "failed for good"
    return "retrying" if cause.image else "not warm"
