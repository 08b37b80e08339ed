"""Labels the node with the result of the run, and removes the label of an earlier run once it is no longer true."""

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from nodeprefetch import __version__
from nodeprefetch.emitter import Reader
from nodeprefetch.events import Event, NodeLabelled
from nodeprefetch.kube import ConflictError, KubeError, Node
from nodeprefetch.report.label_key import label_key, summary_key, summary_text
from nodeprefetch.report.node_api import BACKGROUND_RETRY, NodeApi, NodeCalls
from nodeprefetch.report.run_result import SUCCEEDED, RunResult


class NodeLabel:
    """A `Reporter` that sets a label on the node, `succeeded` or `failed`, and an annotation with a summary.

    An error is reported by a `NodeLabelled` event and explained to people once; it changes nothing else.

    Args:
        api: calls the Kubernetes API.
        instance: name of the installation.
        prefix: of the keys, see `label_key.check_prefix`.
        emit: takes the `NodeLabelled` events.
        is_warm: the last run found all images, and has set the label. It stays until one cannot be pulled again, and
            the API server is not called if nothing has changed.
        clock: Unix seconds, for the summary.
    """

    def __init__(
        self,
        api: NodeApi,
        instance: str,
        *,
        prefix: str,
        emit: Reader,
        is_warm: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._api = api.caller("label node")
        self._key = label_key(prefix, instance)
        self._summary_key = summary_key(prefix, instance)
        self._emit = emit
        self._result = RunResult(is_warm=is_warm)
        self._clock = clock

    def emit(self, event: Event) -> None:
        """Take an event of the run."""
        self._result.take(event)

    async def run(self) -> None:
        """While pulls run: load the client, and remove a label `succeeded` once an image turns out to be missing.

        The request is valid only for the version of the node that was read. So if this is cancelled while the request
        is under way, that request cannot remove the label of `finish`.
        """
        with suppress(KubeError):  # already explained
            await self._remove_stale_label()

    async def finish(self) -> None:
        """Set the label. Retries until it is set, refused for good, or cancelled."""
        result = self._result
        result.is_ending = True
        if self._api.is_off or result.says_nothing_new:
            return
        value = result.value
        summary = summary_text(result, at=self._clock(), version=__version__)
        labels, annotations = {self._key: value}, {self._summary_key: summary}

        async def patch(calls: NodeCalls) -> Node:
            return await calls.patch_node(self._api.node, labels=labels, annotations=annotations)

        def report(error: str) -> None:
            self._emit(NodeLabelled(key=self._key, value=value, error=error))

        await self._api.finish_work(partial(self._api.call, "patch", patch), report, aim=f"as {value}")

    async def _remove_stale_label(self) -> None:
        if self._result.is_warm:
            await self._result.missing.wait()
        node = await self._read()
        await self._result.missing.wait()
        while not self._result.is_ending and node.labels.get(self._key) == SUCCEEDED:
            version = node.resource_version

            async def remove(calls: NodeCalls, version: str = version) -> Node:
                return await calls.patch_node(self._api.node, labels={self._key: None}, resource_version=version)

            try:
                await self._api.call("patch", remove, retry=BACKGROUND_RETRY, conflict_passes=False)
            except ConflictError:  # the kubelet has changed the node, or `finish` has
                await self._api.pause(BACKGROUND_RETRY.initial_delay)
                node = await self._read()
            else:
                self._emit(NodeLabelled(key=self._key))
                return

    async def _read(self) -> Node:
        return await self._api.call("get", lambda calls: calls.get_node(self._api.node), retry=BACKGROUND_RETRY)
