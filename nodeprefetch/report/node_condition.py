"""Sets a condition of the node: whether it has all images."""

import math
import time
from collections.abc import Callable
from contextlib import suppress

import trio

from nodeprefetch.emitter import Reader
from nodeprefetch.events import AttemptStarted, Event, GateOpened, ImageFinished, NodeConditionSet
from nodeprefetch.kube import Condition, ConflictError, KubeError, Node
from nodeprefetch.report.condition_state import FALSE, HEARTBEAT, LIST_INVALID, TRUE, Findings, State, merged
from nodeprefetch.report.gate import Gate
from nodeprefetch.report.label_key import label_key
from nodeprefetch.report.node_api import BACKGROUND_RETRY, RETRY, NodeApi, NodeCalls

RESOURCE = "nodes/status"


class NodeCondition:
    """A `Reporter` that sets a condition in the status of the node, of the type `prefix/instance`.

    An error is reported by a `NodeConditionSet` event and explained to people once.

    Args:
        api: calls the Kubernetes API.
        instance: name of the installation.
        prefix: of the type, see `label_key.check_prefix`.
        emit: takes the `NodeConditionSet` events.
        is_warm: the last run found all images, and has said so. The condition stays until one cannot be pulled again,
            and the API server is not called if nothing has changed.
        is_report: look at the node even if nothing has changed.
        has_heartbeat: write an equal condition too, if the last time was `HEARTBEAT` ago.
        gate: decides when the node takes pods, see `Findings`. Hears each event after this.
        report: called after a run that lets the node take pods with the error; empty: the condition is True.
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
        is_report: bool = False,
        has_heartbeat: bool = False,
        gate: Gate | None = None,
        report: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._api = api.caller("set node condition")
        self._type = label_key(prefix, instance)
        self._emit = emit
        self._findings = Findings(is_warm=is_warm, gate=gate)
        self._is_report = is_report
        self._has_heartbeat = has_heartbeat
        self._report = report
        self._clock = clock
        self._moved = trio.Event()
        """Set when there may be something else to say while pulls run."""

        self._is_in_doubt = False
        """Whether a request has been made while pulls run that may still be carried out."""

    def emit(self, event: Event) -> None:
        """Take an event of the run."""
        self._findings.take(event)
        if isinstance(event, AttemptStarted | ImageFinished | GateOpened):
            self._moved.set()

    async def run(self) -> None:
        """While pulls run: say that the node lacks images once one turns out to be missing, unless it says so already.

        A gate that opens meanwhile is said too. Each request is valid only for the version of the node that was read.
        So one that is carried out late cannot replace what `finish` writes, which then writes in any case.
        """
        said: tuple[str, str] | None = None
        with suppress(KubeError):  # already explained
            while True:
                await self._moved.wait()
                if self._findings.result.is_ending:
                    return
                self._moved = trio.Event()
                state = self._findings.interim_state()
                if state is not None and (state.status, state.reason) != said:
                    await self._say(state)
                    said = state.status, state.reason

    async def finish(self) -> None:
        """Say how the run ended. Retries until it is said, refused for good, or cancelled."""
        result = self._findings.result
        result.is_ending = True
        if self._api.is_off or result.is_inconclusive or (result.says_nothing_new and not self._is_report):
            return
        state = self._findings.final_state()
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
            if self._report is not None and state.status == TRUE:
                self._report(error)

        await self._api.finish_work(write, report, aim=f"to {state.status}")

    async def _say(self, state: State) -> None:
        while True:
            node = await self._api.call("get", lambda calls: calls.get_node(self._api.node), retry=BACKGROUND_RETRY)
            condition = self._merged(node, state)
            if condition is None or self._findings.result.is_ending or self._is_known(node, state):
                return
            self._is_in_doubt = True
            try:
                await self._patch(condition, only=node.resource_version)
            except ConflictError:  # the kubelet has changed the node, or `finish` has
                self._is_in_doubt = False
                await self._api.pause(BACKGROUND_RETRY.initial_delay)
            else:
                self._is_in_doubt = False
                self._tell(state)
                return

    def _is_known(self, node: Node, state: State) -> bool:
        """Whether the node says that it lacks images: a failure stays while it is tried again."""
        known = node.condition(self._type)
        return state.status == FALSE and known is not None and known.status == FALSE and known.reason != LIST_INVALID

    async def _patch(self, condition: Condition, *, only: str | None = None) -> None:
        """Write the condition: with patience only to this version of the node, or at the end of the run to any."""

        async def patch(calls: NodeCalls) -> Node:
            return await calls.patch_node_condition(self._api.node, condition, resource_version=only)

        retry = RETRY if only is None else BACKGROUND_RETRY
        await self._api.call("patch", patch, resource=RESOURCE, retry=retry, conflict_passes=only is None)

    def _merged(self, node: Node, state: State) -> Condition | None:
        heartbeat = 0.0 if self._is_in_doubt else HEARTBEAT if self._has_heartbeat else math.inf
        return merged(node.condition(self._type), self._type, state, self._clock(), heartbeat=heartbeat)

    def _tell(self, state: State, error: str = "") -> None:
        self._emit(NodeConditionSet(type=self._type, status=state.status, reason=state.reason, error=error))
