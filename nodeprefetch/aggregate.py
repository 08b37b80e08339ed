"""`aggregate`: takes the results of all nodes and serves them; opens what the aggregator needs."""

import gc
import sys

from nodeprefetch.aggregateflags import AggregateFlags, aggregator_settings
from nodeprefetch.errors import UsageError


def aggregate(*, flags: AggregateFlags = AggregateFlags()) -> None:  # noqa: B008 - frozen
    """Take the results of all nodes, and serve them to people, to curl and to Prometheus.

    Raises:
        UsageError: it cannot be served so. It may come in an exception group.
    """
    settings = aggregator_settings(flags)

    import trio  # noqa: PLC0415 - not for --help

    from nodeprefetch.aggregator.serve import serve  # noqa: PLC0415
    from nodeprefetch.kube import KubeError, connect  # noqa: PLC0415
    from nodeprefetch.stopsignals import stop_signals  # noqa: PLC0415

    async def main() -> None:
        try:
            reviewer = await connect(flags.kubeconfig) if flags.auth == "kubernetes" else None
        except KubeError as error:
            raise UsageError([f"--auth kubernetes: {error}"]) from error
        with stop_signals() as signals:
            await serve(settings, announce=_announce, stop=signals, reviewer=reviewer)

    gc.freeze()  # what was loaded is not looked through again each time, for 50 ms in which nobody is answered
    trio.run(main)


def _announce(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
