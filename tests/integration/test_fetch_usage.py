"""Invalid input is reported all at once, with exit code 2, before anything is done and without a runtime."""

import os
from pathlib import Path

import pytest

from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry
from tests.integration.program import Ended, RunFetch, RunHere, StartFetch
from tests.support.containerd import Containerd

NOBODY = 65534


def said(ended: Ended) -> list[str]:
    """The messages to the user: one line each, and nothing else is written."""
    assert "" == ended.stdout
    lines = ended.stderr.splitlines()
    assert all(line.startswith("nodeprefetch: ") for line in lines), ended.stderr
    return [line.removeprefix("nodeprefetch: ") for line in lines]


def test_all_bad_lines_are_named_and_nothing_is_pulled(
    fake_registry: FakeRegistry, fetch_here: RunHere, tmp_path: Path
) -> None:
    good = fake_registry.add("usage/app:1", make_image())
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text(f"{good}\n# comment\nregistry.test/UPPER:1\n\nregistry.test/app:bad tag # really\n")
    two.write_text(f"{good}\nhttp://registry.test/app\n")

    ended = fetch_here("also:bad:1", cri_socket=tmp_path / "none", image_list_file=[one, two])

    assert 2 == ended.code
    places = [f"{one}:3: ", f"{one}:5: ", f"{two}:2: ", "argument 1: "]
    assert len(places) == len(said(ended))
    for place, line in zip(places, said(ended), strict=True):
        assert line.startswith(place)
    assert 0 == len(fake_registry.requests)


@pytest.mark.containerd
def test_bad_lines_pull_nothing_also_where_a_runtime_is(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch
) -> None:
    good = fake_registry.add("usage/good:1", make_image(seed="usage good"))

    ended = run_fetch(containerd, good, "registry.test/UPPER:1")

    assert (2, 1) == (ended.code, len(said(ended)))
    assert 0 == len(fake_registry.requests)


def test_every_list_that_cannot_be_read_is_named(fetch_here: RunHere, tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"app:1\n\0\n")

    ended = fetch_here(image_list_file=[tmp_path / "none.txt", tmp_path, binary])

    assert 2 == ended.code
    none, folder, nul = said(ended)
    assert f"{tmp_path}/none.txt: cannot be read: No such file or directory" == none
    assert f"{tmp_path}: cannot be read: Is a directory" == folder
    assert nul.startswith(f"{binary}:2: ")


def test_a_list_without_permission_is_named(
    start_fetch: StartFetch, without_privileges: tuple[str, ...], tmp_path: Path
) -> None:
    path = tmp_path / "images.txt"
    path.write_text("registry.test/app:1\n")
    path.chmod(0o600)
    os.chown(path, NOBODY, NOBODY)

    ended = start_fetch(None, image_list_file=path, how={"prefix": without_privileges}).end()

    assert (2, [f"{path}: cannot be read: Permission denied"]) == (ended.code, said(ended))


@pytest.mark.parametrize("text", ["", "# nothing\n\n"])
def test_an_empty_list_is_an_error(fetch_here: RunHere, tmp_path: Path, text: str) -> None:
    (tmp_path / "images.txt").write_text(text)

    ended = fetch_here(image_list_file=tmp_path / "images.txt")

    assert 2 == ended.code
    assert "contains no images" in said(ended)[0]


def test_no_image_at_all_is_an_error(fetch_here: RunHere) -> None:
    assert 2 == fetch_here().code


def test_flags_lists_and_secrets_are_all_checked_before_anything_is_said(fetch_here: RunHere, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{password: hunter2")

    ended = fetch_here(
        "UPPER",
        overall_timeout="ten",
        max_parallel_pulls=-1,
        docker_config=tmp_path / "config.json",
        image_list_file=tmp_path / "none.txt",
    )

    text = "\n".join(said(ended))
    assert 2 == ended.code
    for part in ("--overall-timeout", "--max-parallel-pulls", "none.txt", "argument 1", "config.json: not JSON"):
        assert part in text
    assert "hunter2" not in ended.stderr


def test_a_docker_config_that_is_not_there_is_an_error(fetch_here: RunHere, tmp_path: Path) -> None:
    ended = fetch_here("app:1", docker_config=tmp_path / "none.json")

    assert 2 == ended.code
    assert [f"docker-config {tmp_path}/none.json: cannot be read: No such file or directory"] == said(ended)


@pytest.mark.parametrize("arguments", [["fetch", "--no-such-flag", "app:1"], ["no-such-command"]])
def test_what_is_no_command_or_flag_is_an_error(run_here: RunHere, arguments: list[str]) -> None:
    ended = run_here(*arguments)

    assert 2 == ended.code
    assert arguments[-1 if len(arguments) == 1 else 1] in said(ended)[0]
