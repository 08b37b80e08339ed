"""Logs a run: one line per event, in logfmt or JSON."""

import time
from collections.abc import Callable
from typing import assert_never

from nodeprefetch.emitter import Reader
from nodeprefetch.events import (
    AttemptFinished,
    AttemptStarted,
    CredentialsMatched,
    Event,
    GateOpened,
    ImageFinished,
    ImagesListed,
    ListRejected,
    NodeConditionSet,
    NodeDescribed,
    NodeLabelled,
    Notice,
    Outcome,
    Progress,
    PullsPaused,
    PullsResumed,
    RegistryThrottled,
    RetryPlanned,
    RunFinished,
    RunStarted,
    RuntimeLost,
    RuntimeReturned,
    StartAllowed,
    StartDelayed,
    TagMoved,
    TaintsRemoved,
)
from nodeprefetch.report.readers import ProgressPace
from nodeprefetch.settings import LogFormat
from nodeprefetch.text.outlet import Importance, lines_dropped
from nodeprefetch.text.printable import json_text
from nodeprefetch.values.duration import format_duration
from nodeprefetch.values.timestamp import format_timestamp

INFO, WARNING, ERROR = "INFO", "WARN", "ERROR"

Value = str | int | float | tuple[str, ...]
Line = tuple[str, str, dict[str, Value]]
"""Level, message and fields. A float is a duration in seconds."""


def log_line(event: Event) -> Line:
    """Return the line for an event. Omits empty and zero fields, except for the totals of a run."""
    match event:
        case RunStarted():
            level, message = INFO, "run started"
            known: dict[str, Value] = {
                "run": event.run_id,
                "node": event.node,
                "instance": event.instance,
                "version": event.version,
                "runtime": event.runtime,
                "socket": event.socket,
                "images": len(event.images),
            }
        case (
            StartDelayed()
            | StartAllowed()
            | RuntimeLost()
            | RuntimeReturned()
            | RegistryThrottled()
            | PullsPaused()
            | PullsResumed()
        ):
            level, message, known = _pause_line(event)
        case (
            AttemptStarted()
            | AttemptFinished()
            | TagMoved()
            | Progress()
            | CredentialsMatched()
            | RetryPlanned()
            | ImageFinished()
        ):
            level, message, known = _image_line(event)
        case ImagesListed():
            level, message = (WARNING if event.error else INFO), f"images present {event.when} the pulls"
            known = {"count": len(event.images), "images": event.images, "error": event.error}
        case ListRejected():
            level, message = WARNING, "image lists rejected, using the last valid ones"
            known = {
                "error": event.problems[0],
                "problems": len(event.problems),
                "since": format_timestamp(event.since, precision="milliseconds"),
            }
        case Notice():
            level, message, known = (WARNING if event.is_warning else INFO), event.message, {}
        case NodeLabelled() | NodeConditionSet() | GateOpened() | TaintsRemoved():
            level, message, known = _node_line(event)
        case RunFinished():
            level, message = (ERROR if event.failed and not event.superseded else INFO), f"run {event.end}"
            known = {
                "run": event.run_id,
                "succeeded": event.succeeded,
                "present": event.present,
                "failed": event.failed,
                "elapsed": float(event.elapsed),
            }
            return level, message, known
        case _:
            level, message, known = INFO, type(event).__name__, {}
    return level, message, {key: value for key, value in known.items() if value not in ("", 0, ())}


