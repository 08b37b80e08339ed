"""Run benchmarks by name, and print their figures as a table and as JSON (for dev/bench)."""

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks import (
    beside,
    board,
    bytes_over_line,
    cold,
    credentials,
    held,
    image,
    keep,
    page,
    pods,
    progress,
    results,
    startup,
    status,
    sweep,
    tickets,
)
from benchmarks.figures import Figure, table
from benchmarks.product import Product, install
from benchmarks.surroundings import Surroundings

Benchmark = Callable[[Surroundings], Iterator[Figure]]

USUAL: dict[str, Benchmark] = {
    "startup": startup.startup,
    "memory": startup.memory,
    "present": startup.present,
    "calls": startup.calls,
    "cold": cold.cold,
    "credentials": credentials.credentials,
}
ON_DEMAND: dict[str, Benchmark] = {
    "beside": beside.beside,
    "beside-parallel": beside.beside_parallel,
    "board": board.board,
    "bytes": bytes_over_line.bytes_over_line,
    "progress": progress.progress,
    "image": image.image,
    "results": results.results,
    "held": held.held,
    "keep": keep.keep,
    "page": page.page,
    "pods": pods.pods,
    "status": status.status,
    "tickets": tickets.tickets,
    "sweep-fast": sweep.fast,
    "sweep-narrow": sweep.narrow,
    "sweep-distant": sweep.distant,
    "sweep-stalled": sweep.stalled,
}


def main() -> int:
    """Run them. Return the exit code: 0 if every requested benchmark could be measured."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    options = _options()
    product = install()
    figures: list[Figure] = []
    began = time.monotonic()
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="npf-"))
        around = stack.enter_context(Surroundings(Path(directory), product))
        for name in options.names:
            sys.stderr.write(f"bench: {name}\n")
            for figure in (USUAL | ON_DEMAND)[name](around):
                figures.append(figure)
                sys.stderr.write(f"  {figure.name.strip()}: {figure.median:.4g} {figure.unit}\n")
        left_out = around.left_out
    print(table(figures))
    for reason in left_out:
        print(f"skipped: {reason}")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(_document(figures, product, began), indent=1) + "\n")
    print(f"{time.monotonic() - began:.0f} s (JSON: {options.json})")
    return 1 if left_out else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev/bench", description="Measures nodeprefetch.")
    known = [*USUAL, *ON_DEMAND]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {' '.join(known)}; sweeps run only by name")
    parser.add_argument("--json", type=Path, default=Path(".cache/bench.json"), metavar="FILE")
    options = parser.parse_args()
    unknown = set(options.names) - set(known)
    if unknown:
        parser.error(f"unknown: {' '.join(sorted(unknown))} (known: {' '.join(known)})")
    options.names = options.names or list(USUAL)
    return options


def _document(figures: list[Figure], product: Product, began: float) -> dict[str, object]:
    return {
        "version": product.version,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg(),
        "seconds": round(time.monotonic() - began, 1),
        "figures": [figure.to_json() for figure in figures],
    }


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
