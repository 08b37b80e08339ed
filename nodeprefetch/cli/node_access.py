"""How a run calls the Kubernetes API, as its flags say, and what it may not do there (`--node-access`)."""

from collections.abc import Awaitable, Callable
from functools import partial

from nodeprefetch.cli.environment import Environment
from nodeprefetch.cli.flags import FetchFlags
from nodeprefetch.errors import Problems
from nodeprefetch.kube import Kube, connect

_IMPERSONATE = "impersonate"

_RESERVED = ("kubernetes.io", "k8s.io")
"""Domains whose labels nodes may not set, but for some of the kubelet's (admission plugin NodeRestriction)."""


def connect_for(flags: FetchFlags, environment: Environment) -> Callable[[], Awaitable[Kube]]:
    """Return a function that loads the client of the Kubernetes API."""
    as_node = flags.node_access == _IMPERSONATE
    return partial(connect, flags.kubeconfig, as_node=as_node, environment=environment.variables)


def check_node_access(flags: FetchFlags) -> None:
    """Check that what is asked for is possible in that way. A pod that acts as its node may do what nodes may do.

    Raises:
        UsageError: the API server would refuse it in every run.
    """
    if flags.node_access != _IMPERSONATE:
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
