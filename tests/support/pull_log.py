"""What tests of pulls on virtual time share: a log of events with their times, and all images pulled as in a run."""

import math
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import trio

from nodeprefetch.events import Event
from nodeprefetch.pull.attempt import PullContext
from nodeprefetch.pull.image import Pull
from nodeprefetch.pull.progress import ProgressWatch
from nodeprefetch.runtime.api import ImageService, Inventory
from nodeprefetch.runtime.gate import RuntimeGate
from nodeprefetch.settings import FetchSettings, PullPolicy
from nodeprefetch.testing import FakeCredentialSource
from nodeprefetch.testing.run import Kind, longest
from nodeprefetch.values.image_ref import ImageRef


@dataclass(kw_only=True)
class PullLog:
    """The events of pulls, and when each came."""

    events: list[Event] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        self.events.append(event)
        self.times.append(trio.current_time())

    def told(self, kind: type[Kind]) -> list[Kind]:
        return [event for event in self.events if isinstance(event, kind)]

    def context(
        self, service: ImageService, progress: ProgressWatch, settings: FetchSettings, **more: Any
    ) -> PullContext:
        """What pulls share. All go on at the same time, with the longest delays, unless `more` says otherwise."""
        given: dict[str, Any] = {
            "inventory": Inventory(()),
            "credentials": FakeCredentialSource(),
            "slots": trio.CapacityLimiter(math.inf),
            "gate": RuntimeGate(service, self.emit),
            "jitter": longest,
            **more,
        }
        return PullContext(service=service, progress=progress, settings=settings, emit=self.emit, **given)


async def pull_all(
    images: Iterable[str],
    context: PullContext,
    scripts: Iterable[Callable[[], Awaitable[object]]],
    background: trio.Nursery,
) -> None:
    """Pull images in their order, while scripts say what the runtime does. Ends what is in the background."""
    async with trio.open_nursery() as pulls:
        for script in scripts:
            background.start_soon(script)
        for image in images:
            pulls.start_soon(Pull(image=ImageRef.parse(image), policy=PullPolicy.ALWAYS).run, context)
            await trio.lowlevel.checkpoint()
    background.cancel_scope.cancel()
