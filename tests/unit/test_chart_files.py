"""What the chart has of the generator is up to date. Regenerate it with: python -m tests.golden.chart."""

import pytest
import yaml

from deploy_gen import __version__
from deploy_gen.images import DEFAULT_VERSION
from tests.golden.chart import FOLDER, files


@pytest.mark.parametrize("file", files(), ids=lambda file: file.name)
def test_files_of_the_chart_are_those_that_the_generator_gives(file):
    assert files()[file] == file.read_text(encoding="utf-8")


def test_the_chart_has_the_version_of_the_generator():
    chart = yaml.safe_load((FOLDER / "Chart.yaml").read_text(encoding="utf-8"))

    assert (__version__, DEFAULT_VERSION) == (chart["version"], chart["appVersion"])
