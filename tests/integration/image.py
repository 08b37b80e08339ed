"""The image as `dev/image` builds it, unpacked, and containers of it by runc: no network, nothing to write to."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.integration.program import Ended
from tests.support.patience import PATIENCE
from tests.support.spawn import find_program

ROOT = Path(__file__).parents[2]
NOBODY = 65532
_PACKAGES = ("buildah", "mmdebstrap", "skopeo", "umoci", "runc")


def need_image() -> None:
    """Skip where none can be built or run; or fail, where the services have been promised."""
    missing = [name for name in _PACKAGES if find_program(name) is None]
    reason = f"not installed (Debian packages): {', '.join(missing)}" if missing else ""
    if os.geteuid():
        reason = "the image needs root"
    if reason and os.environ.get("NODEPREFETCH_REQUIRE_SERVICES") == "1":
        pytest.fail(f"NODEPREFETCH_REQUIRE_SERVICES is set, but: {reason}", pytrace=False)
    if reason:
        pytest.skip(reason)


def run(*command: str | Path) -> str:
    """Run a program; its standard output."""
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert 0 == ended.returncode, f"{command}: {ended.stderr}{ended.stdout}"
    return ended.stdout


@cache
def archive(*variant: str) -> Path:
    """The OCI archive; built where it has not been."""
    need_image()
    return Path(run("dev/image", *variant).splitlines()[-1])


def inspect(path: Path, *what: str) -> dict[str, Any]:
    """What skopeo tells of an OCI archive."""
    found: dict[str, Any] = json.loads(run("skopeo", "inspect", *what, f"oci-archive:{path}"))
    return found


@dataclass(frozen=True, kw_only=True)
class Unpacked:
    """An image, unpacked for runc."""

    directory: Path
    configuration: dict[str, Any] = field(repr=False)

    @property
    def rootfs(self) -> Path:
        return self.directory / "rootfs"

    @property
    def files(self) -> list[Path]:
        """All regular files, as paths in the image without the leading slash."""
        return sorted(
            path.relative_to(self.rootfs) for path in self.rootfs.rglob("*") if path.is_file() and not path.is_symlink()
        )

    def state(self) -> dict[str, tuple[int, int]]:
        """Every path, with size and time of change."""
        return {str(path): ((status := path.lstat()).st_size, status.st_mtime_ns) for path in self.rootfs.rglob("*")}


def unpack(path: Path, directory: Path) -> Unpacked:
    """Unpack an OCI archive."""
    directory.mkdir(exist_ok=True)
    layout = directory / "layout"
    run("skopeo", "copy", "--quiet", f"oci-archive:{path}", f"oci:{layout}:it")
    run("umoci", "unpack", "--image", f"{layout}:it", directory / "bundle")
    shutil.rmtree(layout)
    configuration = json.loads((directory / "bundle" / "config.json").read_text())
    return Unpacked(directory=directory / "bundle", configuration=configuration)


class Container:
    """A container of the image, as a strict pod has it; a context manager, at the end of which it is gone.

    Its root is read-only, it has no capabilities and a network namespace with a loopback interface alone.

    Args:
        image: what it runs.
        arguments: after the entry point.
        user: its user and group; without it the image's own.
        mounts: path in the container to the directory or file of the host.
        environment: added to the image's.
        network_of: use this container's network in place of its own.
    """

    def __init__(
        self,
        image: Unpacked,
        *arguments: str | Path,
        user: int | None = None,
        mounts: Mapping[str, Path] | None = None,
        environment: Mapping[str, str] | None = None,
        network_of: "Container | None" = None,
    ) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="npf-"))
        self._name = self._directory.name
        configuration = json.loads(json.dumps(image.configuration))
        process = configuration["process"]
        process |= {"terminal": False, "capabilities": {}, "args": [*process["args"], *map(str, arguments)]}
        process["env"] += [f"{name}={value}" for name, value in (environment or {}).items()]
        if user is not None:
            process["user"] = {"uid": user, "gid": user}
        configuration["root"] = {"path": str(image.rootfs), "readonly": True}
        configuration["mounts"] += [
            {"destination": place, "source": str(source), "type": "none", "options": ["bind", "rw"]}
            for place, source in (mounts or {}).items()
        ]
        if network_of is not None:
            (network,) = (each for each in configuration["linux"]["namespaces"] if each["type"] == "network")
            network["path"] = f"/proc/{network_of.pid}/ns/net"
        (self._directory / "config.json").write_text(json.dumps(configuration))
        self._output = {name: self._directory / name for name in ("stdout", "stderr")}
        with self._output["stdout"].open("wb") as stdout, self._output["stderr"].open("wb") as stderr:
            self._process = subprocess.Popen(
                [*self._runc, "run", "--pid-file", self._pid_file, "--bundle", self._directory, self._name],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._wait_for_pid()  # else there is nothing yet to be deleted
        subprocess.run([*self._runc, "delete", "--force", self._name], capture_output=True, check=False)
        self._process.wait(PATIENCE)
        shutil.rmtree(self._directory)

    @property
    def stderr(self) -> str:
        return self._output["stderr"].read_text()

    @property
    def pid(self) -> int:
        """Of its first process, as the host counts; waits until there is one."""
        self._wait_for_pid()
        return int(self._pid_file.read_text())

    @property
    def status(self) -> dict[str, str]:
        """/proc/PID/status."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def wait_until(self, is_so: Callable[[], bool], what: str) -> None:
        """Block until it is so."""
        end = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < end, f"Not seen: {what}. It says:\n{self.stderr}"
            assert self._process.poll() is None, f"It ended. It says:\n{self.stderr}"
            time.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its first process."""
        self._wait_for_pid()
        run(*self._runc, "kill", self._name, str(int(number)))

    def execute(self, *command: str) -> None:
        """Run another process in it, to its end."""
        self._wait_for_pid()
        run(*self._runc, "exec", self._name, *command)

    def end(self) -> Ended:
        """Wait for its end."""
        code = self._process.wait(PATIENCE)
        return Ended(code=code, stdout=self._output["stdout"].read_text(), stderr=self.stderr)

    def curl(self, url: str) -> tuple[int, str]:
        """Ask an address inside of its network: status and body; status 0 when nothing answers."""
        command = [
            "nsenter",
            f"--net=/proc/{self.pid}/ns/net",
            "curl",
            "--silent",
            "--write-out",
            "\n%{http_code}",
            url,
        ]
        body, _, status = subprocess.run(command, capture_output=True, text=True, check=False).stdout.rpartition("\n")
        return int(status), body

    def _wait_for_pid(self) -> None:
        end = time.monotonic() + PATIENCE
        while not (self._pid_file.exists() and self._pid_file.read_text()) and self._process.poll() is None:
            assert time.monotonic() < end, f"It did not start. It says:\n{self.stderr}"
            time.sleep(0.01)

    @property
    def _pid_file(self) -> Path:
        return self._directory / "pid"

    @property
    def _runc(self) -> Sequence[str]:
        return [find_program("runc") or "runc", "--root", str(self._directory / "runc")]


def run_container(image: Unpacked, *arguments: str | Path, **how: Any) -> Ended:
    """A container, to its end."""
    with Container(image, *arguments, **how) as container:
        return container.end()