def _image_line(
    event: AttemptStarted | AttemptFinished | TagMoved | Progress | CredentialsMatched | RetryPlanned | ImageFinished,
) -> Line:
    match event:
        case AttemptStarted():
            level, message = INFO, "pulling"
            known: dict[str, Value] = {
                "image": event.image,
                "attempt": event.attempt,
                "limit": float(event.limit),
                "credential": event.credential,
            }
        case AttemptFinished():
            level, message = (WARNING, "attempt failed") if event.error else (INFO, "pulled")
            known = {
                "image": event.image,
                "attempt": event.attempt,
                "limit": float(event.limit),
                "elapsed": float(event.duration),
                "paused": float(event.paused),
                "credential": event.credential,
                "size": event.size,
                "digest": event.digest,
                "error": event.error,
                "class": event.error_class,
                "reason": event.reason,
            }
        case TagMoved():
            level, message = INFO, "tag moved"
            known = {"image": event.image, "before": event.before, "after": event.after}
        case Progress():
            level, message = INFO, str(event.phase)
            missing = event.total_bytes - event.done_bytes
            known = {
                "image": event.image,
                "done": event.done_bytes,
                "total": event.total_bytes,
                "percent": 100 * event.done_bytes // event.total_bytes if event.total_bytes else 0,
                "rate": event.rate,
                "left": float(missing // event.rate) if event.rate and missing > 0 else 0,
            }
        case CredentialsMatched():
            level, message = INFO, "matching credentials"
            known = {
                "image": event.image,
                "credentials": event.credentials or ("none",),
                "complete": "yes" if event.complete else "no",
            }
        case RetryPlanned():
            level, message = INFO, "retrying after delay"
            known = {"image": event.image, "delay": float(event.delay)}
        case ImageFinished():
            failed = event.outcome is Outcome.FAILED
            level, message = (ERROR if failed else WARNING if event.error else INFO), f"image {event.outcome}"
            known = {
                "image": event.image,
                "attempts": event.attempts,
                "elapsed": float(event.elapsed),
                "size": event.size,
                "digest": event.digest,
                "error": event.error,
                "class": event.error_class,
                "reason": event.reason,
            }
        case _:
            assert_never(event)
    return level, message, known


def _pause_line(
    event: StartDelayed | StartAllowed | RuntimeLost | RuntimeReturned | RegistryThrottled | PullsPaused | PullsResumed,
) -> Line:
    match event:
        case StartDelayed():
            return _delay_line(event)
        case StartAllowed():
            return (
                INFO,
                "pulls may start",
                {"waited": float(event.after), "ticket": "yes" if event.has_ticket else "no"},
            )
        case RuntimeLost():
            return WARNING, "container runtime unavailable, pulls paused", {"error": event.error}
        case RuntimeReturned():
            return INFO, "container runtime available again", {"after": float(event.after)}
        case RegistryThrottled():
            known: dict[str, Value] = {
                "registry": event.registry,
                "delay": float(event.seconds),
                "total": float(event.total),
                "error": event.error,
            }
            return WARNING, "registry throttles pulls", known
        case PullsPaused():
            known = {"reason": event.reason, "detail": event.detail, "images": event.images}
            return INFO, "pulls paused", known
        case PullsResumed():
            known = {"reason": event.reason, "after": float(event.after), "images": event.images}
            return INFO, "pulls resumed", known


def _node_line(event: NodeLabelled | NodeConditionSet | GateOpened | TaintsRemoved) -> Line:
    match event:
        case NodeLabelled():
            done = "node labeled" if event.value else "removed stale node label"
            level, message = (WARNING, "node not labeled") if event.error else (INFO, done)
            return level, message, {"key": event.key, "value": event.value, "error": event.error}
        case NodeConditionSet():
            level, message = (WARNING, "node condition not set") if event.error else (INFO, "node condition set")
            return (
                level,
                message,
                {"type": event.type, "status": event.status, "reason": event.reason, "error": event.error},
            )
        case GateOpened(gave_up=True):
            known: dict[str, Value] = {
                "after": float(event.after),
                "count": event.missing_count,
                "missing": event.missing,
                "error": event.error,
            }
            return WARNING, "gate opened without all images", known
        case GateOpened():
            return INFO, "gate opened", {"after": float(event.after)}
        case TaintsRemoved():
            level, message = (WARNING, "taints not removed") if event.error else (INFO, "taints removed")
            return level, message, {"taints": event.taints, "error": event.error}


def _delay_line(event: StartDelayed) -> Line:
    if event.error:
        return WARNING, "no answer about a ticket", {"error": event.error, "starts_in": float(event.starts_in)}
    if event.starts_in:
        return INFO, "waiting for this node's place in the spread", {"starts_in": float(event.starts_in)}
    known: dict[str, Value] = {"ahead": event.ahead, "pulling": event.pulling, "limit": event.limit}
    return INFO, "waiting for a ticket", known


def to_logfmt(at: float, line: Line) -> str:
    """Format a line as `time=… level=… msg=… key=value …`, with durations as in Go and comma-separated lists."""
    level, message, known = line
    pairs: list[tuple[str, str]] = [
        ("time", format_timestamp(at, precision="milliseconds")),
        ("level", level),
        ("msg", message),
    ]
    for key, value in known.items():
        match value:
            case float():
                text = format_duration(round(value, 3))
            case tuple():
                text = ",".join(value)
            case _:
                text = str(value)
        pairs.append((key, text))
    return " ".join(f"{key}={_quote(text)}" for key, text in pairs)


def to_json(at: float, line: Line) -> str:
    """Format a line as a JSON object, with durations in seconds."""
    level, message, known = line
    return json_text({"time": format_timestamp(at, precision="milliseconds"), "level": level, "msg": message, **known})


def log_to(
    put: Callable[[str, Importance], None],
    style: LogFormat = LogFormat.LOGFMT,
    *,
    progress_interval: float = 10,
    clock: Callable[[], float] = time.monotonic,
) -> Reader:
    """Return a reader that logs each event.

    Args:
        put: receives each line, such as an outlet created with `lost`.
        style: format of the lines.
        progress_interval: seconds between progress lines of an attempt; 0: none.
        clock: seconds, monotonic.
    """
    pace = ProgressPace(progress_interval, clock)

    def emit(event: Event) -> None:
        if not isinstance(event, NodeDescribed) and pace.passes(event):  # nobody looks for that in a log
            put(text_of(event, style), importance(event))

    return emit


def lost(style: LogFormat) -> Callable[[int], str]:
    """Return a function, for an outlet, that formats the line about dropped lines."""
    return lambda count: text_of(Notice(message=lines_dropped(count)), style)


def text_of(event: Event, style: LogFormat) -> str:
    """Format the line of an event."""
    write_line = to_json if style is LogFormat.JSON else to_logfmt
    return write_line(event.at, log_line(event))


def importance(event: Event) -> Importance:
    """Return which lines to keep if not all can be written: results, warnings and errors first."""
    match event:
        case Progress():
            return Importance.PROGRESS
        case AttemptFinished(error="") | AttemptStarted() | RetryPlanned() | CredentialsMatched():
            return Importance.STEP
        case ImagesListed(error="") | PullsPaused() | PullsResumed():
            return Importance.STEP
        case _:
            return Importance.RESULT


def _quote(text: str) -> str:
    """Return the text unchanged if it is unambiguous, else as a JSON string: always one line."""
    if text and text.isascii() and text.isprintable() and not any(mark in text for mark in ' "='):
        return text
    return json_text(text)
