"""Calls the Kubernetes API for all that write on the node: one client a run, retries, errors explained once."""

import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Protocol, TypeVar

import trio

from nodeprefetch.kube import (
    Condition,
    ConflictError,
    ForbiddenError,
    KubeConfigError,
    KubeError,
    Node,
    NodeEvent,
    NotInClusterError,
    PassingKubeError,
    ServerFailedError,
    Taint,
    UnauthorizedError,
    UnreachableError,
)
from nodeprefetch.kube.objects import PodName
from nodeprefetch.report.node_advice import advice
from nodeprefetch.values.duration import format_duration
from nodeprefetch.values.retry import RetryPolicy, full_jitter

RETRY = RetryPolicy(initial_timeout=5, max_timeout=10, initial_delay=0.25, max_delay=4)
"""Timeouts of calls to the API server and delays after them, in seconds: a call that hangs leaves time for another."""

BACKGROUND_RETRY = RetryPolicy(initial_timeout=10, max_timeout=10, initial_delay=0.5, max_delay=30)
"""The same while pulls run: nobody waits for it, and all nodes of a cluster call an API server that is down."""

STARTING = 10.0
"""Seconds after an API server gave no answer in which its 401 and 403 are retried. One that has just started does not
know all permissions and accounts yet: it refuses what it allows a moment later."""

Answer = TypeVar("Answer")


class NodeCalls(Protocol):
    """The calls of the Kubernetes API, as in `nodeprefetch.kube.Kube`. They raise `KubeError`s."""

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

    async def remove_taints(self, node: Node, taints: Collection[Taint]) -> Node:
        """Remove some taints of a node as it was read."""
        ...

    async def patch_node_condition(
        self, name: str, condition: Condition, *, resource_version: str | None = None
    ) -> Node:
        """Set one condition."""
        ...

    async def create_node_event(self, event: NodeEvent) -> None:
        """Create an event about a node."""
        ...

    async def pods_on_node(self, namespace: str, selector: str, node: str) -> list[PodName]:
        """List pods on a node."""
        ...


Connect = Callable[[], Awaitable[NodeCalls]]
"""Loads the client. Raises `KubeError`s; is called again after an error."""


