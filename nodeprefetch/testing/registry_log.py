"""Log of requests to the fake registry, readable from other threads."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count

from nodeprefetch.testing.waiting import wait_until


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A request, and how far its response got."""

    method: str
    path: str
    """The path with the query."""

    stage: str
    """`ping`, `token`, `manifest`, `config`, `layer`; `unknown` for what no registry serves."""

    repository: str = ""
    reference: str = ""
    """Tag or digest."""

    user: str = ""
    """The user of the Authorization header: that of Basic, or the one a Bearer token was issued to."""

    range: str = ""
    """The Range header, `bytes=100-`."""

    user_agent: str = ""
    address: str = ""
    """The client's, without the port."""

    started: float
    """`time.monotonic()` when the request was read."""

    ended: float | None = None
    """When the response was sent or aborted; None while in progress."""

    status: int | None = None
    """None if no status line was sent."""

    bytes_sent: int = 0
    """Bytes of the body handed to the kernel; the client may have taken fewer."""

    cut_by_client: bool = False
    """Whether the client disconnected before the response was sent."""


class RequestLog:
    """All requests in order of arrival; a sequence for any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._numbers = count()
        self._requests: dict[int, Request] = {}

    def __len__(self) -> int:
        return len(self.all())

    def __iter__(self) -> Iterator[Request]:
        return iter(self.all())

    def __getitem__(self, index: int) -> Request:
        return self.all()[index]

    def all(self) -> tuple[Request, ...]:
        """Return the requests so far."""
        with self._changed:
            return tuple(self._requests.values())

    def of(self, **fields: object) -> tuple[Request, ...]:
        """Return the requests whose fields have these values: `log.of(method="GET", stage="layer")`."""
        return tuple(
            request for request in self.all() if all(getattr(request, name) == value for name, value in fields.items())
        )

    def clear(self) -> None:
        """Remove finished requests; those in progress stay."""
        with self._changed:
            for number, request in tuple(self._requests.items()):
                if request.ended is not None:
                    del self._requests[number]

    def wait_until(self, is_enough: Callable[[tuple[Request, ...]], bool]) -> tuple[Request, ...]:
        """Block this thread until the requests satisfy the condition, and return them.

        Raises:
            TimeoutError: they did not within five minutes; the text lists what came instead.
        """
        wait_until(
            self._changed,
            lambda: is_enough(self.all()),
            lambda: [f"{request.method} {request.path} {request.status}" for request in self.all()],
        )
        return self.all()

    def begin(self, request: Request) -> int:
        """For the registry: add a request and return its number."""
        with self._changed:
            number = next(self._numbers)
            self._requests[number] = request
            self._changed.notify_all()
        return number

    def finish(self, number: int, *, status: int | None, bytes_sent: int, cut_by_client: bool) -> None:
        """For the registry: record that this response was sent or aborted."""
        with self._changed:
            request = self._requests.get(number)
            if request is None:
                return  # cleared meanwhile
            self._requests[number] = replace(
                request,
                ended=time.monotonic(),
                status=status,
                bytes_sent=bytes_sent,
                cut_by_client=cut_by_client,
            )
            self._changed.notify_all()
