"""Which images `discover` finds in manifests of the kinds that people have."""

from pathlib import Path

import pytest

from nodeprefetch.__main__ import main
from nodeprefetch.cli.commands import run
from nodeprefetch.values.image_list import decode_image_list

MANIFESTS = Path(__file__).parents[1] / "manifests"
FILES = sorted(path for path in MANIFESTS.iterdir() if path.suffix in {".yaml", ".json"})


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_all_images_are_found_and_nothing_else(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == run(["discover", "--guess", str(file)])

    assert file.with_suffix(".txt").read_text() == capsys.readouterr().out


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_is_printed_is_a_list_for_fetch(file: Path) -> None:
    expected = file.with_suffix(".txt")
    read = decode_image_list(expected.read_bytes(), origin="")

    assert () == read.problems
    assert [line.split()[0] for line in expected.read_text().splitlines()] == [ref.text for ref in read.refs]


def test_without_guess_there_are_no_guesses(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == run(["discover", *map(str, FILES)])

    lines = capsys.readouterr().out.splitlines()
    expected = {line.split()[0] for file in FILES for line in file.with_suffix(".txt").read_text().splitlines()
                if "guessed" not in line}  # fmt: skip
    assert expected == {line.split()[0] for line in lines}
    assert "guessed" not in "".join(lines)
    assert lines == sorted(lines)


def test_a_directory_has_all_files_below_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pod = "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: 'r.test/%s:1'}]}}"
    for name in ("a.yaml", "b/c.YML", "b/d.json", ".git/e.yaml", "notes.txt", "b/.f.yaml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(pod % path.stem.strip(".").lower())

    assert 0 == run(["discover", str(tmp_path)])
    assert ["r.test/a:1", "r.test/c:1", "r.test/d:1"] == [
        line.split()[0] for line in capsys.readouterr().out.splitlines()
    ]


def test_the_program_has_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["nodeprefetch", "discover", str(MANIFESTS / "live.json")])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert "registry.example.com/backup:2" in capsys.readouterr().out
