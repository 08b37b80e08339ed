"""Writes what the Helm chart has of the generator. Run it after a change of the generator's flags, texts or data:

python -m tests.golden.chart
"""

from pathlib import Path

from tests.golden import chart_data, chart_readme, chart_schema, chart_values_file

FOLDER = Path(__file__).parents[2] / "deploy_gen" / "chart"


def files() -> dict[Path, str]:
    """Map the files to what they must contain."""
    return {
        FOLDER / "values.yaml": chart_values_file.text(),
        FOLDER / "README.md": chart_readme.text((FOLDER / "README.md").read_text(encoding="utf-8")),
        FOLDER / "values.schema.json": chart_schema.text(),
        **{FOLDER / "files" / name: text for name, text in chart_data.files().items()},
    }


if __name__ == "__main__":
    for file, text in files().items():
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
