"""The flags of `fetch` about the other nodes of the cluster."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from nodeprefetch.cli.flag_kinds import ACROSS_NODES, duration, flag, switch


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class AcrossNodesFlags:
    """When this node pulls."""

    tickets: Annotated[
        bool,
        switch("Ask the aggregator before the first pull; it limits how many nodes pull at once.", group=ACROSS_NODES),
    ] = False
    ticket_endpoint: Annotated[
        str | None,
        flag("Aggregator to ask; implies --tickets. Default: the metrics endpoint.", "URL", group=ACROSS_NODES),
    ] = None
    ticket_wait: Annotated[
        str,
        duration("How long to wait for an answer about a ticket before the spread replaces it.", ACROSS_NODES),
    ] = "2m"
    spread: Annotated[
        str | None,
        flag(
            "Duration over which nodes start to pull, each at its own place, or 'auto' (requires --registry-rate)."
            " Default: none; with --tickets 10m, for nodes without an answer.",
            "TIME",
            group=ACROSS_NODES,
        ),
    ] = None
    registry_rate: Annotated[
        str | None,
        flag("Requests that the registry takes (44000/m, 700/s), for --spread auto.", "RATE", group=ACROSS_NODES),
    ] = None

    @property
    def delays_start(self) -> bool:
        """Whether the first pull may have to wait."""
        return bool(self.tickets or self.ticket_endpoint or self.spread or self.registry_rate)
