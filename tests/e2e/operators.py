"""Kinds of objects that operators bring, as far as the manifests use them."""

from typing import Any

_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_RULE = {
    "type": "object",
    "required": ["expr"],
    "properties": {
        "alert": {"type": "string"},
        "expr": {"type": "string"},
        "for": {"type": "string", "pattern": "^(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?$"},
        "labels": _TEXTS,
        "annotations": _TEXTS,
    },
}
_GROUP = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "rules": {"type": "array", "items": _RULE}},
}
_SELECTOR = {"type": "object", "properties": {"matchLabels": _TEXTS}}
_ENDPOINT = {
    "type": "object",
    "properties": {"port": {"type": "string"}, "path": {"type": "string"}, "honorLabels": {"type": "boolean"}},
}
OPERATORS_KINDS: dict[str, dict[str, Any]] = {
    "ServiceMonitor": {"selector": _SELECTOR, "endpoints": {"type": "array", "items": _ENDPOINT}},
    "PrometheusRule": {"groups": {"type": "array", "items": _GROUP}},
}
"""So much of the Prometheus operator that its objects are taken, if they have no other fields."""


def definition(kind: str) -> dict[str, Any]:
    """Define a kind of the operator."""
    name, spec = kind.lower(), {"type": "object", "properties": OPERATORS_KINDS[kind]}
    schema = {"type": "object", "required": ["spec"], "properties": {"spec": spec}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{name}s.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com",
            "scope": "Namespaced",
            "names": {"plural": f"{name}s", "singular": name, "kind": kind},
            "versions": [version],
        },
    }
