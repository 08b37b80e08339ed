"""One CRI call from a thread, by grpclib and not by the client under test; is a runtime ready?"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from grpclib.client import Channel
from grpclib.const import Cardinality
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError

_ANSWERS_WITHIN = 5.0
"""Seconds."""


class RawCodec(CodecBase):
    """Messages are bytes."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        """The message as it is."""
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> bytes:
        """The bytes as they are."""
        return data


def call_unary(socket: Path, method: str, request: bytes) -> bytes:
    """One unary call on a connection of its own; blocks this thread, also one in which Trio runs.

    Args:
        socket: a Unix socket.
        method: `/runtime.v1.RuntimeService/Version`.
        request: the encoded message.

    Returns:
        The encoded answer.

    Raises:
        GRPCError: the server's answer is an error.
        OSError: nobody is there, or they left.
    """
    with ThreadPoolExecutor(1) as thread:  # asyncio.run would take over the signals of the main thread
        return thread.submit(asyncio.run, _call(socket, method, request)).result()


def answers_cri(socket: Path) -> bool:
    """Whether a runtime is there and answers Version."""
    try:
        call_unary(socket, "/runtime.v1.RuntimeService/Version", b"")
    except (GRPCError, OSError):
        return False
    return True


async def _call(socket: Path, method: str, request: bytes) -> bytes:
    channel = Channel(path=str(socket), codec=RawCodec())
    try:
        async with channel.request(method, Cardinality.UNARY_UNARY, bytes, bytes) as stream:
            await stream.send_message(request, end=True)
            answer = await stream.recv_message()
    finally:
        channel.close()
    return answer or b""
