"""Why an installation is not warm on one node: puts together what was found out. Pure functions."""

from collections.abc import Mapping, Sequence

import msgspec

from nodeprefetch.board import AttemptRecord
from nodeprefetch.cluster.advice import advice
from nodeprefetch.cluster.image_facts import ImageFacts
from nodeprefetch.cluster.obstacles import Obstacle
from nodeprefetch.cluster.picture import NodePicture, NodeState
from nodeprefetch.cluster.pod_log import LogLine
from nodeprefetch.events import ON_NODE, Outcome
from nodeprefetch.text.scrub import scrub
from nodeprefetch.values.duration import format_age
from nodeprefetch.values.sizes import format_size
from nodeprefetch.values.timestamp import format_timestamp

ATTEMPTS_SHOWN = 10
"""Attempts of an image, if no image was named."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out about an installation on a node."""

    namespace: str
    name: str
    node: NodePicture
    source: str
    """What it was made from, for people."""

    notes: tuple[str, ...] = ()
    listed: tuple[str, ...] | None = None
    """Images of the list of now; None: unknown."""

    images: Mapping[str, ImageFacts] = {}
    """By name, as the node writes it. May be incomplete."""

    attempts: tuple[AttemptRecord, ...] = ()
    """Newest first."""

    has_older_attempts: bool = False
    obstacles: tuple[Obstacle, ...] = ()
    log: tuple[LogLine, ...] = ()
    """Lines to show."""

    log_of: str = ""
    """Which pod and container wrote them."""

    restarts_alone: bool = False
    """Whether the program itself begins another run (`keep`), and not the kubelet."""


