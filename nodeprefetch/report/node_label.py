"""Labels the node with the result of the run, and removes the label of an earlier run once it is no longer true."""

import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Protocol

import trio

from nodeprefetch import __version__
from nodeprefetch.emitter import Reader
from nodeprefetch.events import (
    AttemptStarted,
    Event,
    ImageFinished,
    NodeLabelled,
    Outcome,
    RunEnd,
    RunFinished,
    RunStarted,
)
from nodeprefetch.kube import (
    ConflictError,
    ForbiddenError,
    KubeError,
    Node,
    NotFoundError,
    NotInClusterError,
    PassingKubeError,
    ServerFailedError,
    UnauthorizedError,
    UnreachableError,
)
from nodeprefetch.report.label_key import SUCCEEDED, Counts, label_key, result_of, summary_key, summary_text
from nodeprefetch.values.duration import format_duration
from nodeprefetch.values.retry import RetryPolicy, full_jitter

RETRY = RetryPolicy(initial_timeout=5, max_timeout=10, initial_delay=0.25, max_delay=4)
"""Timeouts of calls to the API server and delays after them, in seconds: a call that hangs leaves time for another."""

BACKGROUND_RETRY = RetryPolicy(initial_timeout=10, max_timeout=10, initial_delay=0.5, max_delay=30)
"""The same while pulls run: nobody waits for it, and all nodes of a cluster call an API server that is down."""

STARTING = 10.0
"""Seconds after an API server gave no answer in which its 401 and 403 are retried. One that has just started does not
know all permissions and accounts yet: it refuses what it allows a moment later."""

_USER = re.compile(r'User "([^"]+)"')
"""In the API server's message for a 403, with the JSON unescaped."""


class Nodes(Protocol):
    """The calls of the Kubernetes API that the label needs, as in `nodeprefetch.kube.Kube`. They raise `KubeError`s."""

    async def get_node(self, name: str) -> Node:
        """Read a node."""
        ...

    async def patch_node(
        self,
        name: str,
        *,
        labels: Mapping[str, str | None] | None = None,
        annotations: Mapping[str, str | None] | None = None,
        resource_version: str | None = None,
    ) -> Node:
        """Change labels and annotations."""
        ...


Connect = Callable[[], Awaitable[Nodes]]
"""Loads the client. Raises `KubeError`s; is called again after an error."""


