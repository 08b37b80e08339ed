"""Sends events of nodes to an aggregator, as their runs do."""

import http.client
import time
from typing import Any

import msgspec

from nodeprefetch.batch import AnyEvent
from nodeprefetch.events import AttemptFinished, AttemptStarted, ImageFinished, Outcome, Phase, Progress
from nodeprefetch.settings import PullPolicy
from tests.support.batches import batch_of, begun

MIB = 1 << 20


def submit(port: int, *events: AnyEvent, token: str = "", **about: Any) -> None:
    """Send one batch.

    Args:
        port: of the aggregator, on 127.0.0.1.
        events: of one run.
        token: bearer token, if it needs one.
        about: `run_id`, `node`, `instance`.

    Raises:
        OSError: the aggregator cannot be reached.
        ValueError: it refused.
    """
    headers = {"content-type": "application/msgpack"} | ({"authorization": f"Bearer {token}"} if token else {})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        connection.request("POST", "/v1/events", msgspec.msgpack.encode(batch_of(*events, **about)), headers)
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise ValueError(f"{response.status} {text[:200]!r}")


def run_begins(node: str, *images: str) -> AnyEvent:
    """A run that begins now; its ID is `run of NODE`."""
    return begun(*images, at=time.time(), run_id=f"run of {node}", node=node)


def pulling(image: str, share: int, *, size: int = 100 * MIB, node: str = "") -> list[AnyEvent]:
    """An attempt that has brought so many percent."""
    attempt_id = f"{node} {image}"
    now = time.time()
    return [
        AttemptStarted(at=now, attempt_id=attempt_id, image=image, attempt=1, limit=30),
        Progress(
            at=now,
            attempt_id=attempt_id,
            image=image,
            phase=Phase.DOWNLOADING,
            done_bytes=size * share // 100,
            total_bytes=size,
            rate=MIB,
        ),
    ]


def finished(
    image: str,
    error: str = "",
    *,
    reason: str = "not_found",
    size: int = 100 * MIB,
    node: str = "",
    credential: str = "",
) -> list[AnyEvent]:
    """The last attempt at an image, and its end."""
    now = time.time()
    error_class = "permanent" if error else ""
    reason = reason if error else ""
    digest = "" if error else f"sha256:{hash(image) & 0xFFFF:064x}"
    return [
        AttemptFinished(
            at=now,
            attempt_id=f"{node} {image}",
            image=image,
            attempt=1,
            started_at=now - 3,
            duration=3,
            limit=30,
            credential=credential,
            error=error,
            error_class=error_class,
            reason=reason,
            size=0 if error else size,
            digest=digest,
        ),
        ImageFinished(
            at=now,
            image=image,
            outcome=Outcome.FAILED if error else Outcome.SUCCEEDED,
            policy=PullPolicy.IF_NOT_PRESENT,
            attempts=1,
            elapsed=3,
            error=error,
            error_class=error_class,
            reason=reason,
            size=0 if error else size,
            digest=digest,
        ),
    ]
