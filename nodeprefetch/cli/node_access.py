"""Checks `--node-access`: what a node may not do, a pod that acts as it may not do either."""

from nodeprefetch.cli.flags import FetchFlags
from nodeprefetch.errors import Problems

_RESERVED = ("kubernetes.io", "k8s.io")
"""Domains whose labels nodes may not set, but for some of the kubelet's (admission plugin NodeRestriction)."""


def check_node_access(flags: FetchFlags) -> None:
    """Check that what is asked for is possible in that way.

    Raises:
        UsageError: the API server would refuse it in every run.
    """
    if flags.node_access != "impersonate":
        return
    problems = Problems()
    prefix = flags.node_label_prefix
    if any(prefix == domain or prefix.endswith(f".{domain}") for domain in _RESERVED):
        problems.add(
            f"--node-access: impersonate cannot be combined with --node-label-prefix {prefix}:"
            f" nodes must not set labels of {' and '.join(_RESERVED)}"
        )
    if flags.remove_taint:
        problems.add(
            "--node-access: impersonate cannot be combined with --remove-taint: nodes must not change their taints"
            " (use --node-access direct, or the Node Readiness Controller with --node-condition)"
        )
    problems.raise_if_any()
