"""Many nodes that report to an aggregator at once: batches made beforehand, sent by threads over kept connections."""

import http.client
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import msgspec

from nodeprefetch.batch import AnyEvent, Batch
from nodeprefetch.events import AttemptFinished, AttemptStarted, ImageFinished, Outcome, RunEnd, RunFinished, RunStarted
from nodeprefetch.settings import PullPolicy
from nodeprefetch.values.image_list import list_digest
from nodeprefetch.values.image_ref import ImageRef
from tests.support.patience import PATIENCE

INSTANCE = "load"

_PER_BATCH = 32
"""Events in a request: what gathers while the one before is under way."""

_RESENT_EVERY = 10
"""Each so many-th batch is sent twice, as after an acknowledgement that got lost."""

_FAILING_EVERY = 10
"""The first attempt at each so many-th image fails."""

_HEADERS = {"Content-Type": "application/msgpack"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What is to be sent."""

    nodes: int
    images: int
    """On each node."""

    connections: int
    """Open at the same time; nodes take turns on them."""

    port: int
    """On 127.0.0.1, plain HTTP."""

    @property
    def attempts(self) -> int:
        """How many attempts the aggregator should know of in the end."""
        return self.nodes * (self.images + len(range(0, self.images, _FAILING_EVERY)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """What became of it."""

    acknowledged: frozenset[str]
    """IDs of the attempts in requests that were answered with success."""

    refused: tuple[str, ...]
    """The other answers."""

    seconds: float
    """From all connections being open to the last answer."""


@dataclass(frozen=True, slots=True)
class _Request:
    body: bytes
    attempts: tuple[str, ...]


def image_names(count: int) -> tuple[str, ...]:
    """The list of each node."""
    return tuple(f"registry.test/team/app-{number}:1" for number in range(count))


def send(load: Load) -> Sent:
    """Send all of it. Who is asked to come later does.

    Raises:
        OSError: a connection did not open, or broke.
    """
    work = [_requests_of(f"node-{number}", load.images) for number in range(load.nodes)]
    shares = [work[number :: load.connections] for number in range(load.connections)]
    acknowledged: set[str] = set()
    refused: list[str] = []
    errors: list[OSError] = []
    open_now = threading.Barrier(load.connections + 1)

    def sender(share: Sequence[Sequence[_Request]]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", load.port, timeout=PATIENCE)
        try:
            connection.connect()
            open_now.wait(PATIENCE)
            for each in (request for node in share for request in node):
                status, text = _post(connection, each.body)
                if status == http.HTTPStatus.OK:
                    acknowledged.update(each.attempts)
                else:
                    refused.append(f"{status} {text}")
        except OSError as error:
            errors.append(error)
            open_now.abort()
        finally:
            connection.close()

    threads = [threading.Thread(target=sender, args=(share,), daemon=True) for share in shares]
    for thread in threads:
        thread.start()
    try:
        open_now.wait(PATIENCE)
        began = time.monotonic()
    finally:
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
    return Sent(acknowledged=frozenset(acknowledged), refused=tuple(refused), seconds=time.monotonic() - began)


def _post(connection: http.client.HTTPConnection, body: bytes) -> tuple[int, str]:
    while True:
        connection.request("POST", "/v1/events", body, _HEADERS)
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
        if response.status != http.HTTPStatus.TOO_MANY_REQUESTS:
            return response.status, text
        time.sleep(float(response.headers["Retry-After"]))


def _requests_of(node: str, images: int) -> list[_Request]:
    requests: list[_Request] = []
    run = tuple(_run_of(node, images))
    for number, start in enumerate(range(0, len(run), _PER_BATCH)):
        events = run[start : start + _PER_BATCH]
        batch = Batch(run_id=f"run of {node}", node=node, version="1.0", instance=INSTANCE, events=events)
        attempts = tuple(event.attempt_id for event in events if isinstance(event, AttemptFinished))
        request = _Request(msgspec.msgpack.encode(batch), attempts)
        requests += [request] * (2 if number % _RESENT_EVERY == 0 else 1)
    return requests


def _run_of(node: str, images: int) -> Iterator[AnyEvent]:
    """The events of a run."""
    names = image_names(images)
    numbers = count()
    yield RunStarted(
        run_id=f"run of {node}",
        node=node,
        version="1.0",
        runtime="containerd 2",
        socket="/run/c.sock",
        images=names,
        list_digest=list_digest(map(ImageRef.parse, names)),
    )
    for index, image in enumerate(names):
        errors = ["503 from the registry", ""] if index % _FAILING_EVERY == 0 else [""]
        for attempt, error in enumerate(errors, 1):
            attempt_id = f"{node}-{next(numbers)}"
            yield AttemptStarted(attempt_id=attempt_id, image=image, attempt=attempt, limit=30)
            yield AttemptFinished(
                attempt_id=attempt_id,
                image=image,
                attempt=attempt,
                started_at=time.time(),
                duration=1.5,
                limit=30,
                error=error,
                error_class="passing" if error else "",
                size=0 if error else 50_000_000,
                digest="" if error else f"sha256:{index:064x}",
            )
        yield ImageFinished(
            image=image,
            outcome=Outcome.SUCCEEDED,
            policy=PullPolicy.IF_NOT_PRESENT,
            attempts=len(errors),
            elapsed=2,
            size=50_000_000,
            digest=f"sha256:{index:064x}",
        )
    yield RunFinished(run_id=f"run of {node}", end=RunEnd.FINISHED, succeeded=images, present=0, failed=0, elapsed=100)
