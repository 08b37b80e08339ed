"""A real Prometheus scrapes a real aggregator as the ServiceMonitor says, and has data for alerts and dashboard."""

from collections.abc import Iterator

import msgspec
import pytest

from deploy_gen.aggregator import service_monitor
from deploy_gen.alerts import alerts, prometheus_rule
from deploy_gen.arguments import parse_arguments
from deploy_gen.dashboard import dashboard_json
from deploy_gen.parse import read_options
from nodeprefetch.events import GateOpened, ListRejected, Outcome, RegistryThrottled
from tests.support.aggregator import on_any_port, running_aggregator
from tests.support.batches import attempt, batch_of, begun, ended
from tests.support.patience import eventually
from tests.support.prometheus import Prometheus, running_prometheus
from tests.support.ticket_requests import pulling

OPTIONS = read_options(
    parse_arguments(["web", "--namespace=prefetch", "--collect-metrics", "--keep", "--node-condition"])
)
BATCH = batch_of(
    ListRejected(problems=("no",), since=1),
    begun("a:1", "b:1"),
    attempt("a:1"),
    attempt("b:1", error="no"),
    RegistryThrottled(registry="quay.io", seconds=3, total=3),
    ended("a:1"),
    ended("b:1", Outcome.FAILED),
    GateOpened(after=900, gave_up=True, missing=("b:1",), missing_count=1),
    instance="web",
)
VARIABLES = {"$__rate_interval": "1m", "$namespace": "prefetch", "$job": "web-metrics", "$instance": ".*"}


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Has scraped more than once, and evaluated all rules."""
    with running_aggregator(on_any_port(pulling_nodes=5)) as aggregator:
        headers = {"content-type": "application/msgpack"}
        assert 200 == aggregator.ask("POST", "/v1/events", msgspec.msgpack.encode(BATCH), headers).status
        assert 400 == aggregator.ask("POST", "/v1/events", b"no batch", headers).status
        ticket = msgspec.json.encode(pulling("node-1"))
        assert 200 == aggregator.ask("POST", "/v1/tickets", ticket, {"content-type": "application/json"}).status
        with running_prometheus(
            tmp_path_factory.mktemp("prometheus"),
            target=aggregator.http_port,
            monitor=service_monitor(OPTIONS),
            rules=prometheus_rule(OPTIONS),
        ) as running:
            assert eventually(lambda: running.query('count_over_time(up{job="web-metrics"}[5m]) > 2'))
            assert eventually(lambda: all(rule["health"] != "unknown" for rule in _rules(running)))
            yield running


def _rules(prometheus: Prometheus) -> list[dict[str, str]]:
    (group,) = prometheus.ask("rules")["groups"]
    rules: list[dict[str, str]] = group["rules"]
    return rules


def test_every_rule_is_evaluated_without_an_error(prometheus: Prometheus) -> None:
    found = {rule["name"]: rule["health"] for rule in _rules(prometheus)}

    assert {alert.name: "ok" for alert in alerts(OPTIONS)} == found


def test_the_label_instance_is_the_name_of_the_installation(prometheus: Prometheus) -> None:
    found = prometheus.query('nodeprefetch_nodes{state="failed"}')

    assert [("web", "prefetch", "web-metrics", 1)] == [
        (labels["instance"], labels["namespace"], labels["job"], value) for labels, value in found
    ]


def test_what_is_wrong_now_will_fire_if_it_lasts(prometheus: Prometheus) -> None:
    """Its node has been without images for seconds only, so that alone does not wait to fire."""
    assert eventually(lambda: prometheus.query('ALERTS{alertname="NodeprefetchListRejected"}'))

    waiting = prometheus.query('ALERTS{alertstate="pending"}')

    assert ["NodeprefetchListRejected"] == [labels["alertname"] for labels, _ in waiting]


def test_every_panel_has_data(prometheus: Prometheus) -> None:
    empty = []
    for panel in dashboard_json(OPTIONS)["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for variable, value in VARIABLES.items():
                expression = expression.replace(variable, value)
            if not prometheus.query(expression):
                empty.append((panel["title"], target["legendFormat"]))

    assert [] == empty
