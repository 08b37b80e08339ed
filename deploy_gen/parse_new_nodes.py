"""Reads the flags for new nodes that depend on others."""

import argparse
from functools import partial

from deploy_gen import checks
from deploy_gen.images import read_needs
from deploy_gen.options import IMPERSONATE, Taint
from deploy_gen.problems import Problems
from deploy_gen.quota import NODE_CRITICAL
from deploy_gen.taints import taint
from deploy_gen.values import Values


def startup_taints(flags: argparse.Namespace, values: Values, problems: Problems) -> tuple[Taint, ...]:
    """Read the taints that fetch pods remove."""
    taints = values.each("--remove-startup-taint", taint, flags.remove_startup_taint)
    if taints and flags.node_access.lower() == IMPERSONATE:
        problems.add(
            "--remove-startup-taint: cannot be combined with --node-access impersonate, as Kubernetes does not let"
            " nodes remove their taints (use --node-readiness-rule)"
        )
    return taints


def gate_needs(flags: argparse.Namespace, images: str | None, values: Values, problems: Problems) -> str | None:
    """Read the list of images that nodes need. None: all.

    Args:
        flags: parsed.
        images: content of the list; None: not in the manifest, empty: has problems.
        values: checks them.
        problems: get those of several flags.
    """
    if not _has_gate(flags):
        given = {"--gate-timeout": flags.gate_timeout, "--gate-needs": flags.gate_needs}
        needed = "--node-condition, --remove-startup-taint or --node-readiness-rule"
        problems.add(*(f"{flag}: requires {needed}" for flag, value in given.items() if value))
    if not flags.gate_needs:
        return None
    if images is None:
        problems.add("--gate-needs: requires --images, as both lists are in one ConfigMap")
    elif flags.gate_needs == "-" and "-" in flags.images:
        problems.add("--gate-needs: standard input is already the list of --images")
    elif images:  # otherwise its problems are enough
        return values.one("--gate-needs", partial(read_needs, images=images), flags.gate_needs, None)
    return None


def priority_class(flags: argparse.Namespace, values: Values) -> str:
    """Choose the class: pods for which a node is kept closed must not wait for room on it."""
    if flags.priority_class == "none":
        return ""
    default = NODE_CRITICAL if _has_gate(flags) else ""
    return values.given("--priority-class", checks.dns_subdomain, flags.priority_class, default)


def _has_gate(flags: argparse.Namespace) -> bool:
    return bool(flags.node_condition or flags.remove_startup_taint or flags.node_readiness_rule)
