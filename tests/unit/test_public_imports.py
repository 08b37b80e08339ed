"""What authors of plugins import: `nodeprefetch.credentials`, and for one release the paths documented before."""

import ast
import importlib
import sys
from pathlib import Path

import pytest

import nodeprefetch.credentials as face

ROOT = Path(__file__).parents[2]
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))


@pytest.mark.parametrize("file", PLUGINS, ids=lambda file: str(file.relative_to(ROOT / "plugins")))
def test_plugins_import_nothing_else_of_nodeprefetch(file: Path):
    tree = ast.parse(file.read_text("utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}

    ours = {module for module in modules if module and module.split(".")[0] == "nodeprefetch"}

    assert {"nodeprefetch.credentials", "nodeprefetch.testing"} >= ours


@pytest.mark.parametrize("name", face.__all__)
def test_every_public_name_can_be_imported(name: str):
    assert getattr(face, name) is not None


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'Nobody'"):
        _ = face.Nobody


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("nodeprefetch.imageref", ["ImageRef", "ImageRefError"]),
        ("nodeprefetch.credentials.provider", ["NotConfigured", "PluginContext", "ProvidedCredentials"]),
    ],
)
def test_an_old_path_still_works_and_is_deprecated(monkeypatch, module: str, names: list[str]):
    monkeypatch.delitem(sys.modules, module, raising=False)

    with pytest.warns(DeprecationWarning, match=f"{module} is deprecated, import from nodeprefetch.credentials"):
        old = importlib.import_module(module)

    assert [getattr(face, name) for name in names] == [getattr(old, name) for name in names]


def test_documented_names_in_other_modules_are_the_same():
    auth = importlib.import_module("nodeprefetch.credentials.auth")
    errors = importlib.import_module("nodeprefetch.errors")

    assert (face.AuthConfig, face.UsageError, face.NodeprefetchError) == (
        auth.AuthConfig,
        errors.UsageError,
        errors.NodeprefetchError,
    )
