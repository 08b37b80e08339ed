"""What is known of an image on a node, and how events change it. No I/O.

Batches come at least once, and late: the newest run counts, and within a run nothing goes back from its end.
"""

import msgspec

from nodeprefetch.events import AttemptFinished, AttemptStarted, ImageFinished, Outcome

_FINAL = frozenset(str(outcome) for outcome in Outcome if outcome.is_final)


class ImageState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An image on a node. Also the shape of an image in /v1/status."""

    run: int
    """Number of the run that said so, in order of arrival; 0: the older tool."""

    state: str
    """An outcome's word."""

    since: float
    """Unix seconds, by the node's clock."""

    attempt: int = 0
    """Number of the latest attempt."""

    duration: float = 0.0
    """Seconds the latest attempt took."""

    error: str = ""
    error_class: str = ""
    reason: str = ""
    size: int = 0
    """Bytes; 0 when not known."""

    digest: str = ""

    @property
    def is_final(self) -> bool:
        """Nothing changes it any more in this run."""
        return self.state in _FINAL


def waiting(known: ImageState | None, run: int, at: float) -> ImageState | None:
    """The state after a run began that wants this image; None: nothing new."""
    if known is not None and known.run >= run:
        return None
    return ImageState(run=run, state=Outcome.WAITING, since=at)


def changed(
    known: ImageState | None, run: int, event: AttemptStarted | AttemptFinished | ImageFinished
) -> ImageState | None:
    """The state after an event of a run; None: the event is old or says nothing new."""
    if known is not None and known.run > run:
        return None
    same_run = known if known is not None and known.run == run else None
    if same_run is not None and (same_run.is_final or _is_late(same_run, event)):
        return None
    before = same_run or ImageState(run=run, state=Outcome.WAITING, since=event.at)
    if isinstance(event, AttemptStarted):
        return msgspec.structs.replace(before, state=Outcome.PULLING, since=event.at, attempt=event.attempt)
    if isinstance(event, AttemptFinished):
        return msgspec.structs.replace(
            before,
            state=Outcome.WAITING if event.error else Outcome.PULLING,
            since=event.at,
            attempt=event.attempt,
            duration=event.duration,
            error=event.error,
            error_class=event.error_class,
            reason=event.reason,
            size=event.size,
            digest=event.digest,
        )
    return ImageState(
        run=run,
        state=event.outcome,
        since=event.at,
        attempt=event.attempts,
        duration=before.duration,
        error=event.error,
        error_class=event.error_class,
        reason=event.reason,
        size=event.size or before.size,
        digest=event.digest or before.digest,
    )


def of_older_tool(known: ImageState | None, event: AttemptFinished) -> ImageState | None:
    """The state after a result of the older tool, which tells of attempts alone and of no runs: the latest counts."""
    if known is not None and known.since > event.at:
        return None
    return ImageState(
        run=0,
        state=Outcome.FAILED if event.error else Outcome.SUCCEEDED,
        since=event.at,
        duration=event.duration,
        error=event.error,
        size=event.size,
    )


def _is_late(known: ImageState, event: AttemptStarted | AttemptFinished | ImageFinished) -> bool:
    return event.at < known.since and not isinstance(event, ImageFinished)
