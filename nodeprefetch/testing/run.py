"""A whole run of `fetch` on a fake runtime, for tests on virtual time."""

from collections.abc import AsyncIterable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import trio

from nodeprefetch.events import Event, ImageFinished
from nodeprefetch.pull.run import Report, fetch
from nodeprefetch.pull.start import StartPermit
from nodeprefetch.runtime.api import ContainerdApi
from nodeprefetch.runtime.connect import Runtime
from nodeprefetch.settings import FetchSettings
from nodeprefetch.testing.credentials import FakeCredentialSource
from nodeprefetch.testing.service import FakeImageService
from nodeprefetch.values.image_ref import ImageRef

Kind = TypeVar("Kind", bound=Event)


def longest() -> float:
    """Random number that always selects the longest delay, so that times are exact."""
    return 1.0


@dataclass(kw_only=True)
class FakeRun:
    """Runs `fetch` and records its events."""

    service: FakeImageService
    settings: FetchSettings = field(default_factory=FetchSettings)
    containerd: ContainerdApi | None = None
    credentials: FakeCredentialSource = field(default_factory=FakeCredentialSource)
    permit: StartPermit | None = None
    signals: AsyncIterable[int] | None = None
    chance: Callable[[], float] = longest
    events: list[Event] = field(default_factory=list, init=False)
    times: list[float] = field(default_factory=list, init=False)
    """Times of the events, on Trio's clock."""

    async def fetch(self, *images: str) -> Report:
        """Pull images, and return the report."""
        return await fetch(
            [ImageRef.parse(image) for image in images],
            self.settings,
            connect=self._connect,
            credentials=self.credentials,
            emit=self._emit,
            permit=self.permit,
            signals=self.signals,
            jitter=self.chance,
        )

    def told(self, kind: type[Kind]) -> Sequence[Kind]:
        """Return the events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def result(self, image: str) -> ImageFinished:
        """Return the last event of an image."""
        (found,) = (event for event in self.told(ImageFinished) if event.image == image)
        return found

    def _emit(self, event: Event) -> None:
        self.events.append(event)
        self.times.append(trio.current_time())

    async def _connect(self, _nursery: trio.Nursery) -> Runtime:
        return Runtime(
            service=self.service,
            version=await self.service.version(),
            socket="/fake.sock",
            containerd=self.containerd,
        )
