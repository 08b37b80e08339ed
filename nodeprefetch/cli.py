"""The command line: argv to settings, the end of a run to an exit code. Nobody else knows exit codes.

What needs Trio is imported by the commands that run it: `--help` stays quick.
"""

import os
import signal
import sys
from collections.abc import AsyncIterable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, CycloptsError, Parameter
from cyclopts.config import Env

from nodeprefetch import __version__
from nodeprefetch.errors import Problems, RuntimeUnavailableError, UsageError
from nodeprefetch.flags import (
    ENVIRONMENT_PREFIX,
    CredentialFlags,
    ExplainFlags,
    FetchFlags,
    Images,
    PluginFlags,
    fetch_settings,
)
from nodeprefetch.inputs import plugin_options, plugin_order, read_images
from nodeprefetch.settings import LogFormat, PullPolicy

if TYPE_CHECKING:
    from nodeprefetch.credentials.plugins import Plugin
    from nodeprefetch.events import Reader

OK, SOME_IMAGE_MISSING, USAGE, NO_RUNTIME, SIGNAL_BASE = 0, 1, 2, 3, 128
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

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
    problems = Problems()
    from nodeprefetch.events import Notices  # noqa: PLC0415

    notices = Notices()
    with problems.collected():
        settings = fetch_settings(flags)
    with problems.collected():
        refs = read_images(flags.image_list_file, images)
    with problems.collected():
        plugins = _plugins(flags, notices.add)
    problems.raise_if_any()

    import trio  # noqa: PLC0415

    from nodeprefetch.credentials.chain import open_chain  # noqa: PLC0415
    from nodeprefetch.fetch import Report  # noqa: PLC0415
    from nodeprefetch.fetch import fetch as fetch_images  # noqa: PLC0415
    from nodeprefetch.runtime.discovery import connect_to  # noqa: PLC0415

    async def main() -> Report:
        with (
            _stop_signals() as signals,
            _reader(LogFormat(flags.log_format) if flags.log_format else None) as tell,
        ):
            notices.pass_to(tell)
            async with open_chain(plugins, notices.add) as credentials:
                return await fetch_images(
                    refs,
                    settings,
                    connect=connect_to(settings.cri_socket, wait=settings.runtime_wait),
                    credentials=credentials,
                    tell=tell,
                    signals=signals,
                )

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
        plugins = _plugins(flags, _warn)
    problems.raise_if_any()

    import trio  # noqa: PLC0415

    from nodeprefetch import explain as explaining  # noqa: PLC0415
    from nodeprefetch.credentials.chain import open_chain  # noqa: PLC0415
    from nodeprefetch.credentials.plugins import only_local  # noqa: PLC0415
    from nodeprefetch.credentials.provider import is_local  # noqa: PLC0415
    from nodeprefetch.runtime.discovery import connect_to  # noqa: PLC0415

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

    found = trio.run(main)
    text = explaining.to_json(found) if flags.output == "json" else explaining.to_table(found)
    sys.stdout.write(text + "\n")
    return OK


@app.command
def plugins(*, flags: PluginFlags = PluginFlags()) -> int:  # noqa: B008 - frozen
    """List the credential plugins that are installed, and whether they are configured."""
    from nodeprefetch.credentials.listing import to_json, to_table  # noqa: PLC0415

    found = _plugins(flags, _warn)
    sys.stdout.write((to_json(found) if flags.output == "json" else to_table(found)) + "\n")
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


def _plugins(flags: CredentialFlags, warn: Callable[[str], None]) -> "tuple[Plugin, ...]":
    from nodeprefetch.credentials.plugins import load_plugins  # noqa: PLC0415

    return load_plugins(plugin_options(flags), environment=os.environ, warn=warn, order=plugin_order(flags))


def _warn(text: str) -> None:
    sys.stderr.write(f"nodeprefetch: {text}\n")


@contextmanager
def _reader(log_format: LogFormat | None) -> "Iterator[Reader]":
    """The live table for who watches on a terminal, the log for everybody else."""
    if log_format is None and sys.stderr.isatty():
        from rich.console import Console  # noqa: PLC0415

        from nodeprefetch.report.table import live_table  # noqa: PLC0415

        with live_table(Console(stderr=True)) as tell:
            yield tell
    else:
        from nodeprefetch.report.log import log_to  # noqa: PLC0415

        yield log_to(sys.stderr, log_format or LogFormat.LOGFMT)


@contextmanager
def _stop_signals() -> Iterator[AsyncIterable[int]]:
    """The first signal ends the run in order: it is a value to wait for. The next ends the process where it stands.

    The second is met in the signal handler itself: Trio does not come to it where a write to standard error blocks.
    """
    import trio  # noqa: PLC0415

    with trio.open_signal_receiver(*STOP_SIGNALS) as signals:
        to_trio = signal.getsignal(STOP_SIGNALS[0])
        assert callable(to_trio)  # noqa: S101 - the one of the receiver
        received: list[int] = []

        def handle(number: int, frame: FrameType | None) -> None:
            if received:
                os._exit(SIGNAL_BASE + number)
            received.append(number)
            to_trio(number, frame)

        for each in STOP_SIGNALS:
            signal.signal(each, handle)
        yield signals


def _fail(code: int, group: BaseExceptionGroup[Exception]) -> int:
    for error in _leaves(group):
        for line in str(error).splitlines():
            sys.stderr.write(f"nodeprefetch: {line}\n")
    return code


def _leaves(group: BaseExceptionGroup[Exception]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
