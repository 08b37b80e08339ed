"""A list that is invalid at the start is seen on the node: real files, and a fake API server over real HTTPS."""

from pathlib import Path

import pytest

from nodeprefetch.cli import invalid_list as module
from nodeprefetch.cli.environment import Environment
from nodeprefetch.cli.flags import FetchFlags
from nodeprefetch.cli.inputs import read_images
from nodeprefetch.cli.prepare import prepare
from nodeprefetch.errors import UsageError
from tests.support.fake_kube import FakeKube

KEY = "nodeprefetch.io/web"
IN_POD = Environment(node_name="n1", instance_name="web")


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine takes longer than a pod may, above all to load what reads the kubeconfig."""
    monkeypatch.setattr(module, "GRACE", 300.0)


@pytest.fixture
def api():
    with FakeKube() as running:
        running.add_node("n1", {KEY: "succeeded"})
        yield running


def start(api: FakeKube, directory: Path, text: str, environment: Environment = IN_POD, **flags: object) -> list[str]:
    """A container that starts. Returns its problems."""
    file = directory / "images.txt"
    file.write_text(text)
    given = FetchFlags(image_list_file=(str(file),), kubeconfig=str(api.write_kubeconfig(directory)), **flags)
    with pytest.raises(UsageError) as caught:
        prepare(given, lambda: read_images(given.image_list_file, ()), environment)
    return list(caught.value.problems)


def test_condition_and_event_have_the_problem_and_the_label_stays(api: FakeKube, tmp_path: Path) -> None:
    problems = start(api, tmp_path, "Not An Image\na:1:2\n", node_condition=True)

    condition = api.conditions("n1")[KEY]
    assert ("False", "ListInvalid", f"{problems[0]} (and 1 more)") == (
        condition["status"],
        condition["reason"],
        condition["message"],
    )
    assert [("ImageListInvalid", "Warning", f"web: {'; '.join(problems)}")] == [
        (event["reason"], event["type"], event.get("note") or event["message"]) for event in api.events
    ]
    assert {KEY: "succeeded"} == api.labels("n1")
    assert {} == api.annotations("n1")


def test_starts_with_the_same_list_write_nothing_more(api: FakeKube, tmp_path: Path) -> None:
    start(api, tmp_path, "Not An Image\n", node_condition=True)
    patches = api.methods().count("PATCH")
    start(api, tmp_path, "Not An Image\n", node_condition=True)

    assert (1, patches) == (len(api.events), api.methods().count("PATCH"))


@pytest.mark.parametrize(
    ("flags", "environment"), [({"no_events": True}, IN_POD), ({"node_condition": True}, Environment())], ids=str
)
def test_without_either_or_outside_a_pod_nobody_is_asked(api: FakeKube, tmp_path: Path, flags, environment) -> None:
    assert 1 == len(start(api, tmp_path, "Not An Image\n", environment, **flags))
    assert [] == api.methods()


def test_a_flag_that_is_wrong_is_not_about_the_list(api: FakeKube, tmp_path: Path) -> None:
    start(api, tmp_path, "a:1\n", node_condition=True, overall_timeout="soon")

    assert [] == api.methods()
