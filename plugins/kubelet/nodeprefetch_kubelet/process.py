"""Runs one program with limited output, in its own process group, which does not outlive the call."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence

import trio

from nodeprefetch_kubelet.errors import KubeletProviderError

MAX_OUTPUT = 1 << 20
"""Maximum bytes on stdout."""

PIPE_SIZE = 1 << 16
"""The capacity of a pipe in bytes."""

GRACE = 1.0
"""Seconds to wait for the end of the output after the program exits: a child of it may hold the pipes open forever."""

_REAPED_WITHIN = 5.0
_REAP_PAUSE = 0.01


class Output:
    """What a program has written to stdout so far; available also if the call is cancelled."""

    def __init__(self) -> None:
        self.data = bytearray()

    @property
    def is_too_long(self) -> bool:
        """Whether it exceeds the limit."""
        return len(self.data) > MAX_OUTPUT

    def add(self, data: bytes | bytearray) -> None:
        """Append data, up to one byte more than the limit."""
        self.data += data[: MAX_OUTPUT + 1 - len(self.data)]


async def run_program(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    request: bytes,
    stdout: Output,
    stderr: Callable[[bytes | bytearray], None],
) -> None:
    """Run a program until it exits. Its whole process group is killed in any case.

    Args:
        argv: the program's path and arguments.
        env: its complete environment.
        request: its stdin, which it need not read.
        stdout: receives its stdout.
        stderr: called with each piece of its stderr.

    Raises:
        KubeletProviderError: it cannot be started, wrote too much, or did not exit with status 0.
    """
    process = await _start(argv, env)
    assert process.stdin and process.stdout and process.stderr  # noqa: PT018, S101 - all three are pipes
    try:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as pipes:
                pipes.start_soon(_feed, process.stdin, request)
                pipes.start_soon(_collect, process.stdout, stdout, scope)
                pipes.start_soon(_drain, process.stderr, stderr)
                await _exit_of(process.pid)
                scope.deadline = trio.current_time() + GRACE
    finally:
        await _end_group(process, stderr)
    if stdout.is_too_long:
        raise KubeletProviderError(f"killed after writing more than {MAX_OUTPUT} bytes")
    _judge(await process.wait())


async def _start(argv: Sequence[str], env: Mapping[str, str]) -> trio.Process:
    try:
        return await trio.lowlevel.open_process(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env),
            start_new_session=True,
        )
    except FileNotFoundError as error:
        hint = "the file, or the interpreter or loader that it needs, does not exist"
        raise KubeletProviderError(f"{argv[0]} cannot be started: {hint}") from error
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise KubeletProviderError(f"{argv[0]} cannot be started: {reason}") from error


async def _feed(stdin: trio.abc.SendStream, request: bytes) -> None:
    async with stdin:
        try:
            await stdin.send_all(request)
        except trio.BrokenResourceError:
            return  # the program does not read it


async def _collect(stream: trio.abc.ReceiveStream, stdout: Output, scope: trio.CancelScope) -> None:
    async for data in stream:
        stdout.add(data)
        if stdout.is_too_long:
            scope.cancel()


async def _drain(stream: trio.abc.ReceiveStream, stderr: Callable[[bytes | bytearray], None]) -> None:
    async for data in stream:
        stderr(data)


async def _exit_of(pid: int) -> None:
    """Wait until a child has exited, without reaping it: until then, no other group can have its ID.

    Waits in a thread, because kernels that nodes still have lack pidfd_open. An abandoned thread ends with the child.
    """
    await trio.to_thread.run_sync(
        os.waitid, os.P_PID, pid, os.WEXITED | os.WNOWAIT, abandon_on_cancel=True, limiter=trio.CapacityLimiter(1)
    )


async def _end_group(process: trio.Process, stderr: Callable[[bytes | bytearray], None]) -> None:
    """Kill the rest of the group before its leader is reaped, and read what is left on stderr.

    Shielded from cancellation, with a time limit. Only a process that has started its own session escapes.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):  # the second: it runs as another user now
        os.killpg(process.pid, signal.SIGKILL)
    with trio.move_on_after(_REAPED_WITHIN, shield=True):
        await process.wait()
        # Orphans become our children if we are the container's first process. Otherwise init reaps them.
        while _orphan_is_left(process.pid):  # noqa: ASYNC110 - there is no event to wait for
            await trio.sleep(_REAP_PAUSE)
    if isinstance(process.stderr, trio.lowlevel.FdStream):
        with contextlib.suppress(OSError):  # nothing is left, or an escaped process holds it open
            if left := os.read(process.stderr.fileno(), PIPE_SIZE):
                stderr(left)
    with trio.CancelScope(shield=True):
        for stream in filter(None, (process.stdin, process.stdout, process.stderr)):
            await trio.aclose_forcefully(stream)


def _orphan_is_left(group: int) -> bool:
    try:
        while os.waitpid(-group, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return False
    return True


def _judge(status: int) -> None:
    if status > 0:
        raise KubeletProviderError(f"exited with status {status}")
    if status < 0:
        raise KubeletProviderError(f"killed by {_signal_name(-status)}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
