"""Attacks on inputs of `fetch`: lists and secrets that are FIFOs, endless, huge, deep or full of control characters."""

import base64
import json
import os
from pathlib import Path

from hostile_runs.attack import Run, attack
from hostile_runs.fetching import fetch, list_file, small_memory
from tests.support.cri_server import FakeCriServer

WRONG_USAGE = 2
QUICK = ("--overall-timeout=5s", "--runtime-wait=2s", "--log-format=logfmt")


def _short_lists(run: Run) -> list[str]:
    base = run.directory
    os.mkfifo(base / "fifo")
    (base / "control").write_text("a:1\n\x1b]0;pwned\x07\n\u202e:1\n")
    (base / "line").write_text("a" * (10 << 20))
    (base / "bad").write_text("%%%\n" * 250_000)
    (base / "loop").symlink_to(base / "loop")
    (base / "latin").write_bytes(b"\xff\xfe\n")
    return [str(base / name) for name in ("fifo", "control", "line", "bad", "loop", "latin")] + [
        "/dev/zero",
        "/proc/self/mem",
        "/dev/tty",
        "/",
    ]


@attack("inputs", "lists that are FIFOs, /dev/zero, /proc/self/mem, one line of 10 MiB, bad lines, control characters")
def odd_lists(run: Run) -> None:
    """Rejected at once, with few lines."""
    socket = run.directory / "s.sock"
    with FakeCriServer(socket, otherwise="sha256:1"):
        for path in _short_lists(run):
            ended = fetch(run, f"--cri-socket={socket}", f"--image-list-file={path}", *QUICK, patience=20)
            run.expect(
                ended.code == WRONG_USAGE,
                f"{Path(path).name or path} exited with {ended.code} after {ended.seconds:.0f} s",
            )
            run.expect(len(ended.err) < 100_000, f"{Path(path).name} prints {len(ended.err) >> 10} KiB")
            run.expect(
                not {"\x1b", "\x07", "\u202e"} & {*ended.err}, f"{Path(path).name} prints raw control characters"
            )
    small_memory(run)


@attack("inputs", "pull secrets that are FIFOs, endless, deep, huge, links to themselves")
def odd_secrets(run: Run) -> None:
    """Rejected with a message or ignored, at once; no secret is printed."""
    base, socket = run.directory, run.directory / "s.sock"
    os.mkfifo(base / "fifo")
    (base / "loop").symlink_to(base / "loop")
    (base / "deep").write_text('{"auths": ' + '{"a": ' * 500_000)
    (base / "large").write_text(
        json.dumps({"auths": {f"r{n}.test": {"auth": base64.b64encode(b"u:SECRET-1").decode()} for n in range(14_000)}})
    )
    (base / "odd").write_text(
        json.dumps(
            {"auths": {"\x1b[2J": {"auth": "SECRET-2"}, "": 5, "a": {"auth": None}, "b": {"username": ["SECRET-3"]}}}
        )
    )
    (base / "cut").write_text('{"auths": {"r.test": {"auth": "SECRET-4')
    (base / "mounted").mkdir()
    os.mkfifo(base / "mounted" / ".dockerconfigjson")
    with FakeCriServer(socket, otherwise="sha256:1"):
        for name in ("fifo", "loop", "deep", "large", "odd", "cut", "mounted", "/dev/zero", "/proc/self/mem"):
            ended = fetch(run, f"--cri-socket={socket}", f"--docker-config={base / name}", *QUICK, "a:1", patience=20)
            run.expect(
                ended.code in (0, 1, WRONG_USAGE), f"{name} exited with {ended.code} after {ended.seconds:.0f} s"
            )
            run.expect("SECRET" not in ended.text, f"{name}: a secret is printed")
            run.expect("\x1b" not in ended.err, f"{name} prints raw control characters")
    small_memory(run)


@attack("inputs", "lists of 10,000 and 50,000 names")
def long_lists(run: Run) -> None:
    """Pulled within the manifest's memory limit, or rejected with the number."""
    socket = run.directory / "s.sock"
    with FakeCriServer(socket, otherwise="sha256:1"):
        for count in (10_000, 50_000):
            names = [f"r.test/a{number}:1" for number in range(count)]
            ended = fetch(
                run,
                f"--cri-socket={socket}",
                list_file(run, names),
                "--overall-timeout=20s",
                "--max-parallel-pulls=50",
                patience=45,
            )
            run.expect(ended.code is not None, f"{count} names: it does not exit")
            run.expect(
                ended.code != WRONG_USAGE or any(digit.isdigit() for digit in ended.err),
                f"{count} names: refused without a number",
            )
    small_memory(run)
