"""What is in the image, and what is not."""

import json
import re
from pathlib import Path

import pytest

from nodeprefetch import __version__
from tests.integration.image import ROOT, Unpacked, archive, inspect, need_image, run, run_container, unpack

pytestmark = [pytest.mark.image, pytest.mark.slow]

SBOM = "usr/share/sbom/nodeprefetch.cdx.json"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    return unpack(archive(), tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def distro(tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    return unpack(archive("--distro"), tmp_path_factory.mktemp("distro"))


def components(image: Unpacked) -> dict[str, str]:
    """Package URL without version and qualifiers, to version."""
    document = json.loads((image.rootfs / SBOM).read_text())
    return {part["purl"].partition("@")[0]: part["version"] for part in document["components"]}


def test_it_is_small() -> None:
    """At most 18 MB are downloaded; our own code is the last layer, and less than 1 MB of it."""
    sizes = [layer["size"] for layer in inspect(archive(), "--raw")["layers"]]

    assert sum(sizes) <= 18_000_000
    assert 5 == len(sizes)
    assert sizes[-1] < 1_000_000


def test_it_says_what_it_is() -> None:
    labels = inspect(archive())["Labels"]
    annotations = inspect(archive(), "--raw")["annotations"]

    names = ("title", "description", "licenses", "source", "documentation", "version", "revision")
    expected = {f"org.opencontainers.image.{name}" for name in names}
    assert expected <= set(labels)
    assert {name: labels[name] for name in expected} == {name: annotations[name] for name in expected}
    assert ("Apache-2.0", __version__) == tuple(
        labels[f"org.opencontainers.image.{name}"] for name in ("licenses", "version")
    )


def test_it_is_run_by_nobody() -> None:
    config = inspect(archive(), "--config")["config"]

    assert "65532:65532" == config["User"]
    assert ["/usr/bin/nodeprefetch"] == config["Entrypoint"]


def test_its_modules_are_bytecode_alone(image: Unpacked) -> None:
    suffixes = {path.suffix for path in image.files}

    assert ".pyc" in suffixes
    assert suffixes.isdisjoint({".py", ".pyi", ".c", ".h", ".a"})
    assert [] == [path for path in image.files if "__pycache__" in path.parts]


def test_it_has_no_program_but_python_and_ours(image: Unpacked) -> None:
    """No shell, no package manager, no pip: what is not there need not be kept up to date."""
    programs = {str(path) for path in image.files if {"bin", "sbin"}.intersection(path.parts)}

    python = programs - {"usr/bin/nodeprefetch"}
    assert 1 == len(python)
    assert re.fullmatch(r"usr/local/bin/python3\.\d+", python.pop())
    assert "usr/bin/nodeprefetch" in programs


def test_nobody_may_write_in_it_but_in_tmp(image: Unpacked) -> None:
    writable = [
        str(path.relative_to(image.rootfs))
        for path in image.rootfs.rglob("*")
        if not path.is_symlink() and (path.stat().st_mode & 0o022 or path.stat().st_uid)
    ]

    assert ["tmp"] == writable


def test_nothing_of_the_build_machine_is_in_it(image: Unpacked) -> None:
    words = [str(ROOT).encode(), b"/installed/"]

    assert [] == [path for path in image.files for word in words if word in (image.rootfs / path).read_bytes()]


def test_its_bill_of_materials_is_valid(image: Unpacked) -> None:
    from cyclonedx.schema import SchemaVersion  # noqa: PLC0415 - takes seconds, also where no image is tested
    from cyclonedx.validation.json import JsonStrictValidator  # noqa: PLC0415

    text = (image.rootfs / SBOM).read_text()

    assert None is JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert ("nodeprefetch", __version__) == (
        (main := json.loads(text)["metadata"]["component"])["name"],
        main["version"],
    )


def test_its_bill_of_materials_is_whole(image: Unpacked) -> None:
    """Every distribution that is there, in the version that the requirements name; the C library, OpenSSL, SQLite."""
    listed = components(image)
    metadata = [path for path in image.files if path.name == "METADATA"]
    there = {
        re.sub(r"[-_.]+", "-", name).lower(): version
        for name, _, version in (path.parent.name.removesuffix(".dist-info").rpartition("-") for path in metadata)
    }
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "dev/requirements/run.txt").read_text(), re.MULTILINE))

    assert __version__ == there.pop("nodeprefetch")
    assert there == {purl.removeprefix("pkg:pypi/"): version for purl, version in listed.items() if "pypi" in purl}
    assert there == {name: locked[name] for name in there}
    assert {"pip", "hatchling", "pluggy"}.isdisjoint(there)
    assert {"libc6", "libssl3", "libsqlite3-0", "zlib1g", "ca-certificates"} <= {
        purl.removeprefix("pkg:deb/debian/") for purl in listed
    }


def test_the_licences_of_everything_are_in_it(image: Unpacked) -> None:
    documents = [path for path in image.files if re.match(r"(?i)licen[cs]e|copying|copyright", path.name)]
    folders = {part for path in documents for part in path.parts}

    packages = {purl.removeprefix("pkg:deb/debian/") for purl in components(image) if "deb/" in purl}
    assert set() == packages - folders
    metadata = [path.parent for path in image.files if path.name == "METADATA"]
    without = [path.name for path in metadata if not any(path in document.parents for document in documents)]
    assert [] == [name for name in without if not name.startswith(("betterproto2-", "nodeprefetch-"))]
    assert Path("usr/share/doc/betterproto2/LICENSE") in documents  # its wheel has none
    assert Path("usr/share/doc/nodeprefetch/LICENSE") in documents


def test_the_variant_has_a_distribution_around_it(distro: Unpacked) -> None:
    ended = run_container(distro, "--version")

    assert (0, f"{__version__}\n") == (ended.code, ended.stdout), ended.stderr
    assert (distro.rootfs / "bin/sh").exists()
    assert (distro.rootfs / "etc/debian_version").exists()


def test_the_variant_leaves_the_distribution_s_own_files_alone(distro: Unpacked) -> None:
    """Their sums are what its package manager knows."""
    changed = run("chroot", distro.rootfs, "dpkg", "--verify", "libc6", "zlib1g", "libbz2-1.0", "libssl3")

    assert [] == [line for line in changed.splitlines() if "/usr/share/" not in line]


def test_it_is_not_built_twice() -> None:
    need_image()
    archive()

    said = run("dev/image")

    assert "dev: the image is up to date" in said.splitlines()
