"""What the commands take from the environment. Of others only `__main__.py` and the supervisor read `os.environ`."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """The environment of a run."""

    node_name: str = ""
    """Name of this node (NODE_NAME); empty: unknown, no node is labeled."""

    instance_name: str = ""
    """Name of this installation (INSTANCE_NAME)."""

    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    """All variables, for the search of the runtime, the Kubernetes API and credential plugins."""

    @property
    def reporting_node(self) -> str:
        """Name that results carry: the node's, otherwise the host's."""
        return self.node_name or socket.gethostname()


def read_environment() -> Environment:
    """The environment of this process."""
    variables = dict(os.environ)
    return Environment(
        node_name=variables.get("NODE_NAME", ""),
        instance_name=variables.get("INSTANCE_NAME", ""),
        variables=variables,
    )
