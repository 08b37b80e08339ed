"""The command line: argv to settings, the end of a run to an exit code. Nobody else knows exit codes.

What needs Trio is imported by the commands that run it: `--help` stays quick.
"""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, CycloptsError, Parameter
from cyclopts.config import Env

from nodeprefetch import __version__
from nodeprefetch.cli.flags import (
    ENVIRONMENT_PREFIX,
    ExplainFlags,
    FetchFlags,
    Images,
    PluginFlags,
)
from nodeprefetch.cli.inputs import load_credential_plugins, read_images
from nodeprefetch.errors import Problems, RuntimeUnavailableError, UsageError, leaves
from nodeprefetch.settings import LogFormat, PullPolicy
from nodeprefetch.text.outlet import open_outlet, write
from nodeprefetch.text.printable import printable

if TYPE_CHECKING:
    from nodeprefetch.events import Reader

OK, SOME_IMAGE_MISSING, USAGE, NO_RUNTIME, SIGNAL_BASE = 0, 1, 2, 3, 128
AGGREGATE_HELP = "Take the results of all nodes, and serve them to people, to curl and to Prometheus."

app = App(
    name="nodeprefetch",
    help="Brings container images onto Kubernetes nodes before anyone needs them.",
    help_format="plaintext",
    version=__version__,
    config=Env(ENVIRONMENT_PREFIX, command=False),
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
    help_on_error=False,
)


# Loaded when it is asked for: fetch has no time for it.
app.command("nodeprefetch.cli.aggregate:aggregate", name=["aggregate", "aggregate-metrics"], help=AGGREGATE_HELP)

app.command("nodeprefetch.cli.unpin:unpin", help="Take away the pins that fetch --pin has made, and tell which.")

app.command("nodeprefetch.cli.leases:leases", help="List what cut pulls have left for the next run, or delete it.")


def run(arguments: Sequence[str]) -> int:
    """Run a command. Returns its exit code: 0 done, 1 an image is missing, 2 usage, 3 no runtime, 128+n signal n."""
    if not arguments or arguments[0] not in {"fetch", "explain"}:
        _offer_completion()
    code = OK
    try:
        result = app(arguments)
        code = result if isinstance(result, int) else OK
    except* CycloptsError as group:
        code = _fail(USAGE, group)
    except* UsageError as group:
        code = _fail(USAGE, group)
    except* RuntimeUnavailableError as group:
        code = _fail(NO_RUNTIME, group)
    except* KeyboardInterrupt:  # where no signals are waited for
        code = SIGNAL_BASE + signal.SIGINT
    except* BrokenPipeError:  # who reads our output has seen enough
        code = SIGNAL_BASE + signal.SIGPIPE
    return code


@app.command
def fetch(*images: Images, flags: FetchFlags = FetchFlags()) -> int:  # noqa: B008 - frozen
    """Pull every image of the lists onto this node."""
    from nodeprefetch.cli.prepare import prepare  # noqa: PLC0415

    session = prepare(flags, images)

    import trio  # noqa: PLC0415

    from nodeprefetch.cli.stop_signals import stop_signals  # noqa: PLC0415
    from nodeprefetch.pull.run import Report  # noqa: PLC0415

    async def main() -> Report:
        with stop_signals() as signals:
            return await session.run(reader, signals)

    log_format = LogFormat(flags.log_format) if flags.log_format else None
    with _reader(log_format, session.progress_interval) as reader:
        report = trio.run(main)
    if report.signal is not None:
        return SIGNAL_BASE + report.signal
    return SOME_IMAGE_MISSING if report.failed and not flags.allow_failures else OK


@app.command
def explain(
    *images: Images,
    flags: ExplainFlags = ExplainFlags(),  # noqa: B008 - frozen
) -> int:
    """Tell what fetch would do with every image, without pulling anything."""
    problems = Problems()
    with problems.collected():
        refs = read_images(flags.image_list_file, images)
    with problems.collected():
        plugins = load_credential_plugins(flags, _warn)
    problems.raise_if_any()

    from nodeprefetch.cli import explain as explaining  # noqa: PLC0415
    from nodeprefetch.cli.stop_signals import run_interruptibly  # noqa: PLC0415
    from nodeprefetch.credentials.chain import open_chain  # noqa: PLC0415
    from nodeprefetch.credentials.plugins import only_local  # noqa: PLC0415
    from nodeprefetch.credentials.provider import is_local  # noqa: PLC0415
    from nodeprefetch.runtime.connect import connect_to  # noqa: PLC0415
    from nodeprefetch.text.known_secrets import knowing_secrets  # noqa: PLC0415

    async def main() -> list[explaining.Explanation]:
        asked = plugins if flags.ask_plugins else only_local(plugins)
        async with open_chain(asked, _warn) as credentials:
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
                connect=connect_to(flags.cri_socket, wait=0),
            )

    with knowing_secrets():
        found = run_interruptibly(main)
    text = explaining.to_json(found) if flags.output == "json" else explaining.to_table(found)
    write(sys.stdout, text + "\n")
    return OK


@app.command
def plugins(*, flags: PluginFlags = PluginFlags()) -> int:  # noqa: B008 - frozen
    """List the credential plugins that are installed, and whether they are configured."""
    from nodeprefetch.cli.plugins import to_json, to_table  # noqa: PLC0415

    found = load_credential_plugins(flags, _warn)
    write(sys.stdout, (to_json(found) if flags.output == "json" else to_table(found)) + "\n")
    return OK


@app.command
def sleep() -> int:
    """Wait for SIGTERM or SIGINT: keeps the pod running after fetch."""
    from nodeprefetch.sleep import sleep as wait  # noqa: PLC0415

    return wait()


@app.command
def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="Which shell.")],
) -> int:
    """Print a completion script: source it in the shell's start-up file."""
    sys.stdout.write(app.generate_completion(shell=shell))
    return OK


@cache
def _offer_completion() -> None:
    """`--install-completion`. Loading what it needs takes 6 ms, which are not those of a pull."""
    app.register_install_completion_command(add_to_startup=False)


def _warn(text: str) -> None:
    write(sys.stderr, f"nodeprefetch: {printable(text)}\n")


@contextmanager
def _reader(log_format: LogFormat | None, progress_interval: float) -> "Iterator[Reader]":
    """The live table for who watches on a terminal, the log for everybody else."""
    if log_format is None and sys.stderr.isatty():
        from rich.console import Console  # noqa: PLC0415

        from nodeprefetch.report.live import live_table  # noqa: PLC0415

        with live_table(Console(stderr=True)) as emit:
            yield emit
    else:
        from nodeprefetch.report.log import log_to, lost  # noqa: PLC0415

        style = log_format or LogFormat.LOGFMT
        with open_outlet(sys.stderr, lost(style)) as outlet:
            yield log_to(outlet.put, style, progress_interval=progress_interval)


def _fail(code: int, group: BaseExceptionGroup[Exception]) -> int:
    with open_outlet(sys.stderr) as outlet:
        for error in leaves(group):
            for line in str(error).split("\n"):
                outlet.put(f"nodeprefetch: {printable(line)}")
    return code
