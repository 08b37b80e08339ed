"""Installations of all kinds by their command lines; the manifests of a few of them are golden files.

python -m tests.golden.regenerate     writes the golden files again, after a change of what is printed: read the diff
"""

import shlex
from pathlib import Path

from deploy_gen.arguments import parse
from deploy_gen.manifests import manifests
from deploy_gen.objects import Object
from deploy_gen.parse import read_options
from deploy_gen.yaml import render

FOLDER = Path(__file__).parent
COMMANDS = {
    name: shlex.split(line)
    for name, _, line in (
        each.partition(" ") for each in (FOLDER / "commands.txt").read_text(encoding="utf-8").splitlines()
    )
}
"""The arguments, by the installation's name."""

FILES = sorted(FOLDER.glob("*.yaml"))
"""Named for the installations that are in them."""


def objects(name: str) -> list[Object]:
    """The manifests of an installation."""
    # Paths are as seen from this folder, wherever the tests are started.
    arguments = [each.replace("--images=", f"--images={FOLDER}/") for each in COMMANDS[name]]
    return manifests(read_options(parse(arguments)))


def text(name: str) -> str:
    """What is printed."""
    return render(objects(name), "yaml", COMMANDS[name])


if __name__ == "__main__":
    for file in FILES:
        file.write_text(text(file.stem), encoding="utf-8")