class ImageDiagnosis(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An image and its attempts."""

    image: str
    state: str
    """Value of an `Outcome`, or `unknown`."""

    next_step: str = ""
    error: str = ""
    error_class: str = ""
    reason: str = ""
    attempts: tuple[AttemptRecord, ...] = ()
    """Newest first."""

    more_attempts: int = 0
    """Older ones that are known, but not here."""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to `why`, for one installation."""

    node: str
    namespace: str
    name: str
    state: NodeState
    summary: str
    """One sentence."""

    source: str
    notes: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()
    images: tuple[ImageDiagnosis, ...] = ()
    """Those that are not on the node, or the one that was named."""

    present: int = 0
    """Images on the node."""

    listed: int = 0
    """Images of the list; 0 if unknown."""

    has_older_attempts: bool = False
    """The source has older attempts than those that it has sent."""

    log: tuple[str, ...] = ()
    log_of: str = ""
    advice: tuple[str, ...] = ()


def diagnose(evidence: Evidence, *, image: str | None = None, now: float) -> Diagnosis:
    """Say whether the node is warm, and if not, what keeps it from that.

    Args:
        evidence: what was found out.
        image: the image to tell everything about, as in the list; None: all that are not on the node.
        now: Unix seconds.
    """
    node = evidence.node
    names = [image] if image is not None else _missing(evidence)
    images = tuple(_image(name, evidence, is_named=image is not None, now=now) for name in names)
    remedies = (each.advice for each in evidence.obstacles), (advice(each.error_class, each.reason) for each in images)
    return Diagnosis(
        node=node.node,
        namespace=evidence.namespace,
        name=evidence.name,
        state=node.state,
        summary=_summary(evidence, images),
        source=evidence.source,
        notes=evidence.notes,
        obstacles=tuple(each.text for each in evidence.obstacles),
        images=images,
        present=node.present,
        listed=node.images,
        has_older_attempts=evidence.has_older_attempts,
        log=tuple(line.text for line in evidence.log),
        log_of=evidence.log_of,
        advice=tuple(dict.fromkeys(each for some in remedies for each in some if each)),
    )


def _summary(evidence: Evidence, images: Sequence[ImageDiagnosis]) -> str:
    node = evidence.node
    if node.state is NodeState.SKIPPED:
        return f"{node.node} is skipped for {evidence.name} in namespace {evidence.namespace}: {scrub(node.why)}"
    where = f"{node.node} is {'' if node.state is NodeState.WARM else 'not '}warm for {evidence.name}"
    where += f" in namespace {evidence.namespace}"
    if node.state is NodeState.WARM:
        return f"{where}: {_count(node.images)} on the node" if node.images else where
    first = next((f"{each.image}: {each.error}" for each in images if each.error), "")
    blocking = evidence.obstacles[0].text if evidence.obstacles else ""
    why = scrub(node.why) or first or blocking or str(node.state)
    if node.state is NodeState.FAILED and first and images[0].image not in why:
        why = f"{why}: {first}"
    return f"{where}: {why}"


def _count(images: int) -> str:
    return "the only image is" if images == 1 else f"all {images} images are"


def _missing(evidence: Evidence) -> list[str]:
    """The images that are not on the node, in the order of the list, then those of an older list."""
    if evidence.node.state in {NodeState.WARM, NodeState.SKIPPED}:
        return []
    missing = evidence.node.missing
    order = {name: place for place, name in enumerate(evidence.listed or ())}
    if missing is None:
        missing = tuple(name for name, facts in evidence.images.items() if facts.state not in ON_NODE)
    return sorted(dict.fromkeys(missing), key=lambda name: order.get(name, len(order)))


def _image(name: str, evidence: Evidence, *, is_named: bool, now: float) -> ImageDiagnosis:
    facts = evidence.images.get(name)
    attempts = tuple(map(_clean, (each for each in evidence.attempts if each.image == name)))
    shown = attempts if is_named else attempts[:ATTEMPTS_SHOWN]
    failure = _failure(facts, attempts)
    return ImageDiagnosis(
        image=name,
        state=facts.state if facts else _state_without_facts(name, evidence),
        next_step=_next_step(facts, evidence, now),
        error=scrub(failure.error),
        error_class=failure.error_class,
        reason=failure.reason,
        attempts=shown,
        more_attempts=len(attempts) - len(shown),
    )


def _state_without_facts(name: str, evidence: Evidence) -> str:
    missing = evidence.node.missing
    if evidence.node.state is NodeState.WARM or (missing is not None and name not in missing):
        return Outcome.PRESENT.value
    return "unknown"


def _failure(facts: ImageFacts | None, attempts: Sequence[AttemptRecord]) -> ImageFacts:
    """The error to show: what the image's state says, otherwise that of its latest attempt."""
    if facts is not None and (facts.error or facts.state in ON_NODE):
        return facts
    if not attempts or not attempts[0].error:
        return ImageFacts(state="")
    latest = attempts[0]
    return ImageFacts(state="", error=latest.error, error_class=latest.error_class, reason=latest.reason)


def _clean(attempt: AttemptRecord) -> AttemptRecord:
    """Mask secrets again: an older version, or another program, may have reported it."""
    return msgspec.structs.replace(
        attempt, error=scrub(attempt.error), credential=scrub(attempt.credential), reason=scrub(attempt.reason)
    )


def _share(facts: ImageFacts) -> str:
    if facts.total_bytes:
        return f", {100 * facts.done_bytes // facts.total_bytes}% of its bytes"
    return f", {format_size(facts.done_bytes)} so far" if facts.done_bytes else ""


def _next_step(facts: ImageFacts | None, evidence: Evidence, now: float) -> str:
    """What happens to the image next; empty: nothing."""
    if facts is None:
        return "" if evidence.node.state is NodeState.WARM else "the node has not reported this image yet"
    match facts.state:
        case Outcome.PULLING:
            attempt = f"attempt {facts.attempt}" if facts.attempt else "an attempt"
            return f"{attempt} is in progress{_share(facts)}"
        case Outcome.WAITING | Outcome.FAILED if facts.next_attempt:
            left = facts.next_attempt - now
            when = f"in {format_age(left)}" if left > 0 else "now"
            return f"next attempt at {format_timestamp(facts.next_attempt)} ({when})"
        case Outcome.WAITING:
            return "waits for its next attempt" if facts.error else "waits for its turn"
        case Outcome.FAILED if evidence.restarts_alone:
            return "keep tries it again after some minutes"
        case Outcome.FAILED:
            return "tried again when the kubelet restarts the container"
        case _:
            return ""