class NodeLabel:
    """A `Reporter` that sets a label on the node, `succeeded` or `failed`, and an annotation with a summary.

    An error is reported by a `NodeLabelled` event and explained to people once; it changes nothing else.

    Args:
        node: name of the node; empty: no label is set.
        instance: name of the installation; empty: no label is set.
        prefix: of the keys, see `label_key.check_prefix`.
        connect: loads the client of the Kubernetes API.
        warn: takes messages for people.
        emit: takes the `NodeLabelled` events.
        is_warm: the last run found all images, and has set the label. It stays until one cannot be pulled again, and
            the API server is not called if nothing has changed.
        jitter: random numbers from 0 to 1.
        clock: Unix seconds, for the summary.
    """

    def __init__(
        self,
        node: str,
        instance: str,
        *,
        prefix: str,
        connect: Connect,
        warn: Callable[[str], None],
        emit: Reader,
        is_warm: bool = False,
        jitter: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._node = node
        self._key = label_key(prefix, instance)
        self._summary_key = summary_key(prefix, instance)
        self._connect = connect
        self._warn = warn
        self._emit = emit
        self._is_warm = is_warm
        self._jitter = jitter
        self._clock = clock
        self._nodes: Nodes | None = None
        self._counts = Counts()
        self._finished: RunFinished | None = None
        self._missing = trio.Event()
        """Set once an image is known to be missing; on a warm node, once it cannot be pulled again."""

        self._has_news = False
        """Whether an image had to be pulled that was not on the node."""

        self._is_ending = False
        self._problem = ""
        """Why the last call failed; it is being retried."""

        self._explained: set[tuple[type[KubeError], str]] = set()
        self._is_off = not (node and instance)
        if self._is_off:
            unset = [name for name, value in (("NODE_NAME", node), ("INSTANCE_NAME", instance)) if not value]
            warn(f"node labeling disabled: {' and '.join(unset)} {'is' if len(unset) == 1 else 'are'} not set")

    def emit(self, event: Event) -> None:
        """Take an event of the run."""
        match event:
            case RunStarted():
                self._counts.images = len(event.images)
            case AttemptStarted() if not event.is_present:
                self._has_news = True
                if not self._is_warm:
                    self._missing.set()
            case ImageFinished():
                self._counts.add(event)
                if event.outcome is Outcome.FAILED:
                    self._missing.set()
            case RunFinished():
                self._finished = event
                self._is_ending = True
            case _:
                pass

    async def run(self) -> None:
        """While pulls run: load the client, and remove a label `succeeded` once an image turns out to be missing.

        The request is valid only for the version of the node that was read. So if this is cancelled while the request
        is under way, that request cannot remove the label of `finish`.
        """
        if self._is_off:
            return
        with suppress(KubeError):  # already explained
            await self._remove_stale_label()

    async def finish(self) -> None:
        """Set the label. Retries until it is set, refused for good, or cancelled."""
        self._is_ending = True
        value = result_of(self._finished)
        if self._is_off or (self._is_warm and self._says_nothing_new(value)):
            return
        summary = summary_text(self._counts, self._finished, at=self._clock(), version=__version__)
        labels, annotations = {self._key: value}, {self._summary_key: summary}

        async def write(nodes: Nodes) -> Node:
            return await nodes.patch_node(self._node, labels=labels, annotations=annotations)

        self._problem = ""
        try:
            await self._call("patch", RETRY, write)
        except NotInClusterError:
            return
        except KubeError as problem:
            error = str(problem)
        except trio.Cancelled:
            error = f"no time left: {self._problem or 'no answer yet'}"
            self._warn(f"cannot label node as {value}: {error}")
            self._emit(NodeLabelled(key=self._key, value=value, error=error))
            raise
        else:
            error = ""
        self._emit(NodeLabelled(key=self._key, value=value, error=error))

    def _says_nothing_new(self, value: str) -> bool:
        """Whether a warm node is as it was, or nobody can tell: the next run then finds no warm node."""
        if self._finished is None or self._finished.end is RunEnd.NO_RUNTIME:
            return True
        return value == SUCCEEDED and not self._has_news

    async def _remove_stale_label(self) -> None:
        if self._is_warm:
            await self._missing.wait()
        node = await self._read()
        await self._missing.wait()
        while not self._is_ending and node.labels.get(self._key) == SUCCEEDED:
            version = node.resource_version

            async def remove(nodes: Nodes, version: str = version) -> Node:
                return await nodes.patch_node(self._node, labels={self._key: None}, resource_version=version)

            try:
                await self._call("patch", BACKGROUND_RETRY, remove, conflict_passes=False)
            except ConflictError:  # the kubelet has changed the node, or `finish` has
                await trio.sleep(full_jitter(BACKGROUND_RETRY.initial_delay, self._jitter))
                node = await self._read()
            else:
                self._emit(NodeLabelled(key=self._key))
                return

    async def _read(self) -> Node:
        return await self._call("get", BACKGROUND_RETRY, lambda nodes: nodes.get_node(self._node))

    async def _call(
        self,
        verb: str,
        retry: RetryPolicy,
        call: Callable[[Nodes], Awaitable[Node]],
        *,
        conflict_passes: bool = True,
    ) -> Node:
        """Call until there is an answer. Explains and raises errors that do not pass."""
        try:
            if self._nodes is None:
                self._nodes = await self._connect()
            trusted_from = trio.current_time()
            for limit, longest_pause in retry.rounds():
                problem: KubeError
                try:
                    with trio.fail_after(limit):
                        return await call(self._nodes)
                except trio.TooSlowError:
                    problem = UnreachableError(f"no answer in {format_duration(limit)}")
                except (ForbiddenError, UnauthorizedError) as refusal:
                    if trio.current_time() >= trusted_from:
                        raise
                    problem = refusal
                except PassingKubeError as error:
                    if isinstance(error, ConflictError) and not conflict_passes:
                        raise
                    problem = error
                self._problem = str(problem)
                if isinstance(problem, UnreachableError | ServerFailedError):
                    trusted_from = trio.current_time() + STARTING
                await trio.sleep((problem.retry_after or 0) + full_jitter(longest_pause, self._jitter))
        except ConflictError:
            raise
        except KubeError as error:
            self._explain(error, verb)
            raise
        raise AssertionError("rounds have no end")

    def _explain(self, error: KubeError, verb: str) -> None:
        if isinstance(error, NotInClusterError):
            self._is_off = True
        subject = (type(error), verb if isinstance(error, ForbiddenError) else "")
        if subject not in self._explained:
            self._explained.add(subject)
            self._warn(f"cannot label node: {error}{advice(error, verb, self._node)}")


def advice(error: KubeError, verb: str, node: str) -> str:
    """What to do when the API server refuses for good, in parentheses after a blank; or empty."""
    match error:
        case ForbiddenError():
            user = _USER.search(str(error))
            account = user.group(1) if user else "system:serviceaccount:NAMESPACE:NAME"
            return f" (missing permission to {verb} nodes; check: kubectl auth can-i {verb} nodes --as={account})"
        case NotFoundError():
            return f" (NODE_NAME must be the pod's spec.nodeName; check: kubectl get node {node})"
        case UnauthorizedError():
            return " (authentication failed; does the service account still exist? check: kubectl get serviceaccounts)"
        case _:
            return ""
