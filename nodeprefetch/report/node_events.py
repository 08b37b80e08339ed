"""Creates events about the node, which `kubectl describe node` shows: what was pulled, or what failed."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import trio

from nodeprefetch.events import AttemptStarted, Event, GateOpened, ImageFinished, ListRejected, Outcome, RunEnd
from nodeprefetch.kube import ConflictError, KubeError, NodeEvent
from nodeprefetch.report.node_api import BACKGROUND_RETRY, RETRY, NodeApi, NodeCalls
from nodeprefetch.report.run_result import SUCCEEDED, RunResult, bounded, images_text
from nodeprefetch.values.duration import format_duration
from nodeprefetch.values.retry import RetryPolicy
from nodeprefetch.values.sizes import format_size
from nodeprefetch.values.timestamp import format_timestamp

NORMAL, WARNING = "Normal", "Warning"
PREFETCHED, FAILED, GAVE_UP = "ImagesPrefetched", "ImagePrefetchFailed", "ImagePrefetchGaveUp"
LIST_INVALID = "ImageListInvalid"

MESSAGE_LIMIT = 1024
"""Characters that the API server accepts."""

NAME_LIMIT = 253
_HASH_LENGTH = 16


class Message(NamedTuple):
    """What an event says."""

    type: str
    reason: str
    text: str
    key: tuple[str, ...]
    """What makes it differ from others of the same reason. The text may hold times and sizes."""


def event_name(node: str, *parts: str) -> str:
    """Name of an event. Equal parts make the same name: the API server accepts it once, until it expires (1 h)."""
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:_HASH_LENGTH]
    return f"{node[: NAME_LIMIT - _HASH_LENGTH - 1]}.{digest}"


class NodeEvents:
    """A `Reporter` that creates events about the node, one for each kind: what the run has pulled, or what failed.

    And at once, that a gate was opened without its images. If no run can begin, that the image lists are invalid.

    A run that had nothing to pull creates none. Nor does one that fails as an earlier one did, while that event exists.
    Nobody depends on events, so problems are messages that require no action.

    Args:
        api: calls the Kubernetes API.
        instance: name of the installation.
        is_warm: the last run found all images, and has reported it.
        clock: Unix seconds.
    """

    def __init__(
        self, api: NodeApi, instance: str, *, is_warm: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        self._api = api.caller("create node event", is_optional=True)
        self._instance = instance
        self._clock = clock
        self._result = RunResult(is_warm=is_warm)
        self._missing: set[str] = set()
        """Images that were not on the node."""

        self._pulled: list[ImageFinished] = []
        self._failed: list[ImageFinished] = []
        self._gave_up: Message | None = None
        """What is still to be said of a gate that was opened without its images."""

        self._rejected: ListRejected | None = None
        self._has_given_up = trio.Event()

    def emit(self, event: Event) -> None:
        """Take an event of the run."""
        self._result.take(event)
        match event:
            case AttemptStarted() if not event.is_present:
                self._missing.add(event.image)
            case ImageFinished() if event.outcome is Outcome.FAILED:
                self._failed.append(event)
            case ImageFinished() if event.image in self._missing:
                self._pulled.append(event)
            case ListRejected():
                self._rejected = event
            case GateOpened(gave_up=True):
                self._gave_up = _giving_up(event)
                self._has_given_up.set()
            case _:
                pass

    async def run(self) -> None:
        """While pulls run: say that the node takes pods without its images. Everything else is about the whole run."""
        await self._has_given_up.wait()
        if self._gave_up is not None and not self._result.is_ending:
            with suppress(KubeError):  # explained
                await self._create(self._gave_up, BACKGROUND_RETRY)
            self._gave_up = None

    async def finish(self) -> None:
        """Create the events. Retries until they are created, refused for good, or cancelled."""
        self._result.is_ending = True
        if self._api.is_off or self._result.says_nothing_new:
            return
        for message in self._messages():
            await self._api.finish_work(partial(self._create, message, RETRY), report=lambda _: None)

    async def _create(self, message: Message, retry: RetryPolicy) -> None:
        event = NodeEvent(
            name=event_name(self._api.node, self._instance, message.reason, *message.key),
            node=self._api.node,
            type=message.type,
            reason=message.reason,
            message=bounded(f"{self._instance}: {message.text}", MESSAGE_LIMIT),
            time=format_timestamp(self._clock()),
            reporter=self._instance,
        )

        async def create(calls: NodeCalls) -> None:
            await calls.create_node_event(event)

        with suppress(ConflictError):  # created by an earlier run, or by a request whose answer was lost
            await self._api.call("create", create, resource="events", retry=retry, conflict_passes=False)

    def _messages(self) -> Iterator[Message]:
        if self._gave_up is not None:
            yield self._gave_up
        finished = self._result.finished
        if finished is None:
            if self._rejected is not None:  # with a run, the last valid lists are used
                yield Message(WARNING, LIST_INVALID, "; ".join(self._rejected.problems), self._rejected.problems)
            return
        if self._failed and finished.end is not RunEnd.STOPPED:  # the next run says what is missing then
            yield self._failure()
        elif self._pulled and self._result.value == SUCCEEDED:
            size = format_size(sum(image.size for image in self._pulled))
            pulled = f"{images_text(len(self._pulled))}{f' ({size})' if size else ''}"
            text = f"pulled {pulled} in {format_duration(round(finished.elapsed, 1))}; {self._result.state_text}"
            yield Message(NORMAL, PREFETCHED, text, (finished.run_id,))

    def _failure(self) -> Message:
        images = [
            f"{bounded(image.image, 200)} ({', '.join(filter(None, (image.error_class, image.reason)))}): {image.error}"
            for image in self._failed
        ]
        key = sorted(f"{image.image} {image.error_class} {image.reason}" for image in self._failed)
        return Message(WARNING, FAILED, f"{self._result.state_text}: {'; '.join(images)}", tuple(key))


def _giving_up(opened: GateOpened) -> Message:
    named = ", ".join(bounded(image, 200) for image in opened.missing)
    more = ", …" if opened.missing_count > len(opened.missing) else ""
    missing = (
        f"{images_text(opened.missing_count)} missing: {named}{more}"
        if named
        else opened.error or "no container runtime answered"
    )
    text = f"takes pods without all images after {format_duration(round(opened.after))}; {missing}"
    return Message(WARNING, GAVE_UP, text, tuple(sorted(opened.missing)))
