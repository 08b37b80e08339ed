"""What is built and run from elsewhere is named by what it contains: a tag of somebody else's can be moved."""

import re

import pytest

from tests.unit.docs_pages import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def values(key: str, text: str) -> list[str]:
    """What the key has in the lines of a workflow, with the comment behind it."""
    return re.findall(rf"^[ -]*{key}: *(.+)$", text, re.MULTILINE)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_name_actions_by_commit_with_the_version_as_a_comment(workflow):
    """Dependabot reads the comment, and brings both up to date."""
    foreign = [value for value in values("uses", workflow.read_text("utf-8")) if not value.startswith("./")]

    assert [] == [
        each for each in foreign if not re.fullmatch(r"[\w.-]+(/[\w.-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)
    ]


def test_one_action_has_one_version_in_all_workflows():
    pins = {each for path in WORKFLOWS for each in values("uses", path.read_text("utf-8")) if "@" in each}

    assert sorted({pin.partition("@")[0] for pin in pins}) == sorted(pin.partition("@")[0] for pin in pins)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_name_images_by_digest(workflow):
    assert [] == [
        each for each in values("image", workflow.read_text("utf-8")) if "@sha256:" not in each and "/" in each
    ]


def test_the_dockerfile_names_images_by_digest():
    """In the defaults of its arguments, or where a stage begins; a stage may begin with another one."""
    text = (ROOT / "Dockerfile").read_text("utf-8")
    stages = {*re.findall(r"^FROM \S+ AS (\S+)$", text, re.MULTILINE), "scratch"}
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)$", text.partition("\nFROM ")[0], re.MULTILINE))

    named = [
        re.sub(r"^\$\{(\w+)\}$", lambda found: defaults[found[1]], each)
        for each in re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    ]

    assert [] == [
        each for each in named if each not in stages and not re.search(r":[\w.-]+@sha256:[0-9a-f]{64}$", each)
    ]
    assert "# syntax=" not in text
