"""Flags from environment variables."""

from cyclopts import App
from cyclopts.argument import ArgumentCollection
from cyclopts.config import Env

PREFIX = "NODEPREFETCH_"
"""Of the variable of each flag: `--cri-socket` is `NODEPREFETCH_CRI_SOCKET`."""


class FlagVariables(Env):
    """Reads flags from variables, except flags that make a command destructive: `--help` shows no variable for them."""

    def __call__(self, app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        """Add the values of variables to the arguments."""
        readable = arguments.copy()
        readable[:] = [each for each in arguments if each.parameter.show_env_var]
        super().__call__(app, commands, readable)
