"""Sets a condition of the node: whether it has all images."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from nodeprefetch.emitter import Reader
from nodeprefetch.events import Event, NodeConditionSet
from nodeprefetch.kube import Condition, ConflictError, KubeError, Node
from nodeprefetch.report.label_key import label_key, timestamp
from nodeprefetch.report.node_api import BACKGROUND_RETRY, RETRY, NodeApi, NodeCalls
from nodeprefetch.report.run_result import SUCCEEDED, RunResult, bounded, images_text

TRUE, FALSE = "True", "False"
RESOURCE = "nodes/status"

IMAGES_PRESENT, PULLING, PULL_FAILED = "ImagesPresent", "Pulling", "PullFailed"

MESSAGE_LIMIT = 1024
"""Characters of the condition's message."""

HEARTBEAT = 5 * 60.0
"""Seconds after which an equal condition is written again, where there is a heartbeat."""


class State(NamedTuple):
    """What the condition says."""

    status: str
    reason: str
    message: str


def final_state(result: RunResult) -> State:
    """What the condition says after the run. Equal results have equal texts, so that they need not be written."""
    if result.value == SUCCEEDED:
        return State(TRUE, IMAGES_PRESENT, result.state_text)
    return State(FALSE, PULL_FAILED, _missing(result))


def interim_state(result: RunResult) -> State:
    """What the condition says while an image that is missing is pulled."""
    if result.is_warm:
        return State(FALSE, PULL_FAILED, _missing(result))
    return State(FALSE, PULLING, f"pulling missing images; {images_text(result.images)} in the list")


def _missing(result: RunResult) -> str:
    """How many images are missing, and which one failed first."""
    failure = result.first_failure
    if failure is None:
        return "the run ended before it pulled images"
    return bounded(f"{result.state_text}; first failure: {failure.image}: {failure.error}", MESSAGE_LIMIT)


def merged(known: Condition | None, kind: str, state: State, now: float, *, has_heartbeat: bool) -> Condition | None:
    """Return the condition to write; None: it says so already.

    Args:
        known: as it is on the node.
        kind: its type.
        state: what it is to say.
        now: Unix seconds.
        has_heartbeat: write an equal one too, once its heartbeat is old.
    """
    at = timestamp(now)
    if known is None or known.status != state.status:
        since = at
    else:
        since = known.last_transition_time or at
        is_recent = not has_heartbeat or known.last_heartbeat_time > timestamp(now - HEARTBEAT)
        if (known.reason, known.message) == (state.reason, state.message) and is_recent:
            return None
    return Condition(
        type=kind,
        status=state.status,
        reason=state.reason,
        message=state.message,
        last_heartbeat_time=at,
        last_transition_time=since,
    )


class NodeCondition:
    """A `Reporter` that sets a condition in the status of the node, of the type `prefix/instance`.

    An error is reported by a `NodeConditionSet` event and explained to people once; it changes nothing else.

    Args:
        api: calls the Kubernetes API.
        instance: name of the installation.
        prefix: of the type, see `label_key.check_prefix`.
        emit: takes the `NodeConditionSet` events.
        is_warm: the last run found all images, and has said so. The condition stays until one cannot be pulled again,
            and the API server is not called if nothing has changed.
        has_heartbeat: write an equal condition too, if the last time was `HEARTBEAT` ago.
        clock: Unix seconds.
    """

    def __init__(
        self,
        api: NodeApi,
        instance: str,
        *,
        prefix: str,
        emit: Reader,
        is_warm: bool = False,
        has_heartbeat: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._api = api.caller("set node condition")
        self._type = label_key(prefix, instance)
        self._emit = emit
        self._result = RunResult(is_warm=is_warm)
        self._has_heartbeat = has_heartbeat
        self._clock = clock

    def emit(self, event: Event) -> None:
        """Take an event of the run."""
        self._result.take(event)

    async def run(self) -> None:
        """While pulls run: say that the node lacks images once one turns out to be missing, unless it says so already.

        The request is valid only for the version of the node that was read. So if this is cancelled while the request
        is under way, that request cannot replace what `finish` writes.
        """
        with suppress(KubeError):  # already explained
            await self._result.missing.wait()
            await self._say_missing()

    async def finish(self) -> None:
        """Say how the run ended. Retries until it is said, refused for good, or cancelled."""
        self._result.is_ending = True
        if self._api.is_off or self._result.says_nothing_new:
            return
        state = final_state(self._result)
        is_written = False

        async def write() -> None:
            nonlocal is_written
            node = await self._api.call("get", lambda calls: calls.get_node(self._api.node))
            condition = self._merged(node, state)
            if condition is not None:
                is_written = True
                await self._patch(condition)

        def report(error: str) -> None:
            if error or is_written:
                self._tell(state, error)

        await self._api.finish_work(write, report, aim=f"to {state.status}")

    async def _say_missing(self) -> None:
        while True:
            node = await self._api.call("get", lambda calls: calls.get_node(self._api.node), retry=BACKGROUND_RETRY)
            known = node.condition(self._type)
            if self._result.is_ending or (known is not None and known.status == FALSE):
                return
            state = interim_state(self._result)
            condition = self._merged(node, state)
            if condition is None:
                return
            try:
                await self._patch(condition, only=node.resource_version)
            except ConflictError:  # the kubelet has changed the node, or `finish` has
                await self._api.pause(BACKGROUND_RETRY.initial_delay)
            else:
                self._tell(state)
                return

    async def _patch(self, condition: Condition, *, only: str | None = None) -> None:
        """Write the condition: with patience only to this version of the node, or at the end of the run to any."""

        async def patch(calls: NodeCalls) -> Node:
            return await calls.patch_node_condition(self._api.node, condition, resource_version=only)

        retry = RETRY if only is None else BACKGROUND_RETRY
        await self._api.call("patch", patch, resource=RESOURCE, retry=retry, conflict_passes=only is None)

    def _merged(self, node: Node, state: State) -> Condition | None:
        return merged(node.condition(self._type), self._type, state, self._clock(), has_heartbeat=self._has_heartbeat)

    def _tell(self, state: State, error: str = "") -> None:
        self._emit(NodeConditionSet(type=self._type, status=state.status, reason=state.reason, error=error))
