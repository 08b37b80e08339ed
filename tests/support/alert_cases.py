"""What happens to an installation over four hours, as Prometheus sees it, and which alerts must fire.

Times are minutes. Each case says what differs from an installation of 100 nodes where all is well, whose nodes report
every 20 minutes.
"""

from typing import Any, NamedTuple

from nodeprefetch.aggregator.store.cold import HEARD_WITHIN

OWN = 'namespace="prefetch", job="web-metrics"'
WEB = f'{OWN}, instance="web"'
POD = f'{OWN}, instance="10.0.0.1:8080"'
DESIRED = 'kube_daemonset_status_desired_number_scheduled{namespace="prefetch", daemonset="web", job="ksm"}'
LAST = 240
Values = list[Any]
"""One for each minute; None: no sample."""


def nodes(state: str) -> str:
    return f'nodeprefetch_nodes{{{WEB}, state="{state}"}}'


def web(metric: str) -> str:
    return f"nodeprefetch_{metric}{{{WEB}}}"


def image(metric: str) -> str:
    return f'nodeprefetch_{metric}{{{WEB if "missing" in metric else POD}, image="a:1"}}'


def always(value: int) -> Values:
    return [value] * (LAST + 1)


def growing(by: float, *, until: int = LAST, first: float = 0) -> Values:
    """So much more each minute, until then."""
    return [first + by * min(minute, until) for minute in range(LAST + 1)]


def repeated(*values: float | None) -> Values:
    return [values[minute % len(values)] for minute in range(LAST + 1)]


def then(*parts: tuple[int, float | None]) -> Values:
    """Minutes and what is there during them; the last value stays."""
    values = [value for minutes, value in parts for _ in range(minutes)]
    return values + [values[-1]] * (LAST + 1 - len(values))


MINUTES = 60
UP, HEALTHY = f"up{{{POD}}}", f"nodeprefetch_aggregator_healthy{{{POD}}}"
COLD, HEARD = web("longest_cold_seconds"), web("last_run_timestamp_seconds")
SKEW = f"nodeprefetch_digest_skew_images{{{POD}}}"
MISSING, PULLED = image("image_missing_nodes"), image("pull_duration_seconds_count")
THROTTLED = f'nodeprefetch_registry_throttled_seconds_total{{{POD}, registry="quay.io"}}'
GAUGES = ("longest_cold_seconds", "nodes_gave_up", "nodes_gone", "nodes_list_rejected")
WELL: dict[str, Values] = {
    UP: always(1),
    HEALTHY: always(1),
    nodes("succeeded"): always(100),
    **{nodes(state): always(0) for state in ("present", "pulling", "waiting", "failed")},
    **{web(metric): always(0) for metric in GAUGES},
    SKEW: always(0),
    HEARD: growing(60),
    DESIRED: always(100),
}


NOTHING: dict[str, Values] = {series: [None] for series in WELL}


class Case(NamedTuple):
    fire: set[str]
    series: dict[str, Values]
    within: int = LAST
    """Minutes after which the alerts fire at the latest."""


