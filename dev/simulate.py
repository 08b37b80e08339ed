"""Simulate how the nodes of a cluster pull a list of images, with the product's own code (for dev/simulate).

Prints when the nodes are warm, what registry and nodes had to bear, and how far that is from the ideal.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from simulation.figure import draw, duration
from simulation.ideal import lower_bound
from simulation.quantities import parse_rate, parse_size
from simulation.result import Result
from simulation.run import simulate
from simulation.scenario import GIGABIT, MEGABYTE, Failure, Scenario

from nodeprefetch.errors import UsageError
from nodeprefetch.tickets.growth import Growth
from nodeprefetch.values.duration import parse_duration

_AUTO = -1.0


def _spread(text: str) -> float:
    return _AUTO if text == "auto" else _duration(text)


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


_SIZE: dict[str, Any] = {"type": parse_size, "metavar": "SIZE"}
_RATE: dict[str, Any] = {"type": parse_rate, "metavar": "RATE"}
_TIME: dict[str, Any] = {"type": _duration, "metavar": "DURATION"}


def main() -> int:
    """Run a simulation. Return the exit code."""
    options = new_parser().parse_args()
    result = simulate(_scenario(options))
    if options.svg is not None:
        options.svg.write_text(draw(result), "utf-8")
    if options.json:
        print(json.dumps(result.to_json(), indent=2))
    else:
        print(_text(result))
    return 0


def new_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="dev/simulate", description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--images", type=int, default=40, help="images in the list")
    parser.add_argument("--layers", type=int, default=10, help="layers of each image")
    parser.add_argument("--image-size", default=125 * MEGABYTE, help="compressed; default: 125MB", **_SIZE)
    parser.add_argument("--unpack-rate", help="compressed bytes per second; default: no limit", **_RATE)
    registry = parser.add_argument_group("registry")
    registry.add_argument(
        "--registry-bandwidth", type=parse_rate, default=100 * GIGABIT, metavar="RATE", help="default: 100Gbit"
    )
    registry.add_argument("--registry-requests", type=float, metavar="N", help="requests per second; default: no limit")
    registry.add_argument("--registry-burst", type=float, metavar="N", help="default: those of one second")
    nodes = parser.add_argument_group("nodes")
    nodes.add_argument("--node-down", default=10 * GIGABIT, help="default: 10Gbit", **_RATE)
    nodes.add_argument("--node-up", help="to peers; default: as --node-down", **_RATE)
    nodes.add_argument(
        "--peers",
        action=argparse.BooleanOptionalAction,
        help="nodes serve each other layers, as with Spegel; default: with --growth doubling",
    )
    what = parser.add_argument_group("what is set")
    what.add_argument("--pulling-nodes", type=int, metavar="N", help="default: no tickets")
    what.add_argument("--growth", type=Growth, choices=list(Growth), default=Growth.FIXED)
    what.add_argument(
        "--spread",
        type=_spread,
        metavar="DURATION",
        help="of nodes without a ticket, or auto: what the registry needs for all nodes; "
        "default: auto with --pulling-nodes, otherwise 0s",
    )
    what.add_argument(
        "--max-pull-attempt-delay",
        dest="max_delay",
        default=600.0,
        help="between attempts of a pull; default: 10m",
        **_TIME,
    )
    failure = parser.add_argument_group("failures")
    failure.add_argument("--failure", type=Failure, choices=list(Failure))
    failure.add_argument("--fails-at", help="default: after a quarter of the ideal time", **_TIME)
    failure.add_argument("--away", default=300.0, help="default: 5m", **_TIME)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw nodes warm against time")
    return parser


def _scenario(options: argparse.Namespace) -> Scenario:
    doubles = options.growth is Growth.DOUBLING
    values = {name: value for name, value in vars(options).items() if name not in {"json", "svg", "spread"}}
    values["peers"] = doubles if options.peers is None else options.peers
    values["node_up"] = options.node_down if options.node_up is None else options.node_up
    scenario = Scenario(**values)
    spread = options.spread
    if spread is None:
        spread = _AUTO if options.pulling_nodes else 0.0
    return scenario.with_spread(scenario.needed_spread if spread == _AUTO else spread)


def _whole_nodes(result: Result) -> list[str]:
    line = result.whole_nodes
    if line is None:
        return []
    return [f"       {result.end / line.end:.2f} x the ideal {duration(line.end)} of {line.name.partition(', ')[2]}"]


def _text(result: Result) -> str:
    ideal, scenario = result.ideal, result.scenario
    lines = [
        f"{len(result.warm_at):,} of {result.nodes:,} nodes warm with {scenario.images} images",
        f"end    {duration(result.end):>10}  {result.end_ratio:.2f} x the ideal {duration(ideal.end)} ({ideal.name})",
        f"mean   {duration(result.mean):>10}  {result.mean_ratio:.2f} x the ideal {duration(ideal.mean)}",
        *_whole_nodes(result),
        f"no order of nodes can end before {duration(lower_bound(scenario))}",
        (
            f"peaks  {result.peak_pulling_nodes} nodes pulling, {result.peak_registry_receivers} from the registry, "
            f"{result.peak_registry_rate / GIGABIT:.1f} Gbit/s, {result.peak_requests:,} requests/s"
        ),
        f"registry  {result.requests:,} requests, {result.throttled_requests:,} of them throttled (429)",
        f"aggregator  {result.ticket_requests:,} requests for tickets",
        f"{result.cpu_seconds:.1f} s of CPU",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
