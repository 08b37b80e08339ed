"""A containerd of our own: its files in one directory, its CRI on one socket, no network for containers."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.cri_probe import answers_cri
from tests.support.spawn import Background, Daemon, DaemonError, find_program

_LONGEST_SOCKET = 100
"""Bytes; Linux allows 107, and containerd has a second socket with `.ttrpc` appended."""

_COMMON = """\
version = {version}
root = "{root}"
state = "{directory}/state"
imports = []
oom_score = 0

[grpc]
address = "{socket}"

[debug]
level = "debug"

[plugins."io.containerd.internal.v1.opt"]
path = "{directory}/opt"

[plugins."io.containerd.grpc.v1.cri"]
stream_server_address = "127.0.0.1"
stream_server_port = "0"
"""

_VERSION_1 = """\
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"

[plugins."io.containerd.grpc.v1.cri".cni]
conf_dir = "{directory}/cni"
bin_dir = "{directory}/cni"

[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{directory}/hosts"
"""

_VERSION_2 = """\
[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"

[plugins."io.containerd.cri.v1.images".registry]
config_path = "{directory}/hosts"

[plugins."io.containerd.cri.v1.runtime".cni]
conf_dir = "{directory}/cni"
bin_dirs = ["{directory}/cni"]
"""


class Containerd(Background):
    """A containerd; a context manager. Needs root.

    Args:
        directory: for its socket, state, configuration and log, and unless said otherwise for its root. Its
            path must be short, being part of the socket's.
        root: where images are kept; for example on a small tmpfs, to fill it up.
        binary: the program; the one installed by default. Version 1 and 2 are understood.
        extra_config: TOML, appended to the configuration.
        environment: for the daemon, in place of ours.

    Raises:
        DaemonError: the program is missing, or the directory's path is too long.
    """

    def __init__(
        self,
        directory: Path,
        *,
        root: Path | None = None,
        binary: Path | str | None = None,
        extra_config: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        program = str(binary) if binary else find_program("containerd")
        if program is None:
            raise DaemonError("containerd not found (Debian package: containerd)")
        self._program = program
        self._directory = directory.absolute()
        self._root = (root or self._directory / "root").absolute()
        self._environment = dict(environment or {})
        self._daemon: Daemon | None = None
        self.socket = self._directory / "containerd.sock"
        self.log = self._directory / "containerd.log"
        if len(os.fsencode(self.socket)) > _LONGEST_SOCKET:
            raise DaemonError(f"The path of {self.socket} is too long for a socket.")
        self._write_config(extra_config)

    def __exit__(self, *failure: object) -> None:
        super().__exit__(*failure)
        self._unmount()

    @property
    def version(self) -> str:
        """What the program says it is: `1.6.20~ds1`."""
        words = subprocess.run([self._program, "--version"], capture_output=True, text=True, check=True).stdout
        match = re.match(r"containerd \S+ v?(\d\S*)", words)
        if match is None:
            raise DaemonError(f"{self._program} --version says {words!r}.")
        return match[1]

    @property
    def pid(self) -> int | None:
        """Its process ID; None when it does not run."""
        return self._daemon.pid if self._daemon and self._daemon.is_running else None

    @property
    def log_text(self) -> str:
        """All that it has logged, at level debug, from the first start on."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def start(self) -> None:
        """Start it, and wait until its CRI answers.

        Raises:
            DaemonError: it ended, or did not get ready.
        """
        if self.pid is not None:
            return
        command = [self._program, "--config", str(self._config)]
        self._daemon = Daemon(command, self.log, self._environment)
        self._daemon.wait_until(lambda: answers_cri(self.socket))

    def stop(self) -> None:
        """End it in order, or else by force."""
        if self._daemon is not None:
            self._daemon.stop()

    def kill(self) -> None:
        """End it by SIGKILL, as a crash would. Its socket's file stays behind."""
        if self._daemon is not None:
            self._daemon.kill()

    def restart(self) -> None:
        """End it in order, and start it on the same socket."""
        self.stop()
        self.start()

    def ctr(self, *arguments: str) -> str:
        """Run `ctr` in CRI's namespace; its standard output.

        Raises:
            DaemonError: it failed; the text has what it wrote.
        """
        beside = Path(self._program).with_name("ctr")
        program = str(beside) if beside.exists() else find_program("ctr") or "ctr"
        command = [program, "--address", str(self.socket), "--namespace", "k8s.io", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise DaemonError(f"ctr {' '.join(arguments)}: {done.stderr or done.stdout}")
        return done.stdout

    def use_registry(self, host: str, url: str, *, ca: Path | None = None) -> None:
        """Tell CRI where a registry really is. No restart is needed.

        Version 1 then tries this registry twice, also where its own rules would let it try once.

        Args:
            host: the registry part of image names, `registry.test:5000`.
            url: where it answers, `http://127.0.0.1:40000`.
            ca: certificates to trust for it.
        """
        directory = self._directory / "hosts" / host
        directory.mkdir(parents=True, exist_ok=True)
        trust = [f'ca = "{ca.absolute()}"'] if ca else []
        lines = [f'server = "{url}"', *trust]
        if self.version.startswith("1."):
            lines += [f'[host."{url}"]', *trust]  # 1.6 reads no file without such a table
        (directory / "hosts.toml").write_text("\n".join(lines) + "\n")

    @property
    def _config(self) -> Path:
        return self._directory / "containerd.toml"

    def _write_config(self, extra: str) -> None:
        is_first = self.version.startswith("1.")
        text = (_COMMON + (_VERSION_1 if is_first else _VERSION_2)).format(
            version=2 if is_first else 3, directory=self._directory, root=self._root, socket=self.socket
        )
        for directory in (self._directory, self._root, self._directory / "cni", self._directory / "hosts"):
            directory.mkdir(parents=True, exist_ok=True)
        self._config.write_text(f"{text}\n{extra}")

    def _unmount(self) -> None:
        """Take away what a killed containerd left mounted while it unpacked."""
        for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            point = line.split()[4]
            if any(point.startswith(f"{place}/") for place in (self._directory, self._root)):
                subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)
