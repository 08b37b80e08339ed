"""The flags of `aggregate`: what they make of what users write."""

import pytest

from nodeprefetch.cli.aggregate_flags import AggregateFlags, aggregator_settings
from nodeprefetch.errors import UsageError


def account(text, mount, auth="kubernetes"):
    return aggregator_settings(AggregateFlags(auth=auth, auth_service_account=text), mount).auth_service_account


@pytest.mark.parametrize(("text", "meant"), [("web", "team-a:web"), ("infra:web", "infra:web"), ("", "")])
def test_an_account_without_a_namespace_is_in_the_aggregators_own(tmp_path, text, meant):
    (tmp_path / "namespace").write_text("team-a\n")

    assert meant == account(text, tmp_path)


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_outside_of_a_cluster_an_account_needs_its_namespace(tmp_path, content):
    if content is not None:
        (tmp_path / "namespace").write_text(content)
    why = "No such file or directory" if content is None else "the file is empty"

    with pytest.raises(UsageError) as caught:
        account("web", tmp_path)

    (problem,) = caught.value.problems
    assert problem == (
        f"--auth-service-account: cannot read the pod's namespace from {tmp_path}/namespace: {why}"
        " (outside of a cluster use NAMESPACE:NAME)"
    )
    assert "infra:web" == account("infra:web", tmp_path)


def test_the_namespace_is_not_asked_for_where_accounts_do_not_matter(tmp_path):
    assert "web" == account("web", tmp_path, auth="none")


@pytest.mark.parametrize("text", [":", ":web", "infra:", "infra:web:more"])
def test_an_account_is_a_name_or_a_namespace_and_a_name(tmp_path, text):
    with pytest.raises(UsageError, match=r"expected NAME or NAMESPACE:NAME"):
        account(text, tmp_path)
