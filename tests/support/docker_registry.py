"""A registry of our own that is a real one: Debian's docker-registry, its files in one directory."""

import re
from pathlib import Path

from nodeprefetch.testing.images import Image, Index
from tests.support.ports import free_port
from tests.support.publish import push
from tests.support.spawn import Background, Daemon, DaemonError, find_program

_LISTENS = re.compile(r"listening on 127\.0\.0\.1:(\d+)")

_CONFIG = """\
version: 0.1
log: {{level: info, formatter: text}}
storage:
  filesystem: {{rootdirectory: '{storage}'}}
  delete: {{enabled: true}}
http:
  addr: 127.0.0.1:{port}
  secret: not-one
"""

_AUTH = """\
auth:
  htpasswd: {{realm: nodeprefetch, path: '{path}'}}
"""


class DockerRegistry(Background):
    """A docker-registry on 127.0.0.1; a context manager. Speaks plain HTTP.

    Args:
        directory: for its configuration, log and images.
        htpasswd: the text of a password file with bcrypt hashes; without it, no login is wanted.

    Raises:
        DaemonError: the program is missing.
    """

    def __init__(self, directory: Path, *, htpasswd: str | None = None) -> None:
        program = find_program("docker-registry")
        if program is None:
            raise DaemonError("docker-registry not found (Debian package: docker-registry)")
        self._program = program
        self._directory = directory.absolute()
        self._htpasswd = htpasswd
        self._port = free_port()
        self._daemon: Daemon | None = None
        self.log = self._directory / "registry.log"

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`, the registry part of image names."""
        return f"127.0.0.1:{self._port}"

    @property
    def log_text(self) -> str:
        """All that it has logged, from the first start on."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def start(self) -> None:
        """Start it, and wait until it listens.

        Raises:
            DaemonError: it ended, or did not get ready.
        """
        if self._daemon is not None and self._daemon.is_running:
            return
        seen = len(self.log_text)
        self._write_config()
        command = [self._program, "serve", str(self._config)]
        self._daemon = Daemon(command, self.log, {})
        self._daemon.wait_until(lambda: _LISTENS.search(self.log_text, seen) is not None)

    def stop(self) -> None:
        """End it; what was pushed stays."""
        if self._daemon is not None:
            self._daemon.stop()

    def restart(self) -> None:
        """End it, and start it on the same port."""
        self.stop()
        self.start()

    def push(self, name: str, image: Image | Index, *, username: str = "", password: str = "") -> str:
        """Push an image; see `tests.support.publish.push`.

        Args:
            name: `team/app:1`, without the registry.
            image: what to push.
            username: for a registry that wants a login.
            password: the password to it.

        Returns:
            The whole name, for a runtime: `127.0.0.1:PORT/team/app:1`.
        """
        whole = f"{self.address}/{name}"
        push(image, whole, username=username, password=password)
        return whole

    @property
    def _config(self) -> Path:
        return self._directory / "registry.yml"

    def _write_config(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        text = _CONFIG.format(storage=self._directory / "storage", port=self._port)
        if self._htpasswd is not None:
            passwords = self._directory / "htpasswd"
            passwords.write_text(self._htpasswd)
            text += _AUTH.format(path=passwords)
        self._config.write_text(text)
