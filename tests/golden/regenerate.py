"""Golden manifests: each file's first line is the command that makes the file.

python -m tests.golden.regenerate     writes them again, after a change of what is printed; read the difference
echo '# nodeprefetch-deploy web --some-flag' > tests/golden/some-flag.yaml    and then the same makes a new one
"""

import shlex
from pathlib import Path

from deploy_gen.arguments import parse
from deploy_gen.manifests import manifests
from deploy_gen.objects import Object
from deploy_gen.output import render
from deploy_gen.reading import read_options

FOLDER = Path(__file__).parent
FILES = sorted(FOLDER.glob("*.yaml"))


def command(file: Path) -> list[str]:
    """The arguments that the file was made with."""
    with file.open(encoding="utf-8") as lines:
        program, *arguments = shlex.split(lines.readline().removeprefix("# "))
    if program != "nodeprefetch-deploy":
        raise ValueError(f"{file}: the first line is not the command that made it")
    # Paths are as seen from the golden files, wherever the tests are started.
    return [one.replace("--images=", f"--images={FOLDER}/") for one in arguments]


def objects(file: Path) -> list[Object]:
    """What is to be in it."""
    return manifests(read_options(parse(command(file))))


def text(file: Path) -> str:
    """What the file is to hold."""
    arguments = command(file)
    return render(objects(file), "yaml", [one.replace(f"{FOLDER}/", "") for one in arguments])


if __name__ == "__main__":
    for each in FILES:
        each.write_text(text(each), encoding="utf-8")
