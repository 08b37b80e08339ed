"""`aggregate`: opens what the aggregator needs, and runs it."""

import gc
import logging
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack

from nodeprefetch.cli.aggregate_flags import AggregateFlags, aggregator_settings
from nodeprefetch.cli.environment import read_environment
from nodeprefetch.errors import UsageError, leaves
from nodeprefetch.text.outlet import open_outlet
from nodeprefetch.text.printable import printable

_DAMAGED = 1
"""Exit code."""

_KEPT_CONNECTIONS = 16
"""To the API server: as many as there are reviews of tokens at once, so that each new node costs no TLS handshake."""


def aggregate(*, flags: AggregateFlags = AggregateFlags()) -> int:  # noqa: B008 - frozen
    """Collect results from all nodes and serve them as JSON and Prometheus metrics.

    Returns:
        the exit code.

    Raises:
        UsageError: the flags are invalid, or something that they name cannot be used. May be in an exception group.
    """
    settings = aggregator_settings(flags)

    import trio  # noqa: PLC0415 - not for --help

    from nodeprefetch.aggregator.serve import serve  # noqa: PLC0415
    from nodeprefetch.aggregator.store.damage import DamagedDatabaseError  # noqa: PLC0415
    from nodeprefetch.cli.stop_signals import stop_signals  # noqa: PLC0415
    from nodeprefetch.kube import KubeError, connect  # noqa: PLC0415

    async def main(log: Callable[[str], None]) -> None:
        async with AsyncExitStack() as stack:
            reviewer = None
            if flags.auth == "kubernetes":
                try:
                    reviewer = await connect(
                        flags.kubeconfig,
                        kept_connections=_KEPT_CONNECTIONS,
                        environment=read_environment().variables,
                    )
                except KubeError as error:
                    raise UsageError([f"--auth kubernetes: {error}"]) from error
                stack.push_async_callback(reviewer.aclose)
            with stop_signals() as signals:
                await serve(settings, log=log, stop=signals, reviewer=reviewer)

    code = 0
    gc.freeze()  # otherwise each collection visits all loaded modules, which stops the server for 50 ms
    with open_outlet(sys.stdout) as output, open_outlet(sys.stderr) as errors:  # does not block if nobody reads them
        logging.basicConfig(level=logging.WARNING, handlers=[_Handler(errors.put)], force=True)
        try:
            trio.run(main, lambda line: output.put(printable(line)))
        except* DamagedDatabaseError as group:
            output.put(printable(str(next(leaves(group)))))
            code = _DAMAGED
    return code


class _Handler(logging.Handler):
    """Writes log records of libraries and tracebacks to an outlet."""

    def __init__(self, put: Callable[[str], None]) -> None:
        super().__init__()
        self._put = put
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._put(self.format(record))
