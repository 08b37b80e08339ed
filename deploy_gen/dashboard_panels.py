"""The panels of the dashboard, as a table. `dashboard.py` makes what Grafana reads of them."""

from dataclasses import dataclass

STAT, LINES, STACKED, TABLE = "stat", "lines", "stacked", "table"
"""Numbers now; over time; over time, one above the other; rows now."""

_AGGREGATOR = 'namespace="$namespace", job="$job"'
"""Metrics without the label `instance` have that of the scraped pod, so they are selected by these alone."""

_WEB = f'{_AGGREGATOR}, instance=~"$instance"'
_QUANTILES = (0.5, 0.9, 0.99)


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """A panel."""

    title: str
    kind: str
    queries: tuple[tuple[str, str], ...]
    """Expressions in PromQL and their legends."""

    unit: str = "short"
    """As Grafana calls it."""

    width: int = 12
    """Of 24 columns."""

    height: int = 8
    about: str = ""
    """What it means, where the title does not say it."""


def _nodes(states: str) -> str:
    return f'sum(nodeprefetch_nodes{{{_WEB}, state=~"{states}"}})'


def _sum(metric: str) -> str:
    return f"sum(nodeprefetch_{metric}{{{_WEB}}})"


def _rate(metric: str, *labels: str) -> str:
    by = f" by ({', '.join(labels)})" if labels else ""
    return f"sum{by} (rate(nodeprefetch_{metric}{{{_AGGREGATOR}}}[$__rate_interval]))"


def _quantile(share: float) -> str:
    rate = f"rate(nodeprefetch_pull_duration_seconds_bucket{{{_AGGREGATOR}}}[30m])"
    return f"histogram_quantile({share}, sum by (le) ({rate}))"


_STATES = (
    (_nodes("succeeded|present"), "warm"),
    (_nodes("pulling"), "pulling"),
    (_nodes("waiting"), "waiting"),
    (_nodes("failed"), "failed"),
)

SECTIONS: dict[str, tuple[Panel, ...]] = {
    "Nodes": (
        Panel(title="Nodes", kind=STAT, queries=_STATES, height=4, about="Warm nodes have all images of their list."),
        Panel(
            title="Longest without images",
            kind=STAT,
            queries=((f"max(nodeprefetch_longest_cold_seconds{{{_WEB}}})", ""),),
            unit="s",
            width=6,
            height=4,
            about="Time of the node that has lacked images for longest, since it began to pull.",
        ),
        Panel(
            title="Last report",
            kind=STAT,
            queries=((f"time() - max(nodeprefetch_last_run_timestamp_seconds{{{_WEB}}})", ""),),
            unit="s",
            width=6,
            height=4,
            about="Time since any node was heard of. Only nodes that run keep report without a reason.",
        ),
        Panel(title="Nodes by state", kind=STACKED, queries=_STATES),
        Panel(
            title="Missing images",
            kind=TABLE,
            queries=((f"topk(50, sum by (image) (nodeprefetch_image_missing_nodes{{{_WEB}}}))", "nodes"),),
            about="Nodes whose list has the image and that do not have it.",
        ),
        Panel(
            title="Nodes in trouble",
            kind=LINES,
            queries=(
                (_sum("nodes_gave_up"), "take pods without their images"),
                (_sum("nodes_gone"), "not heard of any more"),
                (_sum("nodes_list_rejected"), "reject the list"),
            ),
        ),
        Panel(
            title="Tags",
            kind=LINES,
            queries=(
                (f"max(nodeprefetch_digest_skew_images{{{_AGGREGATOR}}})", "differ between nodes"),
                (f"sum(increase(nodeprefetch_tags_moved_total{{{_AGGREGATOR}}}[$__rate_interval]))", "moves found"),
            ),
        ),
    ),
    "Pulls": (
        Panel(
            title="Attempts",
            kind=LINES,
            queries=((_rate("attempts_total", "outcome", "error_class"), "{{outcome}} {{error_class}}"),),
            unit="ops",
        ),
        Panel(
            title="Duration of pulls",
            kind=LINES,
            queries=tuple((_quantile(share), f"{share:.0%}") for share in _QUANTILES),
            unit="s",
            about="Of successful attempts in the last 30 minutes: this share took less.",
        ),
        Panel(title="Bytes pulled", kind=LINES, queries=((_rate("pulled_bytes_total"), "all nodes"),), unit="Bps"),
        Panel(
            title="Nodes that wait for a registry",
            kind=LINES,
            queries=((_rate("registry_throttled_seconds_total", "registry"), "{{registry}}"),),
            about="On average, because it asked for fewer requests.",
        ),
        Panel(
            title="Tickets",
            kind=LINES,
            queries=(
                (f"sum by (state) (nodeprefetch_ticket_nodes{{{_WEB}}})", "{{state}}"),
                (_sum("ticket_limit"), "limit"),
            ),
            about="Nodes that use tickets, and how many may pull at the same time.",
        ),
        Panel(
            title="Tickets given and lost",
            kind=LINES,
            queries=((_rate("tickets_given_total"), "given"), (_rate("tickets_lost_total"), "lost")),
            unit="ops",
        ),
    ),
    "Aggregator": (
        Panel(
            title="Aggregator",
            kind=STAT,
            queries=(
                (f"sum(up{{{_AGGREGATOR}}})", "answers"),
                (f"min(nodeprefetch_aggregator_healthy{{{_AGGREGATOR}}})", "stores"),
                (f"sum(nodeprefetch_aggregator_results{{{_AGGREGATOR}}})", "attempts stored"),
            ),
            width=24,
            height=4,
            about="1: yes, 0: no.",
        ),
        Panel(
            title="Events",
            kind=LINES,
            queries=(
                (_rate("aggregator_accepted_events_total", "protocol"), "{{protocol}}"),
                (_rate("aggregator_duplicate_events_total", "protocol"), "{{protocol}}, again"),
            ),
            unit="ops",
            width=8,
        ),
        Panel(
            title="Refused requests",
            kind=LINES,
            queries=((_rate("aggregator_refused_requests_total", "reason"), "{{reason}}"),),
            unit="ops",
            width=8,
        ),
        Panel(
            title="Connections",
            kind=LINES,
            queries=(
                (f"sum(nodeprefetch_aggregator_connections{{{_AGGREGATOR}}})", "open"),
                (f"sum(nodeprefetch_aggregator_live_readers{{{_AGGREGATOR}}})", "live readers"),
                (f"sum(nodeprefetch_aggregator_open_ticket_requests{{{_AGGREGATOR}}})", "wait for tickets"),
            ),
            width=8,
        ),
    ),
}
"""Panels by the title of their row. They flow from left to right; those beside each other have one height."""
