"""The generator needs nothing but Python."""

import ast
import sys
from pathlib import Path

import deploy_gen
import nodeprefetch

FOLDER = Path(deploy_gen.__file__).parent


def test_only_the_standard_library_is_imported():
    imported = set()
    for file in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").partition(".")[0])

    assert set() == imported - sys.stdlib_module_names - {"deploy_gen"}


def test_the_default_image_is_of_the_version_of_the_program():
    assert nodeprefetch.__version__ == deploy_gen.__version__
