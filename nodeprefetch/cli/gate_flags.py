"""The flags of `fetch` about nodes that take no pods until their images are there."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from nodeprefetch.cli.flag_kinds import NEW_NODES, flag, many, switch


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class GateFlags:
    """When a new node takes pods."""

    node_condition: Annotated[
        bool, switch("Set a condition of the node that says whether it has all images.", group=NEW_NODES)
    ] = False
    remove_taint: Annotated[
        tuple[str, ...],
        many(
            "Startup taint to remove from the node once all images are present. May be repeated.",
            "KEY[=VALUE][:EFFECT]",
            NEW_NODES,
        ),
    ] = ()
    gate_timeout: Annotated[
        str,
        flag(
            "Time since the pod's first run on this node after which taints are removed and the condition becomes True"
            " even if images are missing; 0 waits for ever.",
            "DURATION",
            group=NEW_NODES,
        ),
    ] = "15m"
    gate_needs: Annotated[
        str | None,
        flag(
            "Image list with the images that must be present; the others may come later. Default: all.",
            "FILE",
            group=NEW_NODES,
        ),
    ] = None
    gate_file: Annotated[
        str | None,
        flag(
            "File that remembers the first run when the container restarts. Default: none, so --gate-timeout counts"
            " from the start of the process.",
            "FILE",
            group=NEW_NODES,
        ),
    ] = None

    @property
    def has_gate(self) -> bool:
        """Whether the node waits for its images."""
        return bool(self.remove_taint or self.node_condition)
