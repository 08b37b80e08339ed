"""Reads what a pod has logged: its attempts, and the lines to show. For where there is no aggregator. Pure functions.

The lines are those of `report/log.py` and `keep/log.py`, in logfmt or JSON. Others are kept as they are.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from nodeprefetch.board import AttemptRecord
from nodeprefetch.cluster.image_facts import ImageFacts
from nodeprefetch.errors import UsageError
from nodeprefetch.events import Outcome, Phase
from nodeprefetch.text.printable import printable
from nodeprefetch.text.scrub import scrub
from nodeprefetch.values.duration import parse_duration
from nodeprefetch.values.timestamp import parse_timestamp

MAX_LINE = 8 << 10
"""Characters of a line that are read."""

_PAIR = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*+"|[^ "=]*+)(?: |\Z)')
_PROBLEMS = {"WARN", "ERROR"}
_ATTEMPTS = {"pulled", "attempt failed"}
_FINAL = {f"image {outcome}": outcome for outcome in Outcome if outcome.is_final}
_RUN, _NEXT_RUN = "run started", "run failed, retrying"


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the log."""

    text: str
    """The whole line, printable and without secrets."""

    at: float = 0
    """Unix seconds, by the node's clock; 0 if unknown."""

    level: str = ""
    message: str = ""
    fields: Mapping[str, str] = {}
    """Durations in seconds or as in Go."""

    @property
    def is_problem(self) -> bool:
        """Whether it is a warning or an error. Lines of another form are: such as the last words before an exit."""
        return self.level in _PROBLEMS or not self.message


def read_log(text: str) -> tuple[LogLine, ...]:
    """Parse a log. Whatever is in it: lines that are not of this program become lines without a message."""
    return tuple(_read_line(line) for line in text.splitlines() if line.strip())


def logged_attempts(lines: Sequence[LogLine], *, node: str) -> tuple[AttemptRecord, ...]:
    """Return the finished attempts, newest first. Those of an image begin again at 1 with each run."""
    found: list[AttemptRecord] = []
    run_id = ""
    for line in lines:
        if line.message == _RUN:
            run_id = line.fields.get("run", "")
        if line.message in _ATTEMPTS and line.fields.get("image"):
            found.append(_attempt(line, node, run_id))
    return tuple(reversed(found))


def logged_images(lines: Sequence[LogLine]) -> dict[str, ImageFacts]:
    """Return the last that is known about each image that the log names."""
    found: dict[str, ImageFacts] = {}
    for line in lines:
        if line.message == _NEXT_RUN:
            at = _after_delay(line)
            found |= {name: msgspec.structs.replace(facts, next_attempt=at) for name, facts in _failed(found)}
        elif line.message == _RUN:
            again = {"state": Outcome.WAITING, "next_attempt": 0}
            found |= {name: msgspec.structs.replace(facts, **again) for name, facts in _failed(found)}
        image = line.fields.get("image", "")
        facts = _facts(line) if image else None
        if facts is not None:
            found[image] = _with_earlier(found.get(image), facts)
    return found


def shown_lines(lines: Sequence[LogLine], images: Collection[str] = (), *, limit: int = 20) -> tuple[LogLine, ...]:
    """Choose the lines to show, oldest first: about these images or about problems, then the newest others.

    Args:
        lines: oldest first.
        images: names as written in the list; empty: no image is preferred.
        limit: how many to show.
    """
    wanted = [
        number
        for number, line in enumerate(lines)
        if line.is_problem or (images and line.fields.get("image") in images)
    ]
    chosen = set(wanted[-limit:])
    others = [number for number in range(len(lines)) if number not in chosen]
    missing = limit - len(chosen)
    chosen.update(others[-missing:] if missing else ())
    return tuple(lines[number] for number in sorted(chosen))


def _read_line(line: str) -> LogLine:
    line = line[:MAX_LINE]
    pairs = dict(_pairs(line))
    is_clean = bool(pairs) and all(scrub(value) == value for value in pairs.values())
    shown = printable(line) if is_clean else scrub(line)  # which would mask the name of a credential too
    at = _unix_seconds(pairs.pop("time", ""))
    level, message = pairs.pop("level", ""), pairs.pop("msg", "")
    return LogLine(text=shown, at=at, level=level, message=message, fields=pairs if message else {})


