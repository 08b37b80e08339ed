"""Which pods a user means: the rules of Kubernetes for label selectors, and where a namespace begins."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import deploy_gen.pod_selector
from nodeprefetch.values import pod_selector
from nodeprefetch.values.pod_selector import pod_selector_problems, split_pod_selector

VALID = [
    "app=web",
    "app==web",
    "app!=web",
    "app=",
    "app",
    "!app",
    " app = web , ! tier ",
    "app in (web)",
    "app in (web, api),tier notin (db,cache)",
    "app in(web)",
    "app in ()",
    "app.kubernetes.io/name=web",
    "Example_1.a-b=Value_1.x-y",
]


def test_the_generator_has_the_same_file():
    one, other = (Path(module.__file__ or "").read_bytes() for module in (pod_selector, deploy_gen.pod_selector))

    assert one == other


@pytest.mark.parametrize("text", VALID)
@pytest.mark.parametrize("namespace", ["", "team"])
def test_what_kubernetes_takes_is_valid_with_and_without_a_namespace(text, namespace):
    found = split_pod_selector(f"{namespace}/{text}" if namespace else text)

    assert (namespace, text.strip()) == found
    assert [] == pod_selector_problems(str(found))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "selects all pods"),
        (" ", "selects all pods"),
        ("team/", "selects all pods"),
        ("app=web,", "a term is empty"),
        ("app=web,,tier=a", "a term is empty"),
        ("app=a=b", "invalid label value 'a=b'"),
        ("app=-x", "invalid label value '-x'"),
        (f"app={64 * 'x'}", "invalid label value"),
        ("app=web/x", "invalid label value 'web/x'"),
        ("app in (-x)", "invalid label value '-x'"),
        ("-app=x", "invalid label key '-app'"),
        ("Team/app=web", "invalid label key 'Team/app'"),
        (f"{254 * 'a'}.b/app=web", "invalid label key"),
        ("app in web", "invalid term 'app in web'"),
        ("app in (web", "invalid term 'app in (web'"),
        ("app in (a) (b)", "invalid term 'app in (a) (b)'"),
        ("app>1", "invalid term 'app>1'"),
        ("=web", "invalid term '=web'"),
    ],
)
def test_what_kubernetes_refuses_is_named(text, part):
    (problem,) = pod_selector_problems(text)

    assert part in problem


def test_all_problems_come_at_once():
    assert 3 == len(pod_selector_problems("-a=b,c=-d,e f"))


@pytest.mark.parametrize(
    ("text", "namespace"),
    [
        ("team/app.kubernetes.io/name=web", "team"),
        ("app.kubernetes.io/name=web", ""),
        ("!app.kubernetes.io/name", ""),
        ("app in (a),x.y/z=1", ""),
    ],
)
def test_a_prefix_with_dots_is_not_a_namespace(text, namespace):
    """A namespace is a DNS label, without dots. A prefix without dots comes after a namespace."""
    assert namespace == split_pod_selector(text).namespace
    assert [] == pod_selector_problems(text)


@given(st.text(alphabet="ab=!,()/ in.-", max_size=30))
def test_whatever_is_written_is_split_in_the_same_way_again(text):
    found = split_pod_selector(text)
    pod_selector_problems(text)

    if not pod_selector_problems(text):
        assert found == split_pod_selector(str(found))
