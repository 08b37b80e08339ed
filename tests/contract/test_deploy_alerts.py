"""Prometheus' own tool reads the alerts, and lets time pass: which fire, and that all are silent in ordinary life."""

import json

import pytest

from deploy_gen.alerts import RUNBOOKS, alerts, prometheus_rule
from deploy_gen.arguments import parse_arguments
from deploy_gen.options import Options
from deploy_gen.parse import read_options
from nodeprefetch.aggregator.store.cold import HEARD_WITHIN
from tests.support.alert_cases import CASES, DESIRED, LAST, WELL
from tests.support.exposed import exposed
from tests.support.promql import grouped, selected
from tests.support.promtool import promtool
from tests.unit.docs_pages import ROOT, anchors

FLAGS = (
    "--collect-metrics",
    "--service-monitor",
    "--keep",
    "--node-condition",
    "--report-every=20m",
    "--refresh-every=20m",
)


def options(*flags: str) -> Options:
    return read_options(parse_arguments(["web", "--namespace=prefetch", *flags]))


@pytest.fixture
def checked(tmp_path):
    """Lets the tool work through tests of the rules."""
    (tmp_path / "rules.json").write_text(json.dumps(prometheus_rule(options(*FLAGS))["spec"]))

    def run(series, **tests) -> tuple[int, str]:
        inputs = [{"series": name, "values": " ".join(map(_text, values))} for name, values in series.items()]
        test = {"interval": "1m", "input_series": inputs, **tests}
        file = {"rule_files": ["rules.json"], "evaluation_interval": "1m", "tests": [test]}
        (tmp_path / "test.json").write_text(json.dumps(file))
        done = promtool("test", "rules", tmp_path / "test.json")
        return done.returncode, (done.stdout + done.stderr).decode()

    return run


def _text(value: float | None) -> str:
    return "_" if value is None else f"{value:g}"


@pytest.mark.parametrize("name", CASES)
def test_what_fires_and_what_is_silent(checked, name):
    """At the given time the expected alerts fire, and at no time any other."""
    case = CASES[name]
    firing = 'ALERTS{alertstate="firing"}'
    expected = sorted(case.fire)
    times = [(case.within, f"count by (alertname) ({firing})")] if case.fire else []
    times.append((LAST, f"count by (alertname) (count_over_time({firing}[{LAST}m]) > 0) > bool 0"))

    code, said = checked(
        WELL | case.series,
        promql_expr_test=[
            {
                "expr": f"{expression} > bool 0",
                "eval_time": f"{minute}m",
                "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in expected],
            }
            for minute, expression in times
        ],
    )

    assert (0, "SUCCESS") == (code, said.split()[-1]), said


def test_every_alert_fires_in_some_case():
    assert {alert.name for alert in alerts(options(*FLAGS))} == {name for case in CASES.values() for name in case.fire}


@pytest.mark.parametrize(
    ("alert", "case", "labels", "texts"),
    [
        (
            "NodeprefetchNodesCold",
            "one node is stuck while others come and go",
            {},
            (
                "web: a node has lacked images for 45m 0s.",
                (
                    "3 nodes lack images of web in prefetch at this moment. Those that have just begun are among them."
                    " See: kubectl nodeprefetch status web -n prefetch"
                ),
            ),
        ),
        (
            "NodeprefetchImageMissing",
            "an image fails on a third of the nodes",
            {"image": "a:1"},
            (
                "web: a:1 is missing on 33 nodes.",
                (
                    "33 of 100 nodes of web in prefetch lack this image, and none has got it for more than 20m."
                    " See: kubectl nodeprefetch status web -n prefetch --images"
                ),
            ),
        ),
    ],
)
def test_texts_have_counts(checked, alert, case, labels, texts):
    annotations = {"summary": texts[0], "description": texts[1], "runbook_url": f"{RUNBOOKS}#{alert.lower()}"}
    own = {"namespace": "prefetch", "job": "web-metrics", "severity": "warning"}
    minute = 45 if alert == "NodeprefetchNodesCold" else 60

    code, said = checked(
        WELL | CASES[case].series,
        alert_rule_test=[
            {
                "eval_time": f"{minute}m",
                "alertname": alert,
                "exp_alerts": [{"exp_labels": own | labels, "exp_annotations": annotations}],
            }
        ],
    )

    assert (0, "SUCCESS") == (code, said.split()[-1]), said


@pytest.mark.parametrize(
    "flags",
    [
        FLAGS,
        ("--collect-metrics", "--service-monitor"),
        (*FLAGS[:4], "--report-every=90s", "--refresh-every=never", "--fetch-arg=--overall-timeout=1h1m1s"),
    ],
)
def test_promtool_accepts_the_rules(tmp_path, flags):
    (tmp_path / "rules.json").write_text(json.dumps(prometheus_rule(options(*flags))["spec"]))

    done = promtool("check", "rules", tmp_path / "rules.json")

    assert (0, b"") == (done.returncode, done.stderr)


def test_rules_are_about_what_the_aggregator_exposes():
    own = {"namespace", "job"}
    for alert in alerts(options(*FLAGS)):
        found = selected(alert.expression + alert.description)
        known = {name: exposed()[name] for name in found if name.startswith("nodeprefetch_")}
        assert {"up", DESIRED.partition("{")[0]} >= set(found) - set(known)
        assert all(labels - own <= known[name] for name, labels in found.items() if name in known)
        assert all(own <= labels for name, labels in found.items() if name in known)
        assert grouped(alert.expression) <= own.union(*known.values())
        assert selected(alert.expression)


def test_only_what_the_flags_bring_has_alerts():
    names = [alert.name.removeprefix("Nodeprefetch") for alert in alerts(options("--collect-metrics"))]

    assert [
        "NodesCold",
        "ImageMissing",
        "DigestSkew",
        "RegistryThrottling",
        "AggregatorDown",
        "AggregatorNotStoring",
    ] == names


@pytest.mark.parametrize(
    ("flags", "limit"),
    [((), 1200), (("--fetch-arg=--overall-timeout=5m",), 1200), (("--fetch-arg=--overall-timeout=2h",), 7200)],
)
def test_a_node_may_take_the_whole_time_limit_of_a_run(flags, limit):
    cold, missing, *_ = alerts(options("--collect-metrics", *flags))

    assert cold.expression.endswith(f"> {limit}")
    assert limit + 300 == missing.lasts


def test_removed_nodes_are_forgotten_before_an_alert_fires():
    cold, *_ = alerts(options("--collect-metrics"))

    assert HEARD_WITHIN == cold.lasts


def test_tags_may_differ_for_an_interval_of_refreshes():
    lasts = {
        flag: alerts(options("--collect-metrics", "--keep", *([flag] if flag else [])))[2].lasts
        for flag in ("", "--refresh-every=6h", "--refresh-every=never")
    }

    assert {"": 7200, "--refresh-every=6h": 25200, "--refresh-every=never": 3600} == lasts


def test_every_alert_has_its_runbook():
    found = anchors(ROOT / "docs" / "troubleshooting.md")
    rules = prometheus_rule(options(*FLAGS))["spec"]["groups"][0]["rules"]

    assert set() == {rule["annotations"]["runbook_url"].rpartition("#")[2] for rule in rules} - set(found)
