"""Makes events and batches as a run on a node sends them."""

from itertools import count

from nodeprefetch.batch import AnyEvent, Batch
from nodeprefetch.events import AttemptFinished, ImageFinished, Outcome, RunStarted
from nodeprefetch.settings import PullPolicy

_numbers = count(1)


def batch_of(*events: AnyEvent, run_id: str = "run-1", node: str = "node-1", instance: str = "main") -> Batch:
    """A batch of one run."""
    return Batch(run_id=run_id, node=node, version="1.0", instance=instance, events=events)


def attempt(
    image: str = "a:1", *, attempt_id: str | None = None, at: float = 100.0, error: str = ""
) -> AttemptFinished:
    """An attempt of 1.5 s, with an ID that no other has."""
    return AttemptFinished(
        at=at,
        attempt_id=attempt_id or f"attempt-{next(_numbers)}",
        image=image,
        attempt=1,
        started_at=at - 1.5,
        duration=1.5,
        limit=30.0,
        error=error,
        error_class="permanent" if error else "",
        reason="not_found" if error else "",
        size=0 if error else 1000,
        digest="" if error else "sha256:1",
    )


def ended(
    image: str = "a:1", outcome: Outcome = Outcome.SUCCEEDED, *, at: float = 101.0, digest: str = ""
) -> ImageFinished:
    """The end of an image."""
    return ImageFinished(
        at=at,
        image=image,
        outcome=outcome,
        policy=PullPolicy.IF_NOT_PRESENT,
        attempts=1,
        elapsed=2.0,
        digest=digest,
        error="not found" if outcome is Outcome.FAILED else "",
    )


def begun(
    *images: str,
    at: float = 90.0,
    run_id: str = "run-1",
    node: str = "node-1",
    report_every: float = 0,
    list_digest: str = "",
) -> RunStarted:
    """The beginning of a run."""
    return RunStarted(
        at=at,
        run_id=run_id,
        node=node,
        version="1.0",
        runtime="containerd 2.0.0",
        socket="/run/c.sock",
        images=images,
        report_every=report_every,
        list_digest=list_digest,
    )
