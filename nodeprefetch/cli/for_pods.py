"""Prepares `--for-pods`: asks before a run whether it is needed, and ends it if not."""

from collections.abc import AsyncIterable, Callable
from functools import partial
from pathlib import Path

import msgspec
import trio

from nodeprefetch.cli.environment import Environment
from nodeprefetch.cli.flags import FetchFlags
from nodeprefetch.cli.node_reporters import node_api
from nodeprefetch.emitter import Notices, Reader
from nodeprefetch.errors import Problems
from nodeprefetch.events import RunEnd
from nodeprefetch.kube import Node, namespace_of_pod
from nodeprefetch.kube.server import SERVICE_ACCOUNT
from nodeprefetch.pull.run import Report, stop_at_first
from nodeprefetch.report.node_api import NodeApi
from nodeprefetch.report.workload import TERMINATION_LOG, Workload, remove_outdated_label, write_outcome
from nodeprefetch.values.image_list import list_digest
from nodeprefetch.values.image_ref import ImageRef
from nodeprefetch.values.pod_selector import pod_selector_problems, split_pod_selector


class PreparedPods(msgspec.Struct, frozen=True, kw_only=True):
    """The pods for which the node pulls."""

    workload: Workload
    api: NodeApi
    instance: str
    label_prefix: str
    images: tuple[ImageRef, ...]
    emit: Reader
    termination_log: Path

    async def ask(self, signals: AsyncIterable[int], *, grace: float) -> Report | None:
        """Return how the run ends if none of the pods is here. None: it is needed.

        Args:
            signals: the first one ends the run.
            grace: seconds for what is written on the node if the run is not needed.
        """
        stopped: list[int] = []
        is_here = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_at_first, signals, stopped, (nursery.cancel_scope,))
            is_here = await self.workload.is_here()
            if not is_here:
                with trio.move_on_after(grace):
                    await self._forget()
                write_outcome(self.workload.why, file=self.termination_log)
            nursery.cancel_scope.cancel()
        if stopped:
            return Report(images=(), end=RunEnd.STOPPED, signal=stopped[0])
        return None if is_here else Report(images=(), end=RunEnd.FINISHED)

    async def _forget(self) -> None:
        if self.instance:
            digest = list_digest(self.images)
            await remove_outdated_label(
                self.api, self.instance, prefix=self.label_prefix, list_digest=digest, emit=self.emit
            )


def prepare_pods(
    flags: FetchFlags,
    for_pods: str,
    environment: Environment,
    *,
    images: tuple[ImageRef, ...],
    notices: Notices,
    emit: Reader,
    on_node: Callable[[Node], None],
    mount: Path = SERVICE_ACCOUNT,
    termination_log: Path = TERMINATION_LOG,
) -> PreparedPods:
    """Check the flag, and whether it fits to the others.

    Raises:
        UsageError: with all problems.
    """
    problems = Problems()
    problems.add(*(f"--for-pods: {problem}" for problem in pod_selector_problems(for_pods)))
    if flags.has_gate:
        problems.add(
            "--for-pods: cannot be combined with --node-condition or --remove-taint:"
            " a new node, which takes no pods yet, would never pull, and stay closed"
        )
    if not environment.node_name:
        problems.add("--for-pods requires NODE_NAME, the name of the node")
    problems.raise_if_any()
    api = node_api(flags, notices, environment, on_node=on_node)
    workload = Workload(
        api,
        split_pod_selector(for_pods),
        find_namespace=partial(namespace_of_pod, mount),
        inform=notices.info,
        warn=notices.add,
    )
    return PreparedPods(
        workload=workload,
        api=api,
        instance=environment.instance_name,
        label_prefix=flags.node_label_prefix,
        images=images,
        emit=emit,
        termination_log=termination_log,
    )
