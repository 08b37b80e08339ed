"""What cannot be done as the node is wrong usage."""

import pytest

from nodeprefetch.cli.flags import FetchFlags
from nodeprefetch.cli.node_access import check_node_access
from nodeprefetch.errors import UsageError


@pytest.mark.parametrize("prefix", ["kubernetes.io", "k8s.io", "prefetch.k8s.io"])
def test_nodes_must_not_set_labels_of_kubernetes(prefix):
    with pytest.raises(UsageError, match=f"--node-label-prefix {prefix}: nodes must not set labels"):
        check_node_access(FetchFlags(node_access="impersonate", node_label_prefix=prefix))

    check_node_access(FetchFlags(node_label_prefix=prefix))


@pytest.mark.parametrize("prefix", ["nodeprefetch.io", "notk8s.io", "k8s.io.example.com"])
def test_all_others_they_may_set(prefix):
    check_node_access(FetchFlags(node_access="impersonate", node_label_prefix=prefix))


def test_nodes_must_not_change_their_taints():
    """All problems are reported at once."""
    with pytest.raises(UsageError) as refusal:
        check_node_access(FetchFlags(node_access="impersonate", node_label_prefix="k8s.io", remove_taint=("a",)))

    assert 2 == len(refusal.value.problems)
    assert "or the Node Readiness Controller with --node-condition" in str(refusal.value)
    check_node_access(FetchFlags(remove_taint=("a",)))
