"""Formats the answers of `why` for people."""

import math
from collections.abc import Iterator, Sequence

from nodeprefetch.board import AttemptRecord
from nodeprefetch.cli.output import columns
from nodeprefetch.cluster.diagnosis import Diagnosis, ImageDiagnosis
from nodeprefetch.cluster.picture import NodeState
from nodeprefetch.text.printable import printable
from nodeprefetch.values.duration import format_age, format_duration
from nodeprefetch.values.sizes import format_size
from nodeprefetch.values.timestamp import format_timestamp

_HEADER = ("TIME", "", "DURATION", "LIMIT", "SIZE", "CREDENTIAL", "RESULT")


def to_text(diagnoses: Sequence[Diagnosis], *, now: float) -> str:
    """Format the answers, one section for each installation.

    Args:
        diagnoses: at least one.
        now: Unix seconds, for ages.
    """
    return "\n\n".join("\n".join(_section(each, now)) for each in diagnoses)


def _section(diagnosis: Diagnosis, now: float) -> Iterator[str]:
    yield printable(diagnosis.summary)
    yield f"from: {printable(diagnosis.source)}"
    yield from (f"note: {printable(note)}" for note in diagnosis.notes)
    yield from _part("what is in the way", map(printable, diagnosis.obstacles))
    for image in diagnosis.images:
        yield from _image(image, diagnosis.node, now)
    if diagnosis.has_older_attempts:
        yield ""
        yield "older attempts are not shown"
    others = _others(diagnosis)
    if others:
        yield ""
        yield others
    title = f"log of {printable(diagnosis.log_of)}, its last lines"
    yield from _part(title, diagnosis.log)  # is printable
    yield from _part("what to do", map(printable, diagnosis.advice))


def _part(title: str, lines: "Iterator[str] | Sequence[str]") -> Iterator[str]:
    first = True
    for line in lines:
        if first:
            yield ""
            yield f"{title}:"
            first = False
        yield f"  {line}"


def _image(image: ImageDiagnosis, node: str, now: float) -> Iterator[str]:
    yield ""
    cause = "/".join(filter(None, (image.error_class, image.reason)))
    yield printable(f"{image.image}: {image.state}{f' ({cause})' if cause else ''}")
    if image.next_step:
        yield f"  next: {image.next_step}"
    if image.attempts:
        yield from _attempts(image.attempts, now)
    elif image.error:
        yield f"  error: {printable(image.error)}"
    if image.more_attempts:
        older = "1 older attempt" if image.more_attempts == 1 else f"{image.more_attempts} older attempts"
        yield printable(f"  {older}: nodeprefetch why {node} {image.image}")


def _attempts(attempts: Sequence[AttemptRecord], now: float) -> Iterator[str]:
    """A table, with the error of each attempt in full on its own line."""
    table = columns([_HEADER, *(_row(each, now) for each in attempts)]).split("\n")
    yield f"  {table[0]}"
    for row, attempt in zip(table[1:], attempts, strict=True):
        yield f"  {row}"
        if attempt.error:
            yield f"    {printable(attempt.error)}"


def _row(attempt: AttemptRecord, now: float) -> tuple[str, ...]:
    return (
        _time(attempt.started_at),
        f"{format_age(now - attempt.started_at)} ago" if 0 < attempt.started_at < math.inf else "",
        _duration(attempt.duration),
        _duration(attempt.limit) if attempt.limit else "-",
        format_size(attempt.size) or "-",
        attempt.credential or "anonymous",
        "/".join(filter(None, (attempt.error_class, attempt.reason))) or ("failed" if attempt.error else "pulled"),
    )


def _time(at: float) -> str:
    try:
        return format_timestamp(at) if at > 0 else "unknown"
    except (ValueError, OverflowError, OSError):  # of a node whose clock is wrong, or of a program that is not ours
        return "unknown"


def _duration(seconds: float) -> str:
    return format_duration(round(seconds, 1)) if 0 <= seconds < math.inf else "unknown"


def _others(diagnosis: Diagnosis) -> str:
    """The images that have no section of their own, in one line."""
    if diagnosis.state is NodeState.WARM or not diagnosis.listed:
        return ""
    return f"{diagnosis.present} of {diagnosis.listed} images are on the node"
