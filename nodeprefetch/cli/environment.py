"""What the commands take from the environment. No other module of the program reads `os.environ`."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from cyclopts import App
from cyclopts.argument import ArgumentCollection
from cyclopts.config import Env

PREFIX = "NODEPREFETCH_"
"""Of the variable of each flag: `--cri-socket` is `NODEPREFETCH_CRI_SOCKET`."""


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


class FlagVariables(Env):
    """Reads flags from variables, except flags that make a command destructive: `--help` shows no variable for them."""

    def __call__(self, app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        """Add the values of variables to the arguments."""
        readable = arguments.copy()
        readable[:] = [each for each in arguments if each.parameter.show_env_var]
        super().__call__(app, commands, readable)
