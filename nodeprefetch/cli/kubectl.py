"""The command line of `kubectl nodeprefetch`: the commands about a cluster. kubectl runs `kubectl-nodeprefetch`."""

from collections.abc import Sequence

from cyclopts import Group

from nodeprefetch.cli import commands

app = commands.new_app(
    "kubectl nodeprefetch",
    "Show on which nodes the images of nodeprefetch are, and why not on others.",
    Group("Commands"),
)


def run(arguments: Sequence[str]) -> int:
    """Run a command. Returns the exit code."""
    return commands.run(arguments, app)
