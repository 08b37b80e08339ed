"""Reads the flag about the workload for which nodes pull, and what cannot be combined with it."""

import argparse

from deploy_gen.pod_selector import PodSelector, pod_selector_problems, split_pod_selector
from deploy_gen.problems import Problems


def once_for(flags: argparse.Namespace, problems: Problems) -> PodSelector | None:
    """Read `--once-for`. None: all nodes pull."""
    if not flags.once_for:
        return None
    problems.add(*(f"--once-for: {problem}" for problem in pod_selector_problems(flags.once_for)))
    if flags.keep:
        problems.add(
            "--once-for: cannot be combined with --keep: a node looks for the pods once, and would keep images for pods"
            " that have moved, and none for those that come later"
        )
    if flags.node_condition or flags.remove_startup_taint or flags.node_readiness_rule:
        problems.add(
            "--once-for: cannot be combined with --node-condition, --remove-startup-taint or --node-readiness-rule:"
            " a new node, which takes no pods yet, would never pull, and stay closed"
        )
    return split_pod_selector(flags.once_for)
