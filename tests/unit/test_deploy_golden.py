"""What is printed is what was reviewed. To write the files again: python -m tests.golden.regenerate."""

import pytest
import yaml

from deploy_gen.platforms import FLAVORS, INTEGRATIONS
from tests.golden.regenerate import FILES, objects, text


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_manifests_are_as_in_their_golden_file(file):
    assert file.read_text(encoding="utf-8") == text(file)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_yaml_says_the_same_as_the_objects(file):
    assert objects(file) == list(yaml.safe_load_all(file.read_text(encoding="utf-8")))


def test_every_flavor_and_integration_has_a_golden_file():
    assert {*FLAVORS, *map(str.lower, INTEGRATIONS)} <= {file.stem for file in FILES}
