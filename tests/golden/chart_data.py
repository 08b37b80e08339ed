"""Writes the chart's files/: data of the generator, with placeholders like @NAME@ that the templates replace."""

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from deploy_gen.alerts import prometheus_rule
from deploy_gen.arguments import parse_arguments
from deploy_gen.checks import _DNS_SUBDOMAIN, _SERVICE_NAME
from deploy_gen.dashboard import dashboard
from deploy_gen.images import _REFERENCE
from deploy_gen.node_policy import node_restriction
from deploy_gen.objects import Object
from deploy_gen.options import DIRECT, IMPERSONATE, Options, Taint
from deploy_gen.parse import _RESERVED_NAMES, _RESERVED_ON_OPENSHIFT, _SUFFIXES, read_options
from deploy_gen.passthrough import RESERVED_AGGREGATE_FLAGS, RESERVED_FETCH_FLAGS, RESERVED_WITH_METRICS
from deploy_gen.platforms import CLOUDS, CRIO_DOWNLOADS, CRIO_SOCKET, SOCKETS
from deploy_gen.program_flags import AGGREGATE_FLAGS, FETCH_FLAGS
from deploy_gen.yaml import to_yaml
from tests.golden.chart_schema import DURATION, portable
from tests.golden.chart_values import in_values

_HEAD = "# Written by `python -m tests.golden.chart`; do not edit.\n"

_RUN, _REFRESH, _REPORT = 7777777, 5555557, 3333331
"""Seconds that stand for durations. None is a whole number of minutes, so they are recognized later."""

_DURATIONS = {
    f"{_RUN + 300}s": "@RUN_AND_5M@",
    f"{_RUN}s": "@RUN@",
    f"{_RUN}": "@RUN_SECONDS@",
    f"{_REFRESH + 3600}s": "@REFRESH_AND_1H@",
    f"{3 * _REPORT}s": "@THREE_REPORTS@",
    f"{3 * _REPORT}": "@THREE_REPORTS_SECONDS@",
    f"{_REPORT}s": "@REPORT@",
}

_IMAGE = portable(_REFERENCE.pattern)
_LINE = rf"(?:(?:{_IMAGE})?(?:[ \t]+#[^\n]*|[ \t\r]*)|#[^\n]*)"
"""Of a list: what most lines are."""

_TAINT = {"(taint.key == '@TAINTS@')": "@IS_TAINT@"}


def files() -> dict[str, str]:
    """Map the names of the files to their contents."""
    return {
        "platforms.yaml": _HEAD + to_yaml(_platforms()),
        "node-policies.yaml": _HEAD
        + _with_placeholders(to_yaml(_policies()), {"(taint.key == '@TAINTS@')": "@IS_TAINT@"}),
        "alerts.yaml": _HEAD + _with_placeholders(to_yaml(_alerts()), _DURATIONS),
        "dashboard.json": _dashboard(),
        "checks.yaml": _HEAD + to_yaml(_checks()),
    }


def _platforms() -> object:
    return {
        "sockets": dict(SOCKETS),
        "crioSocket": CRIO_SOCKET,
        "crioDownloads": CRIO_DOWNLOADS,
        "clouds": {cloud: asdict(providers) for cloud, providers in CLOUDS.items()},
    }


def _policies() -> dict[str, object]:
    """Build the policies of `--restrict-node-access`, by what the flags make of them."""
    taints = (Taint(key="@TAINTS@"),)
    found = {}
    for access, has_condition, removed in (
        (DIRECT, False, ()),
        (DIRECT, True, ()),
        (DIRECT, False, taints),
        (DIRECT, True, taints),
        (IMPERSONATE, False, ()),
        (IMPERSONATE, True, ()),
    ):
        name = "-".join([access, *(["condition"] if has_condition else []), *(["taints"] if removed else [])])
        options = _options(node_access=access, node_condition=has_condition, startup_taints=removed)
        found[name], _, found["events"], _ = map(_policy, node_restriction(options))
    return found


def _policy(made: Object) -> dict[str, Any]:
    annotations = made["metadata"].get("annotations", {})
    return {"description": annotations.get("kubernetes.io/description", ""), "spec": made["spec"]}


def _alerts() -> list[object]:
    """List the alerts, each with the option (of the chart's templates) that it needs, if it needs one."""
    given: dict[str, Any] = {"overall_timeout": _RUN, "refresh_every": f"{_REFRESH}s", "report_every": f"{_REPORT}s"}
    rules = _rules(_options(**given, node_condition=True, keep=True))
    ungated = _rules(_options(**given, keep=True))
    unkept = _rules(_options(**given, node_condition=True))
    needed = {alert: "hasGate" for alert in rules if alert not in ungated}
    needed |= {alert: "keep" for alert in rules if alert not in unkept}
    return [{**({"needs": needed[alert]} if alert in needed else {}), "rule": rule} for alert, rule in rules.items()]


def _rules(options: Options) -> dict[str, object]:
    (group,) = prometheus_rule(options)["spec"]["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def _checks() -> object:
    """Build what the templates check and a schema cannot: names, image lists, and arguments that are passed through."""
    return {
        "names": {"reserved": sorted(_RESERVED_NAMES), "ocp": sorted(_RESERVED_ON_OPENSHIFT), "suffixes": _SUFFIXES},
        "patterns": {
            "name": f"^{_DNS_SUBDOMAIN.pattern}$",
            "service": f"^{_SERVICE_NAME.pattern}$",
            "image": f"^{_IMAGE}$",
            "id": r"^(?:sha256:)?[0-9a-f]{64}(?:\s|$)",
            "plainList": rf"^(?:{_LINE}\n)*{_LINE}$",
            "duration": f"^{portable(DURATION)}$",
        },
        "fetch": {"known": dict(FETCH_FLAGS), "reserved": _in_values(RESERVED_FETCH_FLAGS)},
        "withMetrics": _in_values(RESERVED_WITH_METRICS),
        "withNeeds": {"--gate-needs": "the value gateNeeds sets it"},
        "aggregate": {"known": dict(AGGREGATE_FLAGS), "reserved": _in_values(RESERVED_AGGREGATE_FLAGS)},
    }


def _in_values(reasons: Mapping[str, str]) -> dict[str, str]:
    """Rewrite what to do about a flag that cannot be passed."""
    return {flag: reserved_text(flag, reason) for flag, reason in reasons.items()}


def reserved_text(flag: str, reason: str) -> str:
    """Rewrite it for one flag."""
    named = reason.replace("the flag of the same name", f"the flag {flag}")
    return in_values(re.sub("the flag (--[a-z-]+) of this generator", r"the value \1", named))


def _dashboard() -> str:
    (text,) = dashboard(_options())["data"].values()
    return re.sub('"uid": "nodeprefetch-[0-9a-f]{16}"', '"uid": "nodeprefetch-@DIGEST@"', text)


def _options(**given: Any) -> Options:
    options = read_options(parse_arguments(["web"]))
    return replace(options, name="@NAME@", namespace="@NAMESPACE@", node_label_prefix="@PREFIX@", **given)


def _with_placeholders(text: str, placeholders: Mapping[str, str]) -> str:
    for found, placeholder in placeholders.items():
        text = text.replace(found, placeholder)
    return text
