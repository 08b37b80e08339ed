"""Builds the alerts: a PrometheusRule, whose rules select the series of this installation only.

Each must stay silent in ordinary life, or people switch all of them off. In ordinary life nodes come and go at any
time, also in mid-pull; new lists reach many nodes, one after the other if there are tickets; large images take as long
as `--overall-timeout` allows; tags move; registries throttle for some minutes; the aggregator moves to another node.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from deploy_gen import checks
from deploy_gen.objects import AGGREGATOR, Object, metrics_name, new_object
from deploy_gen.options import Options

RUNBOOKS = "https://github.com/nodeprefetch/nodeprefetch/blob/main/docs/troubleshooting.md"
"""Has a heading for each alert."""

_MINUTE, _HOUR = 60, 3600

_HEARD_WITHIN = 20 * _MINUTE
"""Time for which nodes that no longer exist count in `nodeprefetch_longest_cold_seconds`."""

_KEEP_INTERVAL = _HOUR
"""Default of `--refresh-every` and `--report-every`."""

_BY = "by (namespace, job)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """An alert. Its texts are templates of Prometheus."""

    name: str
    expression: str
    lasts: int
    """Seconds for which the expression must hold."""

    severity: str
    """`warning`: somebody should look. `info`: worth knowing if something else is wrong."""

    summary: str
    description: str


def prometheus_rule(options: Options) -> Object:
    """Build the PrometheusRule."""
    group = {
        "name": f"nodeprefetch.{options.namespace}.{options.name}",
        "rules": [_rule(alert) for alert in alerts(options)],
    }
    rule = new_object("monitoring.coreos.com/v1", "PrometheusRule", metrics_name(options), options, AGGREGATOR)
    return {**rule, "spec": {"groups": [group]}}


def alerts(options: Options) -> list[Alert]:
    """List the alerts that fit the flags."""
    found = [_nodes_cold(options), _image_missing(options), _digest_skew(options)]
    if options.has_gate:
        found.append(_gave_up(options))
    if options.keep:
        found += [_list_rejected(options), _nodes_silent(options), _no_news(options)]
    return [*found, _throttling(options), *_aggregator(options)]


def selected(options: Options, metric: str, *conditions: str) -> str:
    """Select series of this installation. Its aggregator has no others, so the label `instance` is not needed."""
    own = (f'namespace="{options.namespace}"', f'job="{metrics_name(options)}"')
    return f"{metric}{{{', '.join((*own, *conditions))}}}"


def _rule(alert: Alert) -> Object:
    return {
        "alert": alert.name,
        "expr": f"{alert.expression}\n",  # a text that ends its line needs no escaping in YAML
        "for": _duration(alert.lasts),
        "labels": {"severity": alert.severity},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": f"{RUNBOOKS}#{alert.name.lower()}",
        },
    }


def _nodes_cold(options: Options) -> Alert:
    """Fire for a single node. Its own time counts, so others may come, go and wait for tickets meanwhile.

    A run may take its whole time limit. Only a node that exists is without images for another 20 minutes.
    """
    limit = _longest_run(options)
    lacking = selected(options, "nodeprefetch_nodes", 'state!~"succeeded|present"')
    return Alert(
        name="NodeprefetchNodesCold",
        expression=f"max {_BY} ({selected(options, 'nodeprefetch_longest_cold_seconds')}) > {limit}",
        lasts=_HEARD_WITHIN,
        severity="warning",
        summary=f"{options.name}: a node has lacked images for {{{{ $value | humanizeDuration }}}}.",
        description=f"{_asked(f'sum({lacking})')} nodes lack images of {_full(options)} at this moment. Those that have"
        f" just begun are among them. {_hint('status', options)}",
    )


def _image_missing(options: Options) -> Alert:
    """Fire if nobody has got an image for the time of a whole run, although many lack it.

    While a new list spreads, or nodes are added, some node gets each image within that time, however many wait.
    """
    window = _longest_run(options)
    by = "by (namespace, job, image)"
    lacking = selected(options, "nodeprefetch_image_missing_nodes", 'image!="(others)"')
    missing = f"max {by} ({lacking})"
    nodes = f"sum {_BY} ({selected(options, 'nodeprefetch_nodes')})"
    pulls = selected(options, "nodeprefetch_pull_duration_seconds_count")
    increased = f"sum {by} (increase({pulls}[{_duration(window)}])) > 0"
    # A series begins with 1, which does not count as an increase.
    begun = f"sum {by} ({pulls}) unless sum {by} ({pulls} offset {_duration(window)})"
    return Alert(
        name="NodeprefetchImageMissing",
        expression=f"({missing}\n  >= 3 > on (namespace, job) group_left () 0.1 * {nodes})\n"
        f"unless on (namespace, job, image) (\n  {increased}\n  or {begun}\n)",
        lasts=window + 5 * _MINUTE,
        severity="warning",
        summary=f"{options.name}: {{{{ $labels.image }}}} is missing on {{{{ $value }}}} nodes.",
        description=f"{{{{ $value }}}} of {_asked(nodes)} nodes of {_full(options)} lack this image,"
        f" and none has got it for more than {_duration(window)}. {_hint('status', options, '--images')}",
    )


def _digest_skew(options: Options) -> Alert:
    """Fire if nodes keep different builds. With `--keep` they notice a moved tag at different times of its interval."""
    refresh = 0
    if options.keep and options.refresh_every != "never":
        refresh = _seconds(options.refresh_every)
    return Alert(
        name="NodeprefetchDigestSkew",
        expression=f"max {_BY} ({selected(options, 'nodeprefetch_digest_skew_images')}) > 0",
        lasts=refresh + _HOUR,
        severity="info",
        summary=f"{options.name}: nodes have different builds of {{{{ $value }}}} tags.",
        description=f"The same tag of {_full(options)} is not the same image everywhere."
        f" {_hint('status', options, '--images')}",
    )


def _gave_up(options: Options) -> Alert:
    """Fire if nodes stay open without their images. One that is removed soon after it gave up is not cold for long."""
    cold = selected(options, "nodeprefetch_longest_cold_seconds")
    return Alert(
        name="NodeprefetchGaveUp",
        expression=f"sum {_BY} ({selected(options, 'nodeprefetch_nodes_gave_up')}) > 0\n"
        f"and on (namespace, job) max {_BY} ({cold}) > {_longest_run(options)}",
        lasts=_HEARD_WITHIN + 10 * _MINUTE,
        severity="warning",
        summary=f"{options.name}: {{{{ $value }}}} nodes take pods although images are missing.",
        description=f"The gate timeout of {_full(options)} was over before its images were there."
        f" {_hint('status', options, '--nodes')}",
    )


def _list_rejected(options: Options) -> Alert:
    """Fire after an edit that is invalid. Nothing else leads to it."""
    return Alert(
        name="NodeprefetchListRejected",
        expression=f"sum {_BY} ({selected(options, 'nodeprefetch_nodes_list_rejected')}) > 0",
        lasts=10 * _MINUTE,
        severity="warning",
        summary=f"{options.name}: {{{{ $value }}}} nodes reject the image list.",
        description=f"Nodes of {_full(options)} keep the images of their last valid list. {_hint('status', options)}",
    )


def _nodes_silent(options: Options) -> Alert:
    """Fire if nodes that still have a pod are gone for the aggregator. Removed nodes have none.

    Who has a pod is known by kube-state-metrics; without it, this is silent.
    """
    known = f"sum by (namespace) ({selected(options, 'nodeprefetch_nodes')})"
    gone = f"sum by (namespace) ({selected(options, 'nodeprefetch_nodes_gone')})"
    return Alert(
        name="NodeprefetchNodesSilent",
        expression=f"{_scheduled(options)}\n  - on (namespace) {known} > 0\nand on (namespace) {gone} > 0",
        lasts=_HOUR,
        severity="warning",
        summary=f"{options.name}: {{{{ $value }}}} nodes do not report.",
        description=f"They have a pod, but the aggregator of {_full(options)} does not hear of them."
        f" {_hint('status', options, '--nodes')}",
    )


def _no_news(options: Options) -> Alert:
    """Fire if no node reports, or none has ever reported to an aggregator that runs. Not where there are no nodes.

    Pods without `keep` report once, and are then silent for good reason.
    """
    interval = _duration(3 * _seconds(options.report_every))
    last = f"max {_BY} ({selected(options, 'nodeprefetch_last_run_timestamp_seconds')})"
    up = selected(options, "up")
    old = f"time() - {last} > {3 * _seconds(options.report_every)}"
    never = f"(min {_BY} ({up} == 1 and {up} offset {interval} == 1) unless on (namespace, job) {last})"
    return Alert(
        name="NodeprefetchNoNews",
        expression=f"(\n  {old}\n  or {never}\n)\nunless on (namespace) ({_scheduled(options)} == 0)",
        lasts=15 * _MINUTE,
        severity="warning",
        summary=f"{options.name}: no node has reported for {interval}.",
        description=f"Nodes of {_full(options)} report every {_duration(_seconds(options.report_every))},"
        f" also if nothing has changed. {_hint('status', options)}",
    )


def _throttling(options: Options) -> Alert:
    """Fire if the registry slows down the fleet for an hour. Pulls wait and go on, so this is only informational."""
    waits = selected(options, "nodeprefetch_registry_throttled_seconds_total")
    nodes = f"sum {_BY} ({selected(options, 'nodeprefetch_nodes')})"
    return Alert(
        name="NodeprefetchRegistryThrottling",
        expression=f"sum by (namespace, job, registry) (rate({waits}[10m]))\n"
        f"  >= 1 > on (namespace, job) group_left () 0.05 * {nodes}",
        lasts=50 * _MINUTE,
        severity="info",
        summary=f"{options.name}: {{{{ $labels.registry }}}} throttles pulls.",
        description=f"On average, {{{{ $value | humanize }}}} nodes of {_full(options)} wait for it at any time.",
    )


def _aggregator(options: Options) -> Iterator[Alert]:
    """Fire if it is away for longer than a move to another node takes, with its volume."""
    yield Alert(
        name="NodeprefetchAggregatorDown",
        expression=f"absent({selected(options, 'up')} == 1)",
        lasts=15 * _MINUTE,
        severity="warning",
        summary=f"{options.name}: the aggregator does not answer.",
        description=f"The aggregator of {_full(options)} does not answer Prometheus. Pulls do not depend on it,"
        " unless they need tickets.",
    )
    yield Alert(
        name="NodeprefetchAggregatorNotStoring",
        expression=f"min {_BY} ({selected(options, 'nodeprefetch_aggregator_healthy')}) == 0",
        lasts=10 * _MINUTE,
        severity="warning",
        summary=f"{options.name}: the aggregator cannot use its database.",
        description=f"{metrics_name(options)} in {options.namespace} refuses results, and nodes hold them back.",
    )


def _scheduled(options: Options) -> str:
    labels = f'namespace="{options.namespace}", daemonset="{options.name}"'
    return f"max by (namespace) (kube_daemonset_status_desired_number_scheduled{{{labels}}})"


def _longest_run(options: Options) -> int:
    return max(options.overall_timeout, 20 * _MINUTE)


def _seconds(interval: str) -> int:
    return checks.duration(interval) if interval else _KEEP_INTERVAL


def _duration(seconds: int) -> str:
    """Write it as Prometheus does, in its largest whole unit."""
    for unit, length in (("h", _HOUR), ("m", _MINUTE)):
        if seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def _asked(query: str) -> str:
    """Ask for a number when the alert fires."""
    return f"{{{{ with query `{query}` }}}}{{{{ . | first | value }}}}{{{{ end }}}}"


def _full(options: Options) -> str:
    return f"{options.name} in {options.namespace}"


def _hint(command: str, options: Options, *flags: str) -> str:
    return f"See: {' '.join(('kubectl nodeprefetch', command, options.name, '-n', options.namespace, *flags))}"
