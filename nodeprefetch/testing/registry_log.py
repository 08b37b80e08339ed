"""What the fake registry was asked: one record a request, kept while other threads read."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count

from tests.support.patience import wait_until


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request, and how far its answer got."""

    method: str
    path: str
    """With the query."""

    stage: str
    """`ping`, `token`, `manifest`, `config`, `layer`; `unknown` for what no registry serves."""

    repository: str = ""
    reference: str = ""
    """Tag or digest."""

    user: str = ""
    """Who the Authorization header named: the user of Basic, or the one a Bearer token was issued to."""

    range: str = ""
    """The Range header, `bytes=100-`."""

    user_agent: str = ""
    started: float
    """`time.monotonic()` when the request had been read."""

    ended: float | None = None
    """When the answer was out, or given up; None as long as it is under way."""

    status: int | None = None
    """None when no status line was sent."""

    bytes_sent: int = 0
    """Bytes of the body handed to the kernel; the client may have taken fewer."""

    cut_by_client: bool = False
    """The client left before the answer was out."""


class RequestLog:
    """All requests in the order in which they came; a sequence to look at, from any thread."""

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
        """The requests so far."""
        with self._changed:
            return tuple(self._requests.values())

    def of(self, **fields: object) -> tuple[Request, ...]:
        """The requests whose fields have these values: `log.of(method="GET", stage="layer")`."""
        return tuple(
            request for request in self.all() if all(getattr(request, name) == value for name, value in fields.items())
        )

    def clear(self) -> None:
        """Forget the requests that have ended; those under way stay."""
        with self._changed:
            for number, request in tuple(self._requests.items()):
                if request.ended is not None:
                    del self._requests[number]

    def wait_until(self, is_enough: Callable[[tuple[Request, ...]], bool]) -> tuple[Request, ...]:
        """Block this thread until the requests satisfy the condition; they are returned.

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
        """For the registry: a request has come; its number."""
        with self._changed:
            number = next(self._numbers)
            self._requests[number] = request
            self._changed.notify_all()
        return number

    def finish(self, number: int, *, status: int | None, bytes_sent: int, cut_by_client: bool) -> None:
        """For the registry: this request has been answered, or given up."""
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
