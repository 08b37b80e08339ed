"""The output is what was reviewed. Regenerate the files with: python -m tests.golden.regenerate."""

import pytest
import yaml

from tests.golden.regenerate import COMMANDS, FILES, objects, text


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_manifests_are_as_in_their_golden_file(file):
    assert file.read_text(encoding="utf-8") == text(file.stem)


@pytest.mark.parametrize("name", COMMANDS)
def test_yaml_says_the_same_as_the_objects(name):
    assert objects(name) == list(yaml.load_all(text(name), yaml.CSafeLoader))
