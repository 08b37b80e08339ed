"""The real console program as a subprocess: started in an environment of its own, watched by its log, always ended."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.support.containerd import Containerd
from tests.support.patience import PATIENCE

Line = dict[str, Any]
"""One line of the log."""

QUICK = {
    "log_format": "json",
    "overall_timeout": "50s",
    "initial_pull_attempt_delay": "200ms",
    "max_pull_attempt_delay": "1s",
}
"""How tests run `fetch` where they do not say otherwise."""


def flags(options: Mapping[str, object]) -> list[str]:
    """Options as a command line has them: `debug=True`, `image_list_file=["a", "b"]`, `cri_socket=None` (left out)."""
    arguments = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            arguments.append(flag)
        elif isinstance(value, list | tuple):
            arguments += [f"{flag}={each}" for each in value]
        elif value is not None:
            arguments.append(f"{flag}={value}")
    return arguments


def fetch_arguments(containerd: Containerd | None, images: Sequence[str], options: Mapping[str, object]) -> list[str]:
    """The arguments of a quick fetch through that containerd."""
    where = {"cri_socket": containerd.socket} if containerd else {}
    return ["fetch", *flags({**QUICK, **where, **options}), *images]


def matches(line: Line, message: str, fields: Mapping[str, object]) -> bool:
    return line["msg"] == message and all(line.get(name) == value for name, value in fields.items())


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What is left of a program."""

    code: int
    stdout: str
    stderr: str

    @property
    def log(self) -> list[Line]:
        return log_lines(self.stderr)

    def lines(self, message: str, **fields: object) -> list[Line]:
        """The lines with that message whose fields have these values."""
        return [line for line in self.log if matches(line, message, fields)]

    @property
    def outcomes(self) -> dict[str, str]:
        """Image to outcome, from the log."""
        return {line["image"]: line["msg"].removeprefix("image ") for line in self._results()}

    def result(self, image: str) -> Line:
        """The one line that says what became of the image."""
        (line,) = (line for line in self._results() if line["image"] == image)
        return line

    @property
    def summary(self) -> Line:
        """The last line."""
        return self.log[-1]

    def _results(self) -> list[Line]:
        words = {"image succeeded", "image present", "image failed"}
        return [line for line in self.log if line["msg"] in words]


def log_lines(stderr: str) -> list[Line]:
    return [json.loads(line) for line in stderr.splitlines() if line.startswith("{")]


def private_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Nothing of the caller's but what coverage needs to see this process too."""
    ours = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", **ours, **(environment or {})}


def command(arguments: Sequence[str]) -> list[str]:
    """The console program, as it is installed beside this Python."""
    return [str(Path(sys.executable).with_name("nodeprefetch")), *arguments]


class Program:
    """The program, running.

    Args:
        arguments: its command line.
        stdin: what it finds there.
        environment: added to a small one.
        prefix: a program and its arguments that start ours.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self._process = subprocess.Popen(
            [*prefix, *command(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=private_environment(environment),
            start_new_session=True,
        )
        assert self._process.stdin
        assert self._process.stdout
        assert self._process.stderr
        self._changed = threading.Condition()
        self._texts: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        self._readers = [
            threading.Thread(target=self._read, args=(stream, name), daemon=True)
            for stream, name in ((self._process.stdout, "stdout"), (self._process.stderr, "stderr"))
        ]
        for reader in self._readers:
            reader.start()
        self._process.stdin.write(stdin)
        self._process.stdin.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for(self, message: str, **fields: object) -> Line:
        """Block until such a line is in the log; it is returned."""

        def found(log: list[Line]) -> list[Line]:
            return [line for line in log if matches(line, message, fields)]

        return found(self.wait_until(lambda log: bool(found(log)), f"{message} {fields}"))[0]

    def wait_until(self, is_enough: Callable[[list[Line]], bool], what: str) -> list[Line]:
        """Block until the log satisfies the condition; the log is returned."""
        with self._changed:
            done = self._changed.wait_for(
                lambda: is_enough(self._log()) or not any(reader.is_alive() for reader in self._readers), PATIENCE
            )
            if done and is_enough(self._log()):
                return self._log()
        raise AssertionError(f"Not in the log: {what}. It says:\n{self._text('stderr')}")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self, within: float = PATIENCE) -> Ended:
        """Wait for its end."""
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"Did not end within {within} s. It says:\n{self._text('stderr')}") from None
        self._join()
        return Ended(code=self._process.returncode, stdout=self._text("stdout"), stderr=self._text("stderr"))

    def kill(self) -> None:
        """End it by force where it has not ended."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._join()

    def _join(self) -> None:
        for reader in self._readers:
            reader.join(PATIENCE)

    def _read(self, stream: IO[bytes], name: str) -> None:
        with stream:
            for line in stream:
                with self._changed:
                    self._texts[name].append(line)
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def _text(self, name: str) -> str:
        return b"".join(self._texts[name]).decode()

    def _log(self) -> list[Line]:
        return log_lines(self._text("stderr"))


def seconds_to_end(program: Program, number: signal.Signals) -> tuple[float, Ended]:
    """Send the signal and wait; how long that took."""
    sent = time.monotonic()
    program.send(number)
    ended = program.end()
    return time.monotonic() - sent, ended


Start = Callable[..., Program]
"""The fixture `start`: `start(*arguments, stdin=…, environment=…, prefix=…)`."""

StartFetch = Callable[..., Program]
"""The fixture `start_fetch`: `start_fetch(containerd, *images, how={…}, **options)`."""

RunHere = Callable[..., Ended]
"""The fixtures `run_here`: `run_here(*arguments)`, and `fetch_here`: `fetch_here(*images, **options)`."""

RunFetch = Callable[..., Ended]
"""The fixture `run_fetch`: as `start_fetch`, to its end."""
