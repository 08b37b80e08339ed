"""Values of the chart in the documentation: its schema takes them, and they say the same as the flags beside them."""

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from deploy_gen.arguments import parse_arguments
from deploy_gen.parse import read_options
from tests.unit.docs_pages import PAGES, ROOT, blocks

CHART = ROOT / "deploy_gen" / "chart"
INSTALL = ROOT / "docs" / "install.md"
SCHEMA = json.loads((CHART / "values.schema.json").read_text("utf-8"))
ADDRESS = "oci://ghcr.io/nodeprefetch/charts/nodeprefetch"
"""To which the release workflow pushes it."""

HEREDOC = re.compile(r"^cat > values\.yaml <<'EOF'\n(.*?)^EOF$", re.MULTILINE | re.DOTALL)
PAIR = re.compile(r"\| `([^`]+)` \| `(--[^`]+)`(?:, `(--[^`]+)`)? \|$", re.MULTILINE)
"""A row of a table that ends with a value and with what is the same for the generator."""


def values_of(document: dict[str, Any]) -> dict[str, Any] | None:
    """What an object of Argo CD or Flux, or a file of values, gives to the chart."""
    found: dict[str, Any] | None
    match document.get("kind"):
        case "Application":
            found = document["spec"]["source"]["helm"]["valuesObject"]
        case "HelmRelease":
            found = document["spec"]["values"]
        case None:
            found = document
        case _:
            found = None
    return found


def shown() -> Iterator[tuple[str, dict[str, Any]]]:
    for page in PAGES:
        name = str(page.relative_to(ROOT))
        for block in blocks(page, "sh"):
            yield from ((name, yaml.safe_load(text)) for text in HEREDOC.findall(block))
    for block in blocks(INSTALL, "yaml"):
        for document in yaml.safe_load_all(block):
            if (values := values_of(document)) is not None:
                yield "docs/install.md", values
    for text, *_ in PAIRS:
        yield "docs/install.md", yaml.safe_load(text.replace("sha256:…", f"sha256:{'a' * 64}"))


PAIRS = PAIR.findall(INSTALL.read_text("utf-8"))
SHOWN = list(shown())


@pytest.mark.parametrize(("page", "values"), SHOWN, ids=str)
def test_the_chart_takes_the_values(page: str, values: dict[str, Any]) -> None:
    """`page` is for whoever reads a failure."""
    jsonschema.validate(values, SCHEMA)

    assert values


def test_values_are_found_everywhere() -> None:
    """In both pages, for Argo CD and Flux, for two platforms alone, and in the tables."""
    assert {"README.md", "docs/install.md"} == {page for page, _ in SHOWN}
    assert len(SHOWN) >= 6 + len(PAIRS)
    assert len(PAIRS) > 20


def camel(flag: str) -> str:
    first, *rest = flag.removeprefix("--").split("-")
    return first + "".join(word.capitalize() for word in rest)


@pytest.mark.parametrize(("text", "first", "second"), PAIRS)
def test_value_and_flag_are_the_same(text: str, first: str, second: str) -> None:
    """`--node-selector a=b` is `nodeSelector: {a: b}`; a flag that may be repeated is a list."""
    flags = shlex.split(f"{first} {second}")
    if flags[0] in {"--image", "--images"}:  # files, and parts of a name: the chart's own tests compare them
        return
    ((key, value),) = yaml.safe_load(text).items()
    flag, _, given = " ".join(flags).replace(" ", "=", 1).partition("=")

    assert key in {camel(flag), camel(flag) + "s"}
    match value:
        case True:
            assert "" == given
        case dict():
            assert [given] == [f"{name}={wanted}" for name, wanted in value.items()]
        case list():
            assert [given] == value
        case _:
            assert given == str(value)


@pytest.mark.parametrize(("first", "second"), [pair[1:] for pair in PAIRS])
def test_the_generator_takes_the_flags(first: str, second: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "images.txt").write_text("nginx:1.27\n")
    monkeypatch.chdir(tmp_path)
    flags = shlex.split(f"{first} {second}".replace("…", "a" * 64))

    read_options(parse_arguments(["web", "--collect-metrics", *flags]))


def test_all_commands_have_one_address_of_the_chart() -> None:
    commands = "".join(block for page in PAGES for block in blocks(page, "sh"))

    assert {ADDRESS} == set(re.findall(r"^helm .*(oci://\S+)", commands, re.MULTILINE))
