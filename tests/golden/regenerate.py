"""Installations of all kinds by their command lines; the manifests of a few are golden files.

Regenerate the files after a change of the output, and review the diff:

python -m tests.golden.regenerate
"""

import re
import shlex
from pathlib import Path

from deploy_gen.arguments import parse_arguments
from deploy_gen.manifests import build_manifests
from deploy_gen.objects import Object
from deploy_gen.options import Options
from deploy_gen.parse import read_options
from deploy_gen.yaml import render

FOLDER = Path(__file__).parent
COMMANDS = {
    name: shlex.split(line)
    for name, _, line in (
        each.partition(" ") for each in (FOLDER / "commands.txt").read_text(encoding="utf-8").splitlines()
    )
}
"""Arguments, by the name of the golden file."""

FILES = sorted(FOLDER.glob("*.yaml"))
"""The golden files."""


def options(name: str, *more: str) -> Options:
    """Read the options of an installation, with more flags."""
    # Paths are relative to this folder, wherever the tests run.
    arguments = [re.sub("^--(images|gate-needs)=", rf"\g<0>{FOLDER}/", each) for each in COMMANDS[name]]
    return read_options(parse_arguments([*arguments, *more]))


def objects(name: str, *more: str) -> list[Object]:
    """Build the objects of an installation, with more flags."""
    return build_manifests(options(name, *more))


def text(name: str) -> str:
    """Render the objects of an installation as YAML."""
    return render(objects(name), "yaml", COMMANDS[name])


if __name__ == "__main__":
    for file in FILES:
        file.write_text(text(file.stem), encoding="utf-8")
