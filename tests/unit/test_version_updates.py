"""Bots that propose new versions find the nodeprefetch image in what users keep in Git, as the pages say.

What they look for is from the documentation and sources of Renovate (managers `kubernetes`, `helm-values`, `regex`) and
Dependabot (`docker`), which cannot run here.
"""

import json
import re
from pathlib import Path

import pytest
import yaml

import deploy_gen
import nodeprefetch
from deploy_gen.arguments import parse_arguments
from deploy_gen.manifests import build_manifests
from deploy_gen.parse import read_options
from deploy_gen.yaml import render
from tests.unit.docs_pages import PAGES, ROOT, blocks

PAGE = ROOT / "docs/manifests.md"
REPOSITORY = "ghcr.io/nodeprefetch/nodeprefetch"
IMAGE_LINE = re.compile(r"^ *(?:- )?image: +(\S+)$", re.MULTILINE)
"""Both take `image:` with its value on a line of its own, Dependabot only without quotation marks."""

DIGEST = "sha256:" + "0" * 64


def generate(*flags: str) -> str:
    arguments = ["web", "--collect-metrics", *flags]
    options = read_options(parse_arguments(arguments))
    return render(build_manifests(options), "yaml", arguments)


@pytest.mark.parametrize(
    ("flags", "tag"),
    [
        ((), f":v{deploy_gen.__version__}"),
        (("--version=v1.2.3", "--use-kubelet-image-credential-integration=GKE"), ":v1.2.3-distro"),
        ((f"--image={REPOSITORY}:v1.2.3@{DIGEST}",), f":v1.2.3@{DIGEST}"),
    ],
    ids=["own version", "distro", "digest"],
)
def test_bots_find_all_images_of_generated_manifests(flags: tuple[str, ...], tag: str):
    text = generate(*flags)
    containers = text.count("\n        image:")

    assert containers >= 2
    assert [f"{REPOSITORY}{tag}"] * containers == IMAGE_LINE.findall(text)


def test_dependabot_takes_generated_manifests_for_such():
    """By the first document; others are read too."""
    first = next(yaml.safe_load_all(generate()))

    assert {"apiVersion", "kind"} <= set(first)


def test_bots_find_the_image_in_values_of_the_chart():
    values = yaml.safe_load((ROOT / "deploy_gen/chart/values.yaml").read_text("utf-8"))

    assert REPOSITORY == values["image"]["repository"]
    assert "tag" in values["image"]


def test_rules_of_the_page_for_renovate_find_the_versions_of_its_script():
    (rules,) = (json.loads(block) for block in blocks(PAGE, "json") if "customManagers" in block)
    (script,) = (block for block in blocks(PAGE, "yaml") if "pip install" in block)
    (name,) = re.findall(r"^# (\S+)$", script, re.MULTILINE)

    found = {}
    for manager in rules["customManagers"]:
        assert any(re.search(pattern.strip("/"), name) for pattern in manager["managerFilePatterns"])
        (expression,) = manager["matchStrings"]
        values = re.findall(expression.replace("(?<", "(?P<"), script)
        found[manager["depNameTemplate"], manager["datasourceTemplate"]] = values

    version = deploy_gen.__version__
    assert {("nodeprefetch-deploy", "pypi"): [version], (REPOSITORY, "docker"): [f"v{version}"]} == found


def test_generator_and_program_have_one_version_which_pages_name():
    """`dev/set-version` writes it everywhere."""
    assert nodeprefetch.__version__ == deploy_gen.__version__
    named = {
        version
        for page in PAGES
        for version in re.findall(
            rf"{REPOSITORY}:v(\d+\.\d+\.\d+)|nodeprefetch-deploy==(\d+\.\d+\.\d+)", Path(page).read_text("utf-8")
        )
    }
    assert {nodeprefetch.__version__} == {each for pair in named for each in pair if each}
