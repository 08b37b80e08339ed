"""Finds the metrics and labels in an expression of PromQL."""

import re

_SELECTOR = re.compile(r"\b([a-z][a-z0-9_]*)\{([^}]*)\}")
_MATCHED = re.compile(r"([a-z_]+)\s*(?:=~|!~|!=|=)")
_GROUPED = re.compile(r"\b(?:by|on|group_left) ?\(([a-z_, ]*)\)")


def selected(expression: str) -> dict[str, set[str]]:
    """The labels by which each metric is selected. Every metric must have braces."""
    found: dict[str, set[str]] = {}
    for metric, matchers in _SELECTOR.findall(expression):
        found.setdefault(metric, set()).update(_MATCHED.findall(matchers))
    return found


def grouped(expression: str) -> set[str]:
    """The labels by which series are grouped and matched."""
    return {label.strip() for labels in _GROUPED.findall(expression) for label in labels.split(",") if label.strip()}
