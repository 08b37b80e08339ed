"""Run attacks by name, each in its own process with a timeout (for dev/hostile)."""

import argparse
import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import hostile_runs
from hostile_runs.attack import ATTACKS, Known, Run
from hostile_runs.table import Result, table

LONGEST = 150.0
"""Timeout of an attack in seconds; exceeding it is a failure."""


def main() -> int:
    """Run the chosen attacks. Return the exit code."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    parser = argparse.ArgumentParser(prog="dev/hostile", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="attacks or groups; default: all")
    parser.add_argument("--list", action="store_true", help="list the attacks")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for theme in pkgutil.iter_modules(hostile_runs.__path__, "hostile_runs."):
        importlib.import_module(theme.name)
    if options.one:
        _run_here(ATTACKS[options.one])
        return 0
    chosen = [known for known in ATTACKS.values() if not options.names or {known.name, known.group} & {*options.names}]
    unknown = {*options.names} - {name for known in chosen for name in (known.name, known.group)}
    if unknown:
        parser.error(f"unknown attack: {', '.join(sorted(unknown))} (see --list)")
    if options.list:
        print("\n".join(f"{known.name:40} {known.does}" for known in chosen))
        return 0
    return _run_all(chosen)


def _run_all(chosen: Sequence[Known]) -> int:
    results: list[Result] = []
    try:
        for known in chosen:
            print(f"hostile: {known.name}", file=sys.stderr, flush=True)
            results.append(_run(known))
            if results[-1].failures:
                print(f"hostile: {known.name} FAILED: {'; '.join(results[-1].failures)}", file=sys.stderr, flush=True)
    finally:
        print(table(results))
        failed = sum(1 for result in results if result.failures)
        print(f"{len(results)} of {len(chosen)} attacks, {failed} failed")
    return 1 if failed or len(results) < len(chosen) else 0


def _run(known: Known) -> Result:
    """Run it in its own process group, which ends with this process."""
    began = time.monotonic()
    command = [sys.executable, __file__, "--one", known.name]
    with (
        tempfile.TemporaryDirectory(prefix="npf-", ignore_cleanup_errors=True) as directory,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
    ):
        process = subprocess.Popen(
            command, stdout=out, stderr=err, env={**os.environ, "TMPDIR": directory}, start_new_session=True
        )
        try:
            code: int | None = process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
            _unmount(directory)
        out.seek(0), err.seek(0)
        said, complained = out.read(), err.read()
    taken = time.monotonic() - began
    if code == 0 and said:
        return Result(name=known.name, does=known.does, seconds=taken, **json.loads(said.splitlines()[-1]))
    why = f"timed out after {LONGEST:.0f} s" if code is None else f"crashed: {complained.strip()[-300:]}"
    return Result(name=known.name, does=known.does, seconds=taken, failures=[why])


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill the attack and its child processes; the kernel ends programs in their own sessions."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def _unmount(directory: str) -> None:
    """Unmount what a killed attack left mounted."""
    for line in Path("/proc/mounts").read_text("utf-8").splitlines():
        if (target := line.split()[1]).startswith(directory):
            subprocess.run(["umount", "--lazy", target], check=False)


def _run_here(known: Known) -> None:
    run = Run(directory=Path(tempfile.mkdtemp()))
    try:
        known.attack(run)
    except Exception as error:  # noqa: BLE001 - the other attacks must go on
        traceback.print_exc()
        run.failures.append(f"{type(error).__name__}: {str(error)[:200]}")
    seen = {"count": run.count, "rss": run.rss, "health": run.health, "failures": run.failures}
    print(json.dumps(seen), flush=True)
    os._exit(0)  # without waiting for threads that wait for responses


if __name__ == "__main__":
    sys.exit(main())
