"""Prepares what the first pull of a run waits for: a ticket (`--tickets`), or its place in time (`--spread`)."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import trio

from nodeprefetch.cli.environment import Environment
from nodeprefetch.cli.flag_settings import read_seconds
from nodeprefetch.cli.flags import FetchFlags
from nodeprefetch.emitter import Notices, Reader
from nodeprefetch.errors import Problems, UsageError
from nodeprefetch.kube import Kube, KubeError, Node, NotInClusterError, namespace_of_pod
from nodeprefetch.kube.server import SERVICE_ACCOUNT
from nodeprefetch.pull.start import DelayReport, StartPermit
from nodeprefetch.report.node_description import ZONE_LABEL
from nodeprefetch.submit.destination import Destination, read_destination
from nodeprefetch.submit.tickets import open_tickets
from nodeprefetch.tickets.messages import TicketRequest, TicketState
from nodeprefetch.tickets.permit import NodeFacts, SpreadPermit, TicketPermit
from nodeprefetch.tickets.spread import spread_needed
from nodeprefetch.values.duration import format_duration
from nodeprefetch.values.image_list import list_digest
from nodeprefetch.values.image_ref import ImageRef
from nodeprefetch.values.rate import parse_rate

if TYPE_CHECKING:
    from nodeprefetch.cli.gate import PreparedGate

AUTO = "auto"
FALLBACK_SPREAD = 600.0
"""Seconds over which nodes start where nothing better is known: without an answer about tickets, and if `auto` cannot
read the number of nodes. Long enough for a thousand nodes to start two a second; short beside what a prefetch may take.
"""

API_LIMIT = 3.0
"""Seconds for finding something out from the Kubernetes API: it may make a start better, and must not delay it."""

Connect = Callable[[], Awaitable[Kube]]


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Over how long nodes start."""

    seconds: float | None = None
    """None: computed from list, nodes and rate."""

    rate: float = 0
    """Requests per second that the registry takes."""


class PreparedStart(msgspec.Struct, frozen=True, kw_only=True):
    """What the first pull waits for."""

    destination: Destination | None
    """Whom to ask for tickets; None: nobody."""

    patience: float
    spread: Spread
    node: str
    instance: str
    images: tuple[ImageRef, ...]
    connect: Connect
    notices: Notices
    emit: Reader
    on_node: Callable[[Node], None] = lambda _: None
    """Called with the node once it was read."""

    gate: "PreparedGate | None" = None
    mount: Path = SERVICE_ACCOUNT
    """Of the pod's service account."""

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[StartPermit]:
        """Open the permit of the run, with its connection to the aggregator."""
        report = DelayReport(self.emit)
        if self.destination is None:
            yield SpreadPermit(self.node, self.instance, spread=self.find_spread, on_delay=report)
            return
        async with open_tickets(self.destination) as tickets:
            yield TicketPermit(
                tickets.ask,
                TicketRequest(
                    node=self.node,
                    run_id="",
                    state=TicketState.WAITING,
                    instance=self.instance,
                    list_digest=list_digest(self.images),
                ),
                find_node=self.find_node,
                patience=self.patience,
                spread=self.find_spread,
                on_delay=report,
            )

    async def find_node(self) -> NodeFacts:
        """Read the node. What cannot be read is left out: it only makes the order better."""
        node: Node | None = None
        with trio.move_on_after(API_LIMIT), suppress(KubeError):
            node = await (await self.connect()).get_node(self.node)
        if node is not None:
            self.on_node(node)
        return NodeFacts(
            zone=node.labels.get(ZONE_LABEL, "") if node else "",
            is_gated=self.gate is not None and self.gate.holds(node),
        )

    async def find_spread(self) -> float:
        """Return over how many seconds nodes start."""
        if self.spread.seconds is not None:
            return self.spread.seconds
        try:
            with trio.fail_after(API_LIMIT):
                nodes = await self._count_nodes()
        except (KubeError, trio.TooSlowError) as error:
            why = str(error) or f"no answer in {format_duration(API_LIMIT)}"
            used = format_duration(FALLBACK_SPREAD)
            self.notices.add(f"--spread auto: cannot read the number of nodes, using {used}: {why}")
            return FALLBACK_SPREAD
        seconds = spread_needed(images=len(self.images), nodes=nodes, rate=self.spread.rate)
        text = f"--spread auto: {format_duration(round(seconds))} for {nodes} nodes and {len(self.images)} images"
        self.notices.info(text)
        return seconds

    async def _count_nodes(self) -> int:
        if not self.instance:
            raise NotInClusterError("INSTANCE_NAME, the name of the DaemonSet, is not set")
        namespace = namespace_of_pod(self.mount)
        return await (await self.connect()).count_nodes_of(namespace, self.instance)


def prepare_start(
    flags: FetchFlags,
    environment: Environment,
    images: tuple[ImageRef, ...],
    *,
    connect: Connect,
    notices: Notices,
    emit: Reader,
    on_node: Callable[[Node], None] = lambda _: None,
    gate: "PreparedGate | None" = None,
    mount: Path = SERVICE_ACCOUNT,
) -> PreparedStart:
    """Check the flags about who pulls when, at least one of which was given.

    Raises:
        UsageError: with all problems.
    """
    problems = Problems()
    destination: Destination | None = None
    spread = Spread(seconds=FALLBACK_SPREAD)
    patience = 0.0
    with problems.collected():
        destination = _destination(flags)
    with problems.collected():
        spread = _spread(flags) or spread
    with problems.collected():
        patience = read_seconds(flags, "ticket_wait", may_be_zero=True)
    problems.raise_if_any()
    return PreparedStart(
        destination=destination,
        patience=patience,
        spread=spread,
        node=environment.reporting_node,
        instance=environment.instance_name,
        images=images,
        connect=connect,
        notices=notices,
        emit=emit,
        on_node=on_node,
        gate=gate,
        mount=mount,
    )


def _destination(flags: FetchFlags) -> Destination | None:
    if not (flags.tickets or flags.ticket_endpoint):
        return None
    endpoint = flags.ticket_endpoint or flags.metrics_endpoint
    if not endpoint:
        raise UsageError(["--tickets requires --ticket-endpoint or --metrics-endpoint"])
    return read_destination(endpoint, ca_file=flags.metrics_ca_file, token_file=flags.metrics_token_file)


def _spread(flags: FetchFlags) -> Spread | None:
    if flags.spread != AUTO:
        if flags.registry_rate:
            raise UsageError(["--registry-rate requires --spread auto"])
        return Spread(seconds=read_seconds(flags, "spread", may_be_zero=True)) if flags.spread else None
    if not flags.registry_rate:
        raise UsageError(["--spread auto requires --registry-rate, e.g. 44000/m"])
    try:
        return Spread(rate=parse_rate(flags.registry_rate))
    except UsageError as error:
        raise UsageError([f"--registry-rate: {error}"]) from error
