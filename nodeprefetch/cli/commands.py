"""The command line: reads arguments, runs the command, and returns its exit code. No other module knows exit codes.

Commands import Trio, and what needs it, when they run: `--help` stays fast.
"""

import signal
import sys
from collections.abc import Sequence
from functools import cache, partial
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Group, Parameter

from nodeprefetch import __version__
from nodeprefetch.cli.environment import read_environment
from nodeprefetch.cli.flag_variables import PREFIX, FlagVariables
from nodeprefetch.cli.flags import ExplainFlags, Images, PluginFlags
from nodeprefetch.cli.inputs import load_credential_plugins, read_images
from nodeprefetch.cli.once_flags import OnceFlags
from nodeprefetch.cli.output import print_records, warn
from nodeprefetch.errors import NoAccessError, Problems, RuntimeUnavailableError, UsageError, leaves
from nodeprefetch.settings import LogFormat, PullPolicy
from nodeprefetch.text.outlet import open_outlet
from nodeprefetch.text.printable import printable

OK, SOME_IMAGE_MISSING, USAGE, NO_RUNTIME, STILL_CLOSED, SIGNAL_BASE = 0, 1, 2, 3, 4, 128
NO_ACCESS = 3
"""In commands about a cluster."""

ON_YOUR_MACHINE = Group("On your machine, or wherever kubectl works", sort_key=1)
IN_THE_CLUSTER = Group("In the cluster", sort_key=2)
ON_A_NODE = Group("On a node", sort_key=3)
OTHERS = Group("Other", sort_key=4)

KEEP_HELP = (
    "Keep all listed images on this node until stopped: pull them again when they, their tags or the lists change."
)
AGGREGATE_HELP = "Collect results from all nodes and serve them as JSON and Prometheus metrics."
CLUSTER_COMMANDS = {
    "status": "Show on how many nodes of a cluster the images are, why they are missing on others, and what to do.",
    "wait": "Wait until the nodes of an installation have its images. Ends early if they cannot get them.",
    "why": "Show why images are missing on a node: all attempts, errors, what is in the way, and what to do.",
    "discover": "Print the images that Kubernetes manifests name, or that run in a cluster, as a list for fetch.",
}
"""Commands for people and scripts, which `kubectl nodeprefetch` has too, and their help. One module each."""


def new_app(name: str, help_text: str, group: Group) -> App:
    """Make an app with the commands about a cluster, in this group."""
    new = App(
        name=name,
        help=help_text,
        help_format="plaintext",
        version=__version__,
        group_commands=OTHERS,
        config=FlagVariables(PREFIX, command=False),
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        help_on_error=False,
    )
    for command, text in CLUSTER_COMMANDS.items():
        new.command(f"nodeprefetch.cli.{command}:{command}", help=text, group=group)
    return new


app = new_app("nodeprefetch", "Pull container images onto Kubernetes nodes before pods need them.", ON_YOUR_MACHINE)

# Loaded only when used: fetch starts faster without them.
app.command("nodeprefetch.cli.keep:keep", help=KEEP_HELP, group=ON_A_NODE)

app.command(
    "nodeprefetch.cli.aggregate:aggregate",
    name=["aggregate", "aggregate-metrics"],
    help=AGGREGATE_HELP,
    group=IN_THE_CLUSTER,
)

app.command(
    "nodeprefetch.cli.unpin:unpin",
    help="Remove the pins created by fetch --pin and list the affected images.",
    group=ON_A_NODE,
)

app.command(
    "nodeprefetch.cli.leases:leases",
    help="List or delete the partial downloads kept from interrupted pulls.",
    group=ON_A_NODE,
)


def run(arguments: Sequence[str], program: App = app) -> int:
    """Run a command of a program. Returns the exit code.

    0 done, 1 image missing, 2 usage, 3 no runtime or no access to the cluster, 4 the node could not be opened for pods,
    128+n signal n.
    """
    is_quick = bool(arguments) and arguments[0] in {"fetch", "keep", "explain", *CLUSTER_COMMANDS}
    if program is app and not is_quick:
        _offer_completion()
    code = OK
    try:
        result = program(arguments)
        code = result if isinstance(result, int) else OK
    except* CycloptsError as group:
        code = _fail(USAGE, group)
    except* UsageError as group:
        code = _fail(USAGE, group)
    except* RuntimeUnavailableError as group:
        code = _fail(NO_RUNTIME, group)
    except* NoAccessError as group:
        code = _fail(NO_ACCESS, group)
    except* KeyboardInterrupt:  # in commands that do not handle signals
        code = SIGNAL_BASE + signal.SIGINT
    except* BrokenPipeError:  # the reader of our output has exited
        code = SIGNAL_BASE + signal.SIGPIPE
    return code