class NodeApi:
    """What all node reporters of a run share: the client, loaded by the first call, and what has been explained.

    Args:
        node: name of the node.
        connect: loads the client of the Kubernetes API.
        warn: takes messages for people.
        inform: takes those that require no action.
        on_node: called with the node each time that an answer has it.
        jitter: random numbers from 0 to 1.
    """

    def __init__(
        self,
        node: str,
        *,
        connect: Connect,
        warn: Callable[[str], None],
        inform: Callable[[str], None] = lambda _: None,
        on_node: Callable[[Node], None] = lambda _: None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.node = node
        self.warn = warn
        self.inform = inform
        self.on_node = on_node
        self.jitter = jitter
        self._connect = connect
        self._connecting = trio.Lock()
        self._calls: NodeCalls | None = None
        self._outside: NotInClusterError | None = None
        self._explained: set[tuple[type[KubeError], str]] = set()

    @property
    def is_off(self) -> bool:
        """Whether this is not a cluster, which has been explained: nobody needs to call."""
        return self._outside is not None

    def caller(self, task: str, *, is_optional: bool = False) -> "NodeCaller":
        """Calls for one reporter.

        Args:
            task: what it does, after `cannot`: `label node`.
            is_optional: nobody depends on it, so its problems require no action.
        """
        return NodeCaller(self, task, self.inform if is_optional else self.warn)

    async def connected(self) -> NodeCalls:
        """The client. Loads it once; others wait meanwhile."""
        async with self._connecting:
            if self._outside is not None:
                raise self._outside
            if self._calls is None:
                self._calls = await self._connect()
            return self._calls

    def explain(self, error: KubeError, log: Callable[[str], None], *, task: str, verb: str, resource: str) -> None:
        """Explain an error to people: once for all reporters; a missing permission once for each verb and resource.

        Args:
            error: that does not pass.
            log: takes the message, unless the error concerns all.
            task: of the reporter that met it.
            verb: of the call.
            resource: of the call.
        """
        if isinstance(error, NotInClusterError):
            self._outside = error
        if isinstance(error, NotInClusterError | KubeConfigError):
            task, log = "update node", self.warn
        advised = advice(error, verb, resource, self.node)
        # The advice names the permission, unless it is none that is missing.
        subject = (type(error), (advised or f"{verb} {resource}") if isinstance(error, ForbiddenError) else "")
        if subject not in self._explained:
            self._explained.add(subject)
            log(f"cannot {task}: {error}{advised}")


class NodeCaller:
    """Calls the Kubernetes API for one reporter. See `NodeApi.caller`."""

    def __init__(self, api: NodeApi, task: str, log: Callable[[str], None]) -> None:
        self._api = api
        self._task = task
        self._log = log
        self.problem = ""
        """Why the last call failed; it is being retried."""

    @property
    def node(self) -> str:
        """Name of the node."""
        return self._api.node

    @property
    def is_off(self) -> bool:
        """See `NodeApi.is_off`."""
        return self._api.is_off

    async def pause(self, longest: float) -> None:
        """Sleep for a random part of so many seconds."""
        await trio.sleep(full_jitter(longest, self._api.jitter))

    async def call(
        self,
        verb: str,
        call: Callable[[NodeCalls], Awaitable[Answer]],
        *,
        resource: str = "nodes",
        retry: RetryPolicy = RETRY,
        conflict_passes: bool = True,
    ) -> Answer:
        """Call until there is an answer. Explains and raises errors that do not pass.

        Args:
            verb: of the permission that the call needs: `get`, `patch`, `create`.
            call: makes the request. Called again after an error that may pass.
            resource: of that permission, such as `nodes/status`.
            retry: timeouts and delays.
            conflict_passes: retry after a `ConflictError` as well. Otherwise it is raised, unexplained.

        Raises:
            KubeError: that does not pass.
        """
        self.problem = ""
        try:
            calls = await self._api.connected()
            trusted_from = trio.current_time()
            for limit, longest_pause in retry.rounds():
                problem: KubeError
                try:
                    with trio.fail_after(limit):
                        return self._seen(await call(calls))
                except trio.TooSlowError:
                    problem = UnreachableError(f"no answer in {format_duration(limit)}")
                except (ForbiddenError, UnauthorizedError) as refusal:
                    if trio.current_time() >= trusted_from:
                        raise
                    problem = refusal
                except PassingKubeError as error:
                    problem = error
                self.problem = str(problem)
                if isinstance(problem, ConflictError) and not conflict_passes:
                    raise problem
                if isinstance(problem, UnreachableError | ServerFailedError):
                    trusted_from = trio.current_time() + STARTING
                await trio.sleep((problem.retry_after or 0) + full_jitter(longest_pause, self._api.jitter))
        except ConflictError:
            raise
        except KubeError as error:
            self._api.explain(error, self._log, task=self._task, verb=verb, resource=resource)
            raise
        raise AssertionError("rounds have no end")

    def _seen(self, answer: Answer) -> Answer:
        if isinstance(answer, Node):
            self._api.on_node(answer)
        return answer

    async def finish_work(
        self, work: Callable[[], Awaitable[object]], report: Callable[[str], None], *, aim: str = ""
    ) -> None:
        """Make the last calls of a run, until they succeed, one is refused for good, or this is cancelled.

        Args:
            work: makes them, by `call`.
            report: takes the error: one line, empty on success. Not called outside a cluster.
            aim: follows the task in the message when time runs out: `as succeeded`.
        """
        try:
            await work()
        except NotInClusterError:
            return
        except KubeError as problem:
            report(str(problem))
        except trio.Cancelled:
            error = f"no time left: {self.problem or 'no answer yet'}"
            self._log(f"cannot {' '.join(filter(None, (self._task, aim)))}: {error}")
            report(error)
            raise
        else:
            report("")
