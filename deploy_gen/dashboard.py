"""Builds the dashboard: a ConfigMap that Grafana's sidecar finds by its label."""

import hashlib
import json
from string import ascii_uppercase

from deploy_gen.dashboard_panels import SECTIONS, STACKED, STAT, TABLE, Panel
from deploy_gen.objects import AGGREGATOR, Object, dashboard_name, metrics_name, new_object
from deploy_gen.options import Options

COLUMNS = 24
_SCHEMA_VERSION = 39  # Grafana 10.3; newer ones convert it
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_KNOWN = 'nodeprefetch_build_info{namespace="$namespace"}'
_WEB = 'nodeprefetch_nodes{namespace="$namespace", job="$job"}'
_ALL = {"includeAll": True, "allValue": ".*", "multi": True, "current": {"text": ["All"], "value": ["$__all"]}}
"""Fields of a variable that stands for all its values at first."""


def dashboard(options: Options) -> Object:
    """Build the ConfigMap. Grafana keeps all dashboards in one folder, so the name of its file is unique.

    NAME is unique in a cluster. A namespace in the key would be wrong once an overlay changes it.
    """
    found = new_object("v1", "ConfigMap", dashboard_name(options), options, AGGREGATOR)
    found["metadata"]["labels"]["grafana_dashboard"] = "1"
    name = f"nodeprefetch.{options.name}.json"
    return {**found, "data": {name: json.dumps(dashboard_json(options), indent=1) + "\n"}}


def dashboard_json(options: Options) -> Object:
    """Build what Grafana reads. It shows this installation first, and others by its variables."""
    digest = hashlib.sha256(options.name.encode()).hexdigest()
    return {
        "uid": f"nodeprefetch-{digest[:16]}",
        "title": f"nodeprefetch: {options.name}",
        "tags": ["nodeprefetch"],
        "schemaVersion": _SCHEMA_VERSION,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
                _variable("namespace", "Namespace", "nodeprefetch_build_info", options.namespace),
                _variable("job", "Aggregator", _KNOWN, metrics_name(options)),
                {**_variable("instance", "Installation", _WEB, ""), **_ALL},
            ]
        },
        "panels": _panels(),
    }


def _variable(name: str, label: str, metric: str, value: str) -> Object:
    query = f"label_values({metric}, {name})"
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _SOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,  # whenever the time range changes
        "sort": 1,
        "current": {"text": value, "value": value},
    }


def _panels() -> list[Object]:
    """Place the panels: from left to right, and below when the row is full."""
    placed: list[Object] = []
    top = 0
    for title, panels in SECTIONS.items():
        grid = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        placed.append({"id": len(placed) + 1, "type": "row", "title": title, "gridPos": grid, "panels": []})
        top, left, bottom = top + 1, 0, top + 1
        for panel in panels:
            if left + panel.width > COLUMNS:
                top, left = bottom, 0
            grid = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            placed.append({"id": len(placed) + 1, "gridPos": grid, **_panel(panel)})
            left, bottom = left + panel.width, max(bottom, top + panel.height)
        top = bottom
    return placed


def _panel(panel: Panel) -> Object:
    is_now = panel.kind in {STAT, TABLE}
    targets = [
        {
            "refId": letter,
            "datasource": _SOURCE,
            "expr": expression,
            "legendFormat": legend,
            **({"instant": True, "range": False} if is_now else {"range": True}),
            **({"format": "table"} if panel.kind == TABLE else {}),
        }
        for letter, (expression, legend) in zip(ascii_uppercase, panel.queries, strict=False)
    ]
    return {
        "title": panel.title,
        **({"description": panel.about} if panel.about else {}),
        "datasource": _SOURCE,
        "targets": targets,
        **_look(panel),
    }


def _look(panel: Panel) -> Object:
    """Choose the type of a panel, and how it shows its numbers."""
    defaults: Object = {"unit": panel.unit, "min": 0}
    if panel.kind == STAT:
        reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        options: Object = {"reduceOptions": reduced, "colorMode": "none", "textMode": "auto"}
        return {"type": "stat", "fieldConfig": {"defaults": defaults, "overrides": []}, "options": options}
    if panel.kind == TABLE:
        column = panel.queries[0][1]
        organized = {"excludeByName": {"Time": True}, "renameByName": {"Value": column}}
        return {
            "type": "table",
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": {"sortBy": [{"displayName": column, "desc": True}]},
            "transformations": [{"id": "organize", "options": organized}],
        }
    stacked = {"fillOpacity": 40, "stacking": {"mode": "normal"}} if panel.kind == STACKED else {}
    return {
        "type": "timeseries",
        "fieldConfig": {"defaults": {**defaults, "custom": stacked}, "overrides": []},
        "options": {"tooltip": {"mode": "multi"}, "legend": {"displayMode": "list", "placement": "bottom"}},
    }
