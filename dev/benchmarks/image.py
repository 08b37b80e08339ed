"""Compare startup and memory of the program in the image and installed by pip."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import MEBIBYTE, Figure, mebibytes, milliseconds, ratio
from benchmarks.processes import memory_when_it_says, run
from benchmarks.startup import fetch
from benchmarks.surroundings import FakeRuntime, Surroundings

_ROUNDS = 15
_PROGRAM = "/usr/bin/nodeprefetch"
_PULLED = "registry.example.com/app:latest"
"""With this tag, the image is always pulled."""


def image(around: Surroundings) -> Iterator[Figure]:
    """Measure by chroot into the unpacked image, without a container runtime's own startup."""
    built = subprocess.run(["dev/image"], capture_output=True, text=True, check=False)
    if built.returncode:
        around.left_out.append(f"the image: {built.stderr.splitlines()[-1]}")
        return
    archive = Path(built.stdout.splitlines()[-1])
    root = _unpack(archive, around.directory / "image")
    yield Figure(
        name="archive of the image", unit="MiB", values=(archive.stat().st_size / MEBIBYTE,), goal=18e6 / MEBIBYTE
    )

    inside = ["chroot", str(root), _PROGRAM]
    outside = around.product.program
    runtime = around.fake_runtime(held=20)
    versions, bare, pulls, bare_pulls = [], [], [], []
    with FakeRuntime(root / "run" / "cri.sock", held=20) as mounted:
        for _ in range(_ROUNDS):
            versions.append(run([*inside, "--version"]).seconds)
            bare.append(run([outside, "--version"]).seconds)
            whole = run([*inside, "fetch", "--cri-socket", "/run/cri.sock", _PULLED])
            pulls.append(mounted.pulls()[0] - whole.began)
            whole = run(fetch(around, runtime.socket, _PULLED))
            bare_pulls.append(runtime.pulls()[0] - whole.began)
        peaks = [run([*inside, "fetch", "--cri-socket", "/run/cri.sock", _PULLED], watch=True).peak for _ in range(5)]
    bare_peaks = [run(fetch(around, runtime.socket, _PULLED), watch=True).peak for _ in range(5)]
    yield (ours := milliseconds("--version in the image", versions))
    yield (other := milliseconds("  installed by pip", bare))
    yield ratio("  image / pip", ours, other)
    yield (ours := milliseconds("start to first PullImage in the image", pulls))
    yield (other := milliseconds("  installed by pip", bare_pulls))
    yield ratio("  image / pip", ours, other)
    yield mebibytes(
        "memory of sleep in the image", [memory_when_it_says([*inside, "sleep"], "Sleeping") for _ in range(5)], goal=8
    )
    yield mebibytes("  installed by pip", [memory_when_it_says([outside, "sleep"], "Sleeping") for _ in range(5)])
    yield mebibytes("memory of fetch, one image, in the image", peaks)
    yield mebibytes("  installed by pip", bare_peaks)


def _unpack(archive: Path, place: Path) -> Path:
    """Unpack the image and return its root."""
    place.mkdir()
    for command in (
        ["skopeo", "copy", "--quiet", f"oci-archive:{archive}", f"oci:{place}/layout:it"],
        ["umoci", "unpack", "--image", f"{place}/layout:it", f"{place}/bundle"],
    ):
        subprocess.run(command, check=True, capture_output=True)
    root = place / "bundle" / "rootfs"
    for directory in ("dev", "run"):
        (root / directory).mkdir(exist_ok=True)
    (root / "dev" / "null").touch()
    return root
