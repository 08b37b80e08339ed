"""The flags of `fetch` that `keep` does not have."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from nodeprefetch.cli.flag_kinds import ACROSS_NODES, flag
from nodeprefetch.cli.flags import FetchFlags


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class OnceFlags(FetchFlags):
    """Whether to pull at all."""

    for_pods: Annotated[
        str | None,
        flag(
            "Pull only if a pod with these labels is on this node; SELECTOR is as for kubectl. Default of NAMESPACE:"
            " that of this pod.",
            "[NAMESPACE/]SELECTOR",
            group=ACROSS_NODES,
        ),
    ] = None
