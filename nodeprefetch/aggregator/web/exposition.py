"""The Prometheus metrics: few series, whatever the number of nodes."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import trio
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from nodeprefetch import __version__
from nodeprefetch.aggregator.store.overview import Overview
from nodeprefetch.aggregator.store.tallies import BUCKETS, UNRECOGNIZED
from nodeprefetch.aggregator.web.service import Service
from nodeprefetch.events import Outcome

_IMAGES_NAMED = 200
"""Images with their own series; the others share one."""

_TALLIES_AT_ONCE = 1_000
_OTHERS = "(others)"


async def exposition(service: Service, accept: str, address: str) -> tuple[bytes, str]:
    """Return the metrics in the accepted format, and their content type.

    They include everything stored before this call.
    """
    encode, content_type = choose_encoder(accept)

    async def make() -> bytes:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collector(service, await service.overviews.latest(), await _summed(service)))
        return encode(registry)

    return await service.expositions.get(content_type, make, address), content_type


@dataclass(frozen=True, slots=True)
class _Attempts:
    by_class: Counter[str]
    unrecognized: int
    """Attempts with an error that fetch did not recognize."""

    pulls: dict[str, tuple[list[int], float, int]]
    """By image: attempts by bucket, seconds, bytes."""


def _tags_moved(service: Service, pulled: Iterable[str]) -> Counter[str]:
    """Return how often the tag of each image has moved; 0 for pulled ones, so that `increase` sees their first move."""
    names = service.store.records.images.by_number()
    moved = Counter[str]()
    for image, moves in service.store.records.tag_moves.totals.items():
        name = names[image]
        moved[name if name in moved or len(moved) < _IMAGES_NAMED else _OTHERS] += moves
    still = [name for name in pulled if name not in moved]
    moved.update(dict.fromkeys(still[: max(0, _IMAGES_NAMED - len(moved))], 0))
    return moved


async def _summed(service: Service) -> _Attempts:
    """Sum up the tallies. Lets other tasks run in between, because there may be tens of thousands."""
    names = service.store.records.images.by_number()
    attempts: Counter[str] = Counter({"": 0})
    unrecognized = 0
    pulls: dict[str, tuple[list[int], float, int]] = {}
    for index, (image, error_class, tally) in enumerate(list(service.store.records.tallies)):
        if index % _TALLIES_AT_ONCE == 0:
            await trio.lowlevel.checkpoint()
        count = sum(tally.counts)
        attempts[error_class.removesuffix(UNRECOGNIZED)] += count
        if error_class.endswith(UNRECOGNIZED):
            unrecognized += count
        if error_class:
            continue
        name = names[image]
        if name not in pulls and len(pulls) >= _IMAGES_NAMED:
            name = _OTHERS
        counts, seconds, size = pulls.get(name, ([0] * len(tally.counts), 0.0, 0))
        added = [one + other for one, other in zip(counts, tally.counts, strict=True)]
        pulls[name] = (added, seconds + tally.seconds, size + tally.bytes)
    return _Attempts(attempts, unrecognized, pulls)


class _Collector(Collector):
    def __init__(self, service: Service, overview: Overview, attempts: _Attempts) -> None:
        self._service = service
        self._overview = overview
        self._attempts_total = attempts

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        build = InfoMetricFamily("nodeprefetch_build", "Version of the aggregator.")
        build.add_metric([], {"version": __version__})
        yield build
        yield from self._attempts()
        yield from self._states()
        yield from self._tickets()
        yield from self._own()

    def _attempts(self) -> Iterator[Metric]:
        ended = CounterMetricFamily(
            "nodeprefetch_attempts", "Finished pull attempts.", labels=["outcome", "error_class"]
        )
        for error_class, count in sorted(self._attempts_total.by_class.items()):
            ended.add_metric(["failed" if error_class else "succeeded", error_class], count)
        yield ended
        yield CounterMetricFamily(
            "nodeprefetch_unrecognized_errors",
            "Failed attempts with an error that fetch did not recognize (reason unknown).",
            value=self._attempts_total.unrecognized,
        )
        durations = HistogramMetricFamily(
            "nodeprefetch_pull_duration_seconds", "Duration of successful pull attempts.", labels=["image"]
        )
        sizes = CounterMetricFamily(
            "nodeprefetch_pulled_bytes", "Bytes of pulled images as reported by runtimes.", labels=["image"]
        )
        for name, (counts, seconds, size) in sorted(self._attempts_total.pulls.items()):
            durations.add_metric([name], _cumulated(counts), seconds)
            sizes.add_metric([name], size)
        yield durations
        yield sizes
        moved = CounterMetricFamily(
            "nodeprefetch_tags_moved", "Moves of tags that pulls have found, each once per node.", labels=["image"]
        )
        for name, moves in sorted(_tags_moved(self._service, self._attempts_total.pulls).items()):
            moved.add_metric([name], moves)
        yield moved
        throttled = CounterMetricFamily(
            "nodeprefetch_registry_throttled_seconds",
            "Seconds for which nodes paused their pulls because the registry asked for fewer requests.",
            labels=["registry"],
        )
        for registry, waited in sorted(self._service.store.records.throttles.totals.items()):
            throttled.add_metric([registry], waited)
        yield throttled

    def _states(self) -> Iterator[Metric]:
        overview = self._overview
        instances = sorted({instance for instance, _ in overview.images} | set(overview.last_runs) | set(overview.gone))
        images = GaugeMetricFamily("nodeprefetch_images", "Images by state.", labels=["instance", "state"])
        nodes = GaugeMetricFamily(
            "nodeprefetch_nodes", "Nodes by their worst image state.", labels=["instance", "state"]
        )
        gave_up = GaugeMetricFamily(
            "nodeprefetch_nodes_gave_up",
            "Nodes that take pods although images are missing (--gate-timeout).",
            labels=["instance"],
        )
        gone = GaugeMetricFamily(
            "nodeprefetch_nodes_gone",
            "Nodes that have promised a report and are not heard of any more (--node-retention).",
            labels=["instance"],
        )
        rejecting = GaugeMetricFamily(
            "nodeprefetch_nodes_list_rejected",
            "Nodes that use the last valid image lists, as the newest are invalid or cannot be read.",
            labels=["instance"],
        )
        cold = GaugeMetricFamily(
            "nodeprefetch_longest_cold_seconds",
            "Time of the node that has lacked images for longest, since it began to pull (0: none).",
            labels=["instance"],
        )
        longest = self._service.overviews.longest_cold()
        for instance in instances:
            cold.add_metric([instance], longest.get(instance, 0))
            gone.add_metric([instance], overview.gone.get(instance, 0))
            rejecting.add_metric([instance], overview.rejecting.get(instance, 0))
            gave_up.add_metric([instance], overview.gave_up.get(instance, 0))
            for state in Outcome:
                images.add_metric([instance, state], overview.images.get((instance, state), 0))
                nodes.add_metric([instance, state], overview.nodes.get((instance, state), 0))
        last = GaugeMetricFamily(
            "nodeprefetch_last_run_timestamp_seconds", "Time of the last event of any run.", labels=["instance"]
        )
        for instance, heard in sorted(overview.last_runs.items()):
            last.add_metric([instance], heard)
        yield images
        yield nodes
        yield _missing(overview)
        yield cold
        yield gave_up
        yield gone
        yield rejecting
        yield last
        yield GaugeMetricFamily(
            "nodeprefetch_digest_skew_images",
            "Images whose tag has different digests on different nodes.",
            value=len(overview.skewed),
        )

    def _tickets(self) -> Iterator[Metric]:
        tickets = self._service.tickets
        nodes = GaugeMetricFamily(
            "nodeprefetch_ticket_nodes", "Nodes that use tickets, by what they do.", labels=["instance", "state"]
        )
        limit = GaugeMetricFamily(
            "nodeprefetch_ticket_limit", "Nodes that may pull at the same time.", labels=["instance"]
        )
        for instance, counts in sorted(tickets.counts().items()):
            for state in ("waiting", "pulling", "warm"):
                nodes.add_metric([instance, state], getattr(counts, state))
            if counts.limit is not None:
                limit.add_metric([instance], counts.limit)
        yield nodes
        yield limit
        for name, text, count in (
            ("given", "Tickets given to nodes.", tickets.given),
            ("lost", "Tickets lost by nodes that fell silent.", tickets.lost),
        ):
            yield CounterMetricFamily(f"nodeprefetch_tickets_{name}", text, value=count)

    def _own(self) -> Iterator[Metric]:
        service, counters = self._service, self._service.counters
        for name, text, values, label in (
            ("accepted_events", "Events stored.", counters.accepted, "protocol"),
            ("duplicate_events", "Duplicate events.", counters.duplicates, "protocol"),
            ("submissions", "Successful submissions.", counters.requests, "protocol"),
            ("refused_requests", "Refused requests and connections.", counters.refused, "reason"),
            ("forgotten_rows", "Rows deleted by retention and limits.", service.store.records.forgotten, "table"),
        ):
            counted = CounterMetricFamily(f"nodeprefetch_aggregator_{name}", text, labels=[label])
            for key, count in sorted(values.items()):
                counted.add_metric([key], count)
            yield counted
        yield CounterMetricFamily(
            "nodeprefetch_aggregator_broken_connections",
            "Connections closed after a protocol error.",
            value=counters.broken_connections,
        )
        for name, text, count in (
            ("closed_connections", "Idle connections closed to make room.", counters.closed_connections),
            ("stuck_answers", "Responses aborted because clients did not read them.", counters.stuck_answers),
        ):
            yield CounterMetricFamily(f"nodeprefetch_aggregator_{name}", text, value=count)
        for name, text, value in (
            ("connections", "Open connections.", counters.connections),
            ("live_readers", "Readers of the live stream.", service.readers.used),
            ("open_ticket_requests", "Requests for tickets that wait for an answer.", service.tickets.open),
            ("in_flight_bytes", "Request and response bytes in memory.", service.budget.used),
            ("results", "Attempts stored.", service.store.records.attempts),
            ("healthy", "Whether the database can be written and read (1) or not (0).", int(service.store.is_healthy)),
        ):
            yield GaugeMetricFamily(f"nodeprefetch_aggregator_{name}", text, value=value)


def _missing(overview: Overview) -> Metric:
    missing = GaugeMetricFamily(
        "nodeprefetch_image_missing_nodes",
        "Nodes whose list has the image and that do not have it; only images that some node lacks.",
        labels=["instance", "image"],
    )
    most = sorted(overview.missing.items(), key=lambda item: (item[0][1] == _OTHERS, -item[1], item[0]))
    others = Counter[str]()
    for index, ((instance, image), nodes) in enumerate(most):
        if index < _IMAGES_NAMED and image != _OTHERS:
            missing.add_metric([instance, image], nodes)
        else:
            others[instance] += nodes
    for instance, nodes in sorted(others.items()):
        missing.add_metric([instance, _OTHERS], nodes)
    return missing


def _cumulated(counts: list[int]) -> list[tuple[str, float]]:
    buckets: list[tuple[str, float]] = []
    total = 0
    for bound, count in zip((*map(str, BUCKETS), "+Inf"), counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets
