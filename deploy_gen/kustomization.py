"""Renders a directory for kustomize: one file for each object, their list, and what overlays need to move them."""

import re
from collections.abc import Sequence

from deploy_gen.manifests import build_manifests
from deploy_gen.objects import Object
from deploy_gen.options import Options
from deploy_gen.overlay import namespace_transformers
from deploy_gen.yaml import command_comment, to_yaml

LIST_FILE = "kustomization.yaml"
"""Lists the other files."""

NAMESPACE_FOLDER = "namespace"
"""Has the transformers for overlays."""

_OWNER = re.compile(r"# Written by nodeprefetch-deploy for ([^ ]+)\. ")
_KUSTOMIZATION = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}


def owner(text: str) -> str:
    """Return the NAME of the installation that a file was written for; empty: it is not one of ours."""
    found = _OWNER.match(text)
    return found[1] if found else ""


def render_directory(options: Options, arguments: Sequence[str]) -> dict[str, str]:
    """Render all files. Returns their texts by their paths in the directory; the list is last.

    Args:
        options: of the installation.
        arguments: those of the command, for the list.
    """
    mark = (
        f"# Written by nodeprefetch-deploy for {options.name}. The next run replaces it: make changes in an overlay.\n"
    )
    files = {file_name(each): mark + to_yaml(each) for each in build_manifests(options)}
    transformers = "---\n".join(map(to_yaml, namespace_transformers(options)))
    about = "# Transformers for overlays that set another namespace.\n"
    return {
        **files,
        f"{NAMESPACE_FOLDER}/transformers.yaml": mark + about + transformers,
        f"{NAMESPACE_FOLDER}/{LIST_FILE}": mark + to_yaml({**_KUSTOMIZATION, "resources": ["transformers.yaml"]}),
        LIST_FILE: mark + command_comment(arguments) + _list_of(list(files)),
    }


def file_name(each: Object) -> str:
    """Name the file of an object. An installation has no two objects of the same kind and name."""
    return f"{each['kind'].lower()}-{each['metadata']['name']}.yaml"


def listed_files(text: str) -> list[str] | None:
    """Return the files in a list of ours; None: somebody has edited it."""
    content = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    names = re.findall(r"^- \"?([a-z0-9.-]+)\"?$", content, re.MULTILINE)
    return names if content == _list_of(names) else None


def _list_of(names: Sequence[str]) -> str:
    return to_yaml({**_KUSTOMIZATION, "resources": [*names]})
