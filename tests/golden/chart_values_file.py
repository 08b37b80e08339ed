"""Writes the chart's values.yaml."""

import textwrap

from deploy_gen.yaml import to_yaml
from tests.golden.chart_values import IMAGE, NAME, Value, groups

_HEAD = """\
# Values of the chart. Written by `python -m tests.golden.chart`; do not edit in the chart itself.
#
# Each is a flag of nodeprefetch-deploy (--collect-metrics is collectMetrics) and gives the same objects. An empty value
# is the same as none. README.md of the chart lists all values, docs/manifests.md the objects.
"""

_WIDTH = 118


def text() -> str:
    """Build the content of values.yaml."""
    parts = [_HEAD]
    for title, values in groups().items():
        parts.append(f"\n## {title}\n")
        for value in values:
            parts.append(f"\n{_comment(value.text)}{_entry(value)}")
            if value == NAME:
                parts.append(_image())
    return "".join(parts)


def _image() -> str:
    members = "".join(textwrap.indent(_comment(value.text) + _entry(value), "  ") for value in IMAGE)
    return f"\n{_comment('The nodeprefetch image, which all pods run.')}image:\n{members}"


def _comment(said: str) -> str:
    return "".join(f"# {line}\n" for line in textwrap.wrap(said, _WIDTH))


def _entry(value: Value) -> str:
    return to_yaml({value.name: value.default})
