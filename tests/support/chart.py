"""Renders the Helm chart, and turns command lines of the generator into its values."""

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from deploy_gen.arguments import parse_arguments
from deploy_gen.objects import Object
from tests.golden.chart_values import groups, value_name
from tests.support.cluster_programs import helm_program
from tests.support.patience import PATIENCE

CHART = Path(__file__).parents[2] / "deploy_gen" / "chart"

_IMAGE = {"image": "repository", "version": "tag"}
_TEXTS = {"images", "gateNeeds"}


class ChartError(Exception):
    """Raised when Helm refuses the values. Its text is what Helm printed."""


def render(values: Mapping[str, Any], *, release: str = "web", namespace: str = "default") -> list[Object]:
    """Render the chart with these values.

    Raises:
        ChartError: Helm refuses them.
    """
    done = helm("template", release, CHART, "--namespace", namespace, values=values)
    if done.returncode:
        raise ChartError(done.stderr)
    return [found for found in yaml.load_all(done.stdout, yaml.CSafeLoader) if found]


def helm(*arguments: str | Path, values: Mapping[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    """Run Helm, with these values if there are any."""
    given = [] if values is None else ["--values", "-"]
    return subprocess.run(
        [helm_program(), *arguments, *given],
        input=json.dumps(values, ensure_ascii=False),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def values_of(arguments: Sequence[str]) -> tuple[str, str, dict[str, Any]]:
    """Turn a command line of the generator into the release's name, its namespace and the values."""
    flags = parse_arguments(arguments)
    kinds = {value.name: value for values in groups().values() for value in values}
    values: dict[str, Any] = {}
    for flag, given in vars(flags).items():
        name = value_name("--" + flag.replace("_", "-"))
        if name.startswith("image."):
            if given:
                values.setdefault("image", {})[_IMAGE[flag]] = given
        elif name in _TEXTS and given:
            values[name] = Path(given[0] if isinstance(given, list) else given).read_bytes().decode()
        elif name == "nodeSelector":
            values[name] = dict(text.split("=", 1) for text in given)
        elif name in kinds and given and given != kinds[name].default:
            values[name] = int(given) if re.fullmatch("[0-9]+", str(given)) else given
    return flags.names[0], flags.namespace, values
