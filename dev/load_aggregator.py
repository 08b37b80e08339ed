"""Run an aggregator with results from many nodes, and print the figures (for dev/load-aggregator)."""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from tests.support.aggregator_program import AggregatorProgram
from tests.support.node_load import Load, send

MEGABYTE = 1_000_000


def main() -> int:
    """Run the load test. Return the exit code: 0 if nothing was lost."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    parser = argparse.ArgumentParser(prog="dev/load-aggregator", description=__doc__)
    parser.add_argument("--nodes", type=int, default=1_000)
    parser.add_argument("--images", type=int, default=50, help="images per node")
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--memory", action="store_true", help="keep results in memory, without a database file")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="npf-") as directory,
        AggregatorProgram(Path(directory), keeps=not options.memory) as aggregator,
    ):
        load = Load(
            nodes=options.nodes, images=options.images, connections=options.connections, port=aggregator.http_port
        )
        sent = send(load)
        peak = aggregator.memory("VmHWM")
        kept = [result["attempt_id"] for result in aggregator.results()]
        size = sum(file.stat().st_size for file in Path(directory).rglob("results.sqlite3*"))
    lost, twice = len(sent.acknowledged - set(kept)), len(kept) - len(set(kept))
    print(f"{load.nodes} nodes x {load.images} images through {load.connections} connections")
    print(f"results={len(kept)} of {load.attempts}  lost={lost}  duplicates={twice}  rejected={len(sent.refused)}")
    print(f"results/s={len(kept) / sent.seconds:.0f}  seconds={sent.seconds:.1f}")
    print(f"VmHWM={peak / MEGABYTE:.0f} MB  database={size / MEGABYTE:.1f} MB")
    return 0 if lost == twice == len(sent.refused) == 0 and len(kept) == load.attempts else 1


if __name__ == "__main__":
    sys.exit(main())