@app.command(group=ON_A_NODE)
def fetch(*images: Images, flags: OnceFlags = OnceFlags()) -> int:  # noqa: B008 - frozen
    """Pull all listed images onto this node."""
    from nodeprefetch.cli.prepare import prepare  # noqa: PLC0415
    from nodeprefetch.cli.running import run_prepared  # noqa: PLC0415

    read = partial(read_images, flags.image_list_file, images)
    prepared = prepare(flags, read, read_environment(), for_pods=flags.for_pods)
    report = run_prepared(prepared, LogFormat(flags.log_format) if flags.log_format else None)
    if report.signal is not None:
        return SIGNAL_BASE + report.signal
    if report.failed and not flags.allow_failures:
        return SOME_IMAGE_MISSING
    return STILL_CLOSED if prepared.is_still_closed else OK


@app.command(group=ON_A_NODE)
def explain(
    *images: Images,
    flags: ExplainFlags = ExplainFlags(),  # noqa: B008 - frozen
) -> int:
    """Show what fetch would do with each image, without pulling anything."""
    environment = read_environment()
    problems = Problems()
    with problems.collected():
        refs = read_images(flags.image_list_file, images)
    with problems.collected():
        plugins = load_credential_plugins(flags, environment.variables, warn)
    problems.raise_if_any()

    from nodeprefetch.cli import explain as explaining  # noqa: PLC0415
    from nodeprefetch.cli.stop_signals import run_interruptibly  # noqa: PLC0415
    from nodeprefetch.credentials.api import is_local  # noqa: PLC0415
    from nodeprefetch.credentials.chain import open_chain  # noqa: PLC0415
    from nodeprefetch.credentials.plugins import only_local  # noqa: PLC0415
    from nodeprefetch.runtime.connect import connect_to  # noqa: PLC0415
    from nodeprefetch.text.known_secrets import knowing_secrets  # noqa: PLC0415

    async def main() -> list[explaining.Explanation]:
        asked = plugins if flags.ask_plugins else only_local(plugins)
        async with open_chain(asked, warn) as credentials:
            return await explaining.explain(
                refs,
                policy=PullPolicy(flags.pull_policy) if flags.pull_policy else None,
                credentials=credentials,
                providers=[
                    (name, provider)
                    for plugin in plugins
                    for name, provider in plugin.providers
                    if not is_local(provider)
                ],
                connect=connect_to(
                    flags.cri_socket,
                    wait=0,
                    environment=environment.variables,
                    warn=lambda _: None,
                    handler=flags.runtime_handler or "",
                ),
            )

    with knowing_secrets():
        explanations = run_interruptibly(main)
    print_records(explanations, flags.output, explaining.to_table)
    return OK


@app.command(group=ON_A_NODE)
def plugins(*, flags: PluginFlags = PluginFlags()) -> int:  # noqa: B008 - frozen
    """List the installed credential plugins and whether they are configured."""
    from nodeprefetch.cli.plugins import listed, to_table  # noqa: PLC0415

    loaded = load_credential_plugins(flags, read_environment().variables, warn)
    print_records(listed(loaded), flags.output, to_table)
    return OK


@app.command(group=ON_A_NODE)
def sleep() -> int:
    """Wait for SIGTERM or SIGINT. Keeps the pod running after fetch."""
    from nodeprefetch.sleep import sleep as wait  # noqa: PLC0415

    return wait()


@app.command
def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="Shell to complete in.")],
) -> int:
    """Print a completion script, to source in the shell's startup file."""
    sys.stdout.write(app.generate_completion(shell=shell))
    return OK


@cache
def _offer_completion() -> None:
    """Add `--install-completion`. Loading what it needs takes 6 ms, too long for a pull."""
    app.register_install_completion_command(add_to_startup=False)


def _fail(code: int, group: BaseExceptionGroup[Exception]) -> int:
    with open_outlet(sys.stderr) as outlet:
        for error in leaves(group):
            for line in str(error).split("\n"):
                outlet.put(f"nodeprefetch: {printable(line)}")
    return code
