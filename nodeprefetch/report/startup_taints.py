"""Removes startup taints from the node once its gate is open."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import trio

from nodeprefetch.emitter import Reader
from nodeprefetch.events import Event, GateOpened, RunFinished, TaintsRemoved
from nodeprefetch.kube import ConflictError, InvalidError, KubeError, Node, Taint
from nodeprefetch.report.gate import Gate
from nodeprefetch.report.node_api import BACKGROUND_RETRY, RETRY, NodeApi, NodeCalls
from nodeprefetch.values.retry import RetryPolicy
from nodeprefetch.values.taint import NamedTaint


class StartupTaints:
    """A `Reporter` that removes the named taints, and no others.

    It looks at the node when the gate opens, and at the end of every run that finds all needed images: a node that was
    registered again has its taints again. A node without them is only read.

    Args:
        api: of the node.
        named: the taints to remove.
        gate: says whether the needed images are there.
        emit: takes `TaintsRemoved`, if there was something to remove.
        report: called after each look with the error; empty: none of the taints is left.
    """

    def __init__(
        self,
        api: NodeApi,
        named: Sequence[NamedTaint],
        *,
        gate: Gate,
        emit: Reader,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._api = api.caller("remove taints")
        self._named = tuple(named)
        self._gate = gate
        self._emit = emit
        self._report = report
        self._opened = trio.Event()
        self._is_ending = False
        self._is_done = False
        self._background = trio.CancelScope()

    def emit(self, event: Event) -> None:
        """Take an event of the run."""
        match event:
            case GateOpened():
                self._is_done = False  # it may have given up before
                self._opened.set()
            case RunFinished():
                self._is_ending = True
            case _:
                pass

    async def run(self) -> None:
        """Remove the taints when the gate opens before the end of the run."""
        with self._background:
            await self._opened.wait()
            if not self._is_ending:
                with suppress(KubeError):  # explained; `finish` tries again
                    await self._remove(BACKGROUND_RETRY)

    async def finish(self) -> None:
        """Remove the taints if the gate is open. Retries until they are gone, refused for good, or cancelled."""
        self._background.cancel()
        if self._api.is_off or self._is_done or not (self._opened.is_set() or self._gate.is_satisfied):
            return
        await self._api.finish_work(lambda: self._remove(RETRY), self._fail)

    def _fail(self, error: str) -> None:
        if error:
            self._emit(TaintsRemoved(error=error))
            self._report(error)

    async def _remove(self, retry: RetryPolicy) -> None:
        """Remove the taints that are there. After each conflict, look again."""
        refused: tuple[Taint, ...] | None = None
        while True:
            node = await self._api.call("get", lambda calls: calls.get_node(self._api.node), retry=retry)
            unwanted = [taint for taint in node.taints if is_named(taint, self._named)]
            if not unwanted:
                break
            # A patch that does not hold any more is refused like one that a policy forbids: with the same taints again
            # it was the latter.
            is_policy = node.taints == refused
            refused = node.taints

            async def remove(
                calls: NodeCalls,
                node: Node = node,
                unwanted: Sequence[Taint] = unwanted,
                is_policy: bool = is_policy,  # noqa: FBT001 - bound early
            ) -> Node:
                try:
                    return await calls.remove_taints(node, unwanted)
                except InvalidError as error:
                    if is_policy:
                        raise
                    raise ConflictError(str(error)) from error

            try:
                await self._api.call("patch", remove, retry=retry, conflict_passes=False)
            except ConflictError:
                await self._api.pause(RETRY.initial_delay)
            else:
                self._emit(TaintsRemoved(taints=tuple(map(str, unwanted))))
                break
        self._is_done = True
        self._report("")


def is_named(taint: Taint, named: Iterable[NamedTaint]) -> bool:
    """Whether the user has named this taint."""
    return any(each.names(key=taint.key, value=taint.value, effect=taint.effect) for each in named)