STUCK = growing(60)
CASES = {
    "all is well": Case(set(), {}),
    "another installation is in trouble": Case(
        set(),
        {
            series.replace("web", "other"): values
            for series, values in {
                COLD: STUCK,
                UP: always(0),
                HEALTHY: always(0),
                SKEW: always(3),
                web("nodes_list_rejected"): always(9),
            }.items()
        },
    ),
    "nodes come and go at any time": Case(
        set(), {nodes("pulling"): repeated(5, 3, 8, 4), COLD: repeated(60, 120, 240, 480)}
    ),
    "a node goes away after nineteen minutes of pulling": Case(
        set(), {COLD: [60 * minute if minute <= 19 + HEARD_WITHIN / MINUTES else 0 for minute in range(LAST + 1)]}
    ),
    "a large image takes nineteen minutes on all nodes": Case(
        set(),
        {
            COLD: then(*((1, 60 * minute) for minute in range(20)), (1, 0)),
            nodes("pulling"): then((20, 100), (1, 0)),
            nodes("succeeded"): then((20, 0), (1, 100)),
            MISSING: then((20, 100), (1, None)),
            PULLED: then((20, None), (1, 100)),
        },
    ),
    "nodes pull one after the other, each nineteen minutes": Case(
        set(),
        {
            COLD: repeated(*(60 * minute for minute in range(19))),
            nodes("waiting"): [99 - minute // 19 for minute in range(LAST + 1)],
            nodes("succeeded"): [minute // 19 for minute in range(LAST + 1)],
            MISSING: [100 - minute // 19 for minute in range(LAST + 1)],
            PULLED: [minute // 19 or None for minute in range(LAST + 1)],
        },
    ),
    "tags move, and nodes notice within their interval": Case(set(), {SKEW: repeated(*[1] * 30, *[0] * 30)}),
    "the aggregator moves to another node, without its data": Case(
        set(),
        {
            UP: then((60, 1), (1, 0), (1, None)),
            HEALTHY: then((60, 1), (1, None)),
            UP.replace("10.0.0.1", "10.0.0.2"): then((70, None), (1, 1)),
            HEALTHY.replace("10.0.0.1", "10.0.0.2"): then((70, None), (1, 1)),
            HEARD: [None if 60 <= minute < 100 else 60 * minute for minute in range(LAST + 1)],
            nodes("succeeded"): [None if 60 <= minute < 100 else 100 for minute in range(LAST + 1)],
        },
    ),
    "half of the nodes are removed": Case(
        set(),
        {
            nodes("succeeded"): then((120, 100), (1, 50)),
            web("nodes_gone"): then((120, 0), (1, 50)),
            DESIRED: then((60, 100), (1, 50)),
        },
    ),
    "all nodes are removed": Case(
        set(),
        {
            nodes("succeeded"): then((120, 100), (1, 0)),
            web("nodes_gone"): then((120, 0), (1, 100)),
            HEARD: growing(60, until=60),
            DESIRED: then((60, 100), (1, 0)),
        },
    ),
    "a node that gave up is removed, others come": Case(
        set(),
        {
            web("nodes_gave_up"): always(1),
            COLD: [60 * minute if minute <= 36 else 60 * (minute % 6) for minute in range(LAST + 1)],
        },
    ),
    "a list is rejected and mended": Case(set(), {web("nodes_list_rejected"): then((60, 0), (8, 100), (1, 0))}),
    "a registry throttles for a quarter of an hour": Case(
        set(), {THROTTLED: [50 * 60 * min(minute, 15) for minute in range(LAST + 1)]}
    ),
    "a registry throttles two nodes of a hundred": Case(set(), {THROTTLED: growing(120)}),
    "one node is stuck while others come and go": Case(
        {"NodeprefetchNodesCold"}, {COLD: STUCK, nodes("pulling"): repeated(5, 3, 8, 4)}, within=45
    ),
    "the list has an image that does not exist": Case(
        {"NodeprefetchNodesCold", "NodeprefetchImageMissing"},
        {COLD: STUCK, MISSING: always(100), nodes("failed"): always(100), nodes("succeeded"): always(0)},
        within=45,
    ),
    "all three nodes of a small cluster lack an image": Case(
        {"NodeprefetchNodesCold", "NodeprefetchImageMissing"},
        {
            COLD: STUCK,
            MISSING: always(3),
            nodes("failed"): always(3),
            nodes("succeeded"): always(0),
        },
        within=45,
    ),
    "an image fails on a third of the nodes": Case(
        {"NodeprefetchNodesCold", "NodeprefetchImageMissing"},
        {
            COLD: STUCK,
            MISSING: then((5, 100), (1, 33)),
            PULLED: then((5, None), (1, 67)),
            nodes("failed"): always(33),
            nodes("succeeded"): always(67),
        },
        within=60,
    ),
    "builds stay different": Case({"NodeprefetchDigestSkew"}, {SKEW: always(2)}, within=85),
    "nodes stay open without their images": Case(
        {"NodeprefetchGaveUp", "NodeprefetchNodesCold"}, {web("nodes_gave_up"): always(3), COLD: STUCK}, within=55
    ),
    "nodes reject the list": Case({"NodeprefetchListRejected"}, {web("nodes_list_rejected"): always(100)}, within=15),
    "ten nodes have a pod and say nothing": Case(
        {"NodeprefetchNodesSilent"}, {nodes("succeeded"): always(90), web("nodes_gone"): always(10)}, within=65
    ),
    "no node reports any more": Case(
        {"NodeprefetchNoNews", "NodeprefetchNodesSilent"},
        {
            HEARD: growing(60, until=10),
            nodes("succeeded"): then((60, 100), (1, 0)),
            web("nodes_gone"): then((60, 0), (1, 100)),
        },
        within=130,
    ),
    "no node has ever reported": Case(
        {"NodeprefetchNoNews"}, {HEARD: [None] * LAST, nodes("succeeded"): [None] * LAST}, within=80
    ),
    "a registry throttles half of the nodes for hours": Case(
        {"NodeprefetchRegistryThrottling"}, {THROTTLED: growing(50 * 60)}, within=60
    ),
    "the aggregator does not answer": Case(
        {"NodeprefetchAggregatorDown"}, {**NOTHING, UP: always(0), DESIRED: always(100)}, within=16
    ),
    "there is no aggregator": Case({"NodeprefetchAggregatorDown"}, NOTHING, within=16),
    "the database cannot be written": Case({"NodeprefetchAggregatorNotStoring"}, {HEALTHY: always(0)}, within=11),
}