def _pairs(line: str) -> Iterator[tuple[str, str]]:
    """The fields of a line, all or none."""
    if line.startswith("{"):
        yield from _json_pairs(line)
        return
    found: list[tuple[str, str]] = []
    position = 0
    while position < len(line):
        pair = _PAIR.match(line, position)
        if pair is None:
            return
        value = pair[2]
        if value.startswith('"'):
            try:
                value = str(json.loads(value))
            except ValueError:
                return
        found.append((pair[1], value))
        position = pair.end()
    yield from found


def _json_pairs(line: str) -> Iterator[tuple[str, str]]:
    try:
        known = json.loads(line)
    except (ValueError, RecursionError):
        return
    for key, value in known.items():
        if isinstance(value, str | int | float):
            yield key, str(value)


def _facts(line: LogLine) -> ImageFacts | None:
    fields = line.fields
    match line.message:
        case "pulling":
            return ImageFacts(state=Outcome.PULLING, attempt=_number(fields.get("attempt", "")))
        case Phase.RESOLVING | Phase.DOWNLOADING | Phase.UNPACKING:
            done, total = (_number(fields.get(name, "")) for name in ("done", "total"))
            return ImageFacts(state=Outcome.PULLING, done_bytes=done, total_bytes=total)
        case "attempt failed":
            return _with_error(line, Outcome.WAITING)
        case "retrying after delay":
            return ImageFacts(state=Outcome.WAITING, next_attempt=_after_delay(line))
        case "pulled":
            return ImageFacts(state=Outcome.SUCCEEDED)
        case _ if line.message in _FINAL:
            return _with_error(line, _FINAL[line.message])
        case _:
            return None


def _with_error(line: LogLine, state: Outcome) -> ImageFacts:
    return ImageFacts(
        state=state,
        error=scrub(line.fields.get("error", "")),
        error_class=line.fields.get("class", ""),
        reason=line.fields.get("reason", ""),
    )


def _with_earlier(known: ImageFacts | None, facts: ImageFacts) -> ImageFacts:
    """While an image is tried again, the error of its last attempt is still the one to show."""
    if known is None or facts.error or facts.state not in {Outcome.PULLING, Outcome.WAITING}:
        return facts
    return msgspec.structs.replace(
        facts,
        attempt=facts.attempt or known.attempt,
        error=known.error,
        error_class=known.error_class,
        reason=known.reason,
    )


def _failed(found: Mapping[str, ImageFacts]) -> list[tuple[str, ImageFacts]]:
    return [(name, facts) for name, facts in found.items() if facts.state == Outcome.FAILED]


def _after_delay(line: LogLine) -> float:
    return line.at + _seconds(line.fields.get("delay", "")) if line.at else 0


def _attempt(line: LogLine, node: str, run_id: str) -> AttemptRecord:
    fields = line.fields
    duration = _seconds(fields.get("elapsed", ""))
    return AttemptRecord(
        node=node,
        image=fields["image"],
        attempt=_number(fields.get("attempt", "")),
        started_at=max(line.at - duration, 0),
        duration=duration,
        limit=_seconds(fields.get("limit", "")),
        run_id=run_id,
        size=_number(fields.get("size", "")),
        digest=fields.get("digest", ""),
        credential=fields.get("credential", ""),
        error=scrub(fields.get("error", "")),
        error_class=fields.get("class", ""),
        reason=fields.get("reason", ""),
    )


def _seconds(text: str) -> float:
    """Of a duration in seconds (JSON) or as in Go (logfmt); 0 if it is neither."""
    try:
        seconds = float(text) if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,12})?", text) else parse_duration(text)
    except UsageError:
        return 0
    return seconds


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0


def _unix_seconds(text: str) -> float:
    return (parse_timestamp(text) if text.endswith("Z") else None) or 0
