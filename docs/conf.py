"""Sphinx settings of the documentation site, which `dev/docs` builds with the repository's root as source directory.

This way, links between README, guides and plugins' pages work here and on a code-hosting site.
"""

# ruff: noqa: INP001 - docs is not a package

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent

project = "nodeprefetch"
copyright = "the nodeprefetch authors"  # noqa: A001 - Sphinx requires this name
author = "the nodeprefetch authors"
_OURS = (ROOT / "nodeprefetch" / "__init__.py").read_text("utf-8")
release = re.findall(r'^__version__ = "([^"]+)"', _OURS, re.MULTILINE)[0]

extensions = ["myst_parser"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
root_doc = "docs/site"
include_patterns = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/**.md",
    "docs/site.rst",
    "deploy_gen/chart/README.md",
    "plugins/README.md",
    "plugins/*/README.md",
]
exclude_patterns = [".*", "build", "dist", "tests", "**/node_modules"]
nitpicky = True

myst_heading_anchors = 4  # anchors like those of code-hosting sites: [text](page.md#a-heading)

html_theme = "furo"
html_title = f"nodeprefetch {release}"
html_copy_source = False
html_show_sphinx = False
html_extra_path = ["site/index.html"]
