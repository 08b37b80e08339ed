"""The manifests of `--once-for`: nodes pull only for pods that run there."""

import pytest

from deploy_gen.arguments import parse_arguments
from deploy_gen.manifests import build_manifests
from deploy_gen.parse import read_options
from deploy_gen.problems import InputError
from nodeprefetch.cli.cluster_access import parse_pull_arguments


def made(*arguments: str) -> list[dict]:
    return build_manifests(read_options(parse_arguments(["web", *arguments])))


def problems(*arguments: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        made(*arguments)
    return list(caught.value.problems)


def fetch_arguments(*arguments: str) -> list[str]:
    (daemons,) = (each for each in made(*arguments) if each["kind"] == "DaemonSet")
    return daemons["spec"]["template"]["spec"]["initContainers"][0]["args"]


@pytest.mark.parametrize("text", ["app=web", "team/app in (web, api),!canary"])
def test_fetch_gets_the_selector_as_it_is_written(text):
    arguments = fetch_arguments(f"--once-for={text}")

    assert f"--for-pods={text}" in arguments
    assert parse_pull_arguments(arguments, {}).list_files


def test_without_it_fetch_always_pulls():
    assert not [each for each in fetch_arguments() if "for-pods" in each]


def test_an_invalid_selector_is_refused():
    assert ["--once-for: 'app=-web': invalid label value '-web'"] == [
        each.partition(": must")[0] for each in problems("--once-for=app=-web")
    ]


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ("--keep", "a node looks for the pods once"),
        ("--node-condition", "a new node, which takes no pods yet, would never pull"),
        ("--node-readiness-rule", "a new node, which takes no pods yet, would never pull"),
        ("--remove-startup-taint=a", "a new node, which takes no pods yet, would never pull"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(other, why):
    (problem,) = problems("--once-for=app=web", other)

    assert problem.startswith("--once-for: cannot be combined with ")
    assert why in problem
