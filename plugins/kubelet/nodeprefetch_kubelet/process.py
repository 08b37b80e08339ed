"""Runs one program: in a process group of its own that does not outlive the call, its output within bounds."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence

import trio

from nodeprefetch_kubelet.errors import KubeletProviderError

MAX_OUTPUT = 1 << 20
"""Bytes on stdout."""

PIPE_SIZE = 1 << 16
"""Bytes that a pipe holds."""

GRACE = 1.0
"""Seconds for the output to end when the program has: a child of it may hold the pipes open, for ever."""

_REAPED_WITHIN = 5.0
_REAP_PAUSE = 0.01


class Output:
    """What a program has written on stdout so far; there also when the call is cut."""

    def __init__(self) -> None:
        self.data = bytearray()

    @property
    def is_too_long(self) -> bool:
        """Whether it is more than anyone needs."""
        return len(self.data) > MAX_OUTPUT

    def add(self, data: bytes | bytearray) -> None:
        """What came next; nothing is kept beyond the first byte too many."""
        self.data += data[: MAX_OUTPUT + 1 - len(self.data)]


async def run_program(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    request: bytes,
    stdout: Output,
    stderr: Callable[[bytes | bytearray], None],
) -> None:
    """Run a program until it ends, and see its whole process group ended, whatever happens.

    Args:
        argv: the program's path and its arguments.
        env: its whole environment.
        request: what it can read on stdin, if it likes.
        stdout: gets what it writes.
        stderr: called with what it writes there.

    Raises:
        KubeletProviderError: it cannot be started, wrote too much, or did not end with status 0.
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
        raise KubeletProviderError(f"it wrote more than {MAX_OUTPUT} bytes, and was killed")
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
        hint = "the file, or the interpreter or loader that it names, does not exist here"
        raise KubeletProviderError(f"{argv[0]} cannot be started: {hint}") from error
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise KubeletProviderError(f"{argv[0]} cannot be started: {reason}") from error


async def _feed(stdin: trio.abc.SendStream, request: bytes) -> None:
    async with stdin:
        try:
            await stdin.send_all(request)
        except trio.BrokenResourceError:
            return  # it does not want to know


async def _collect(stream: trio.abc.ReceiveStream, stdout: Output, scope: trio.CancelScope) -> None:
    async for data in stream:
        stdout.add(data)
        if stdout.is_too_long:
            scope.cancel()


async def _drain(stream: trio.abc.ReceiveStream, stderr: Callable[[bytes | bytearray], None]) -> None:
    async for data in stream:
        stderr(data)


async def _exit_of(pid: int) -> None:
    """Wait until a child has ended, and leave it to be reaped: as long as it is not, its group's number is its own.

    In a thread, because pidfd_open is missing on kernels that nodes still have. One that is left waiting ends with
    the child.
    """
    await trio.to_thread.run_sync(
        os.waitid, os.P_PID, pid, os.WEXITED | os.WNOWAIT, abandon_on_cancel=True, limiter=trio.CapacityLimiter(1)
    )


async def _end_group(process: trio.Process, stderr: Callable[[bytes | bytearray], None]) -> None:
    """Kill what is left of the group before its leader is reaped, and take its last words. Nothing cuts it; bounded.

    Only a process that made a session of its own escapes.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):  # the second: it has become another user's
        os.killpg(process.pid, signal.SIGKILL)
    with trio.move_on_after(_REAPED_WITHIN, shield=True):
        await process.wait()
        # Orphans come to us if we are the container's first process. Else there are none of ours: init reaps them.
        while _orphan_is_left(process.pid):  # noqa: ASYNC110 - nobody tells when one has died
            await trio.sleep(_REAP_PAUSE)
    if isinstance(process.stderr, trio.lowlevel.FdStream):
        with contextlib.suppress(OSError):  # there is nothing left, or a child that escaped holds it open
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
        raise KubeletProviderError(f"it ended with exit status {status}")
    if status < 0:
        raise KubeletProviderError(f"it was killed by {_signal_name(-status)}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
