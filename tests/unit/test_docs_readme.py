"""README.md: its six steps are what a script can run as it stands there."""

import re
import subprocess

import pytest

from tests.unit.docs_pages import ROOT, blocks

README = ROOT / "README.md"
TEXT = README.read_text("utf-8")
STEPS = TEXT.split("## Six steps to warm nodes\n", 1)[1].split("\n## ", 1)[0]
PARTS = re.split(r"^### \d\. ", STEPS, flags=re.MULTILINE)[1:]


def shell(markdown: str) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", markdown, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(6))
def test_each_step_has_something_to_run(number: int):
    assert shell(PARTS[number])


def test_the_steps_are_shell_without_prompts():
    script = "set -e\n" + "\n".join(shell(STEPS))

    checked = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)

    assert (0, "") == (checked.returncode, checked.stderr)
    assert not re.search(r"^\s*\$ ", script, re.MULTILINE)


def test_everything_that_is_made_is_removed_again():
    made = re.findall(r"kubectl create (namespace \S+)", "\n".join(shell(STEPS)))
    removal = "\n".join(shell(TEXT.split("## Remove it\n", 1)[1].split("\n## ", 1)[0]))

    assert ["namespace prefetch"] == made
    assert [] == [one for one in [*made, "-f manifest.yaml"] if f"kubectl delete {one}" not in removal]


def test_all_shell_of_the_readme_is_shell():
    for block in blocks(README, "sh"):
        assert 0 == subprocess.run(["bash", "-n"], input=block, text=True, check=False).returncode, block
