"""The dashboard is about what the aggregator exposes, Prometheus can parse it, and its structure is Grafana's."""

import json
import re
from itertools import combinations

import pytest

from deploy_gen.arguments import parse_arguments
from deploy_gen.dashboard import COLUMNS, dashboard, dashboard_json
from deploy_gen.parse import read_options
from tests.support.exposed import exposed
from tests.support.promql import grouped, selected
from tests.support.promtool import promtool

VARIABLES = {"$__rate_interval": "5m", "$namespace": "prefetch", "$job": "web-metrics", "$instance": ".*"}
OTHERS = {"up", "kube_daemonset_status_desired_number_scheduled"}
TARGET = {"namespace", "job"}


def options(name="web", namespace="prefetch"):
    flags = [name, f"--namespace={namespace}", "--collect-metrics", "--grafana-dashboard"]
    return read_options(parse_arguments(flags))


@pytest.fixture(scope="module")
def made():
    return dashboard_json(options())


@pytest.fixture(scope="module")
def panels(made):
    return [panel for panel in made["panels"] if panel["type"] != "row"]


@pytest.fixture(scope="module")
def expressions(panels):
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_expressions_are_about_what_the_aggregator_exposes(expressions, made):
    variables = [variable["definition"] for variable in made["templating"]["list"] if variable["type"] == "query"]
    for expression in [*expressions, *variables]:
        found = {name: labels for name, labels in selected(expression).items() if name not in OTHERS}
        assert all(labels - TARGET <= exposed()[name] for name, labels in found.items())
        assert grouped(expression) <= TARGET.union(*(exposed()[name] for name in found))


def test_every_metric_is_selected_by_its_installation(expressions):
    """Those that have a label `instance` also by that; others have the pod's there."""
    for expression in expressions:
        assert re.findall(r"\bnodeprefetch_\w+", expression) == re.findall(r"\b(nodeprefetch_\w+)\{", expression)
        for name, labels in selected(expression).items():
            assert TARGET <= labels
            assert ("instance" in labels) == (name not in OTHERS and "instance" in exposed()[name])


def test_legends_show_labels_that_there_are(panels):
    for panel in panels:
        for target in panel["targets"]:
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= grouped(target["expr"])


def test_prometheus_can_parse_every_expression(expressions, tmp_path):
    for variable, value in VARIABLES.items():
        expressions = [expression.replace(variable, value) for expression in expressions]
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(expressions)]
    (tmp_path / "rules.json").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))

    done = promtool("check", "rules", tmp_path / "rules.json")

    assert (0, b"") == (done.returncode, done.stderr)
    assert not [expression for expression in expressions if "$" in expression]


def test_variables_in_use_are_defined(made):
    defined = {f"${variable['name']}" for variable in made["templating"]["list"]} | {"$__rate_interval", "$__all"}
    used = re.findall(r"\$\{?(\w+)", json.dumps(made))

    assert {"datasource", "namespace", "job", "instance"} <= set(used)
    assert {f"${name}" for name in used} <= defined


def test_no_data_source_is_fixed(made):
    text = json.dumps(made)

    assert text.count('"datasource": {') == text.count('"uid": "${datasource}"')


def test_panels_have_ids_known_types_and_queries(made, panels):
    ids = [panel["id"] for panel in made["panels"]]

    assert list(range(1, len(ids) + 1)) == ids
    assert {"row", "stat", "timeseries", "table"} == {panel["type"] for panel in made["panels"]}
    for panel in panels:
        letters = [target["refId"] for target in panel["targets"]]
        assert letters
        assert sorted(set(letters)) == letters


def test_panels_do_not_overlap_and_leave_no_gap(made):
    cells = [
        {(x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])}
        for grid in (panel["gridPos"] for panel in made["panels"])
    ]
    together = set().union(*cells)

    assert all(not one & other for one, other in combinations(cells, 2))
    assert {(x, y) for x in range(COLUMNS) for y in range(max(y for _, y in together) + 1)} == together


def test_each_installation_has_a_dashboard_of_its_own():
    """Grafana rejects a second one with the same identity or file, and titles are for people."""
    found = [dashboard_json(options(name)) for name in ("a", "b", "a-b")]
    files = [set(dashboard(options(name))["data"]) for name in ("a", "b", "a-b")]

    for key in ("uid", "title"):
        assert 3 == len({each[key] for each in found})
    assert all(len(each["uid"]) <= 40 for each in found)
    assert 3 == len(set.union(*files))


def test_only_the_namespace_that_it_shows_first_depends_on_the_namespace():
    here, there = (dashboard_json(options(namespace=namespace)) for namespace in ("prefetch", "team-a"))

    assert here != there
    assert json.dumps(here) == json.dumps(there).replace('"team-a"', '"prefetch"')


def test_the_config_map_has_the_sidecars_label_and_the_same_json_each_time():
    found, again = dashboard(options()), dashboard(options())

    assert "1" == found["metadata"]["labels"]["grafana_dashboard"]
    assert found == again
    (text,) = found["data"].values()
    assert dashboard_json(options()) == json.loads(text)
