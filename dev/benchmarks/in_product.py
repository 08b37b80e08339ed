"""Measure inside the program's own environment, and print seconds as JSON to standard error.

in_product.py list|calls|calls-grpclib SOCKET ROUNDS
"""

import asyncio
import json
import sys
import time
from typing import Any

import trio
from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.encoding.base import CodecBase

from nodeprefetch.rpc import cri, open_channel
from nodeprefetch.runtime.api import Inventory
from nodeprefetch.runtime.cri import CriImageService

AT_ONCE = 200


async def measure_list(socket: str, rounds: int) -> dict[str, list[float]]:
    """Time ListImages and processing its response."""
    call, decode = [], []
    async with open_channel(socket) as channel:
        service, images = CriImageService(channel), cri.ImageServiceStub(channel)
        reply = bytes(await images.list_images(cri.ListImagesRequest()))
        for _ in range(rounds):
            began = time.perf_counter()
            records = await service.list_images()
            call.append(time.perf_counter() - began)
            began = time.perf_counter()
            cri.ListImagesResponse.parse(reply)
            Inventory(records)
            decode.append(time.perf_counter() - began)
    return {"call": call, "decode": decode}


async def measure_calls(socket: str, rounds: int) -> dict[str, list[float]]:
    """200 calls at once on one channel."""
    seconds = []
    async with open_channel(socket) as channel:
        service = CriImageService(channel)
        await service.version()
        for _ in range(rounds):
            began = time.perf_counter()
            async with trio.open_nursery() as nursery:
                for _ in range(AT_ONCE):
                    nursery.start_soon(service.version)
            seconds.append(time.perf_counter() - began)
    return {"calls": seconds}


class Codec(CodecBase):
    """A codec that gives grpclib betterproto2's messages."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, _: object) -> bytes:
        """Encode a message."""
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> Any:
        """Decode a message."""
        return message_type.parse(data)


async def measure_grpclib(socket: str, rounds: int) -> dict[str, list[float]]:
    """Time the same calls with grpclib's client, without stubs: those are generated for nodeprefetch's channel."""
    seconds = []
    channel = Channel(path=socket, codec=Codec())
    version = UnaryUnaryMethod(channel, "/runtime.v1.RuntimeService/Version", cri.VersionRequest, cri.VersionResponse)
    await version(cri.VersionRequest())
    for _ in range(rounds):
        began = time.perf_counter()
        await asyncio.gather(*(version(cri.VersionRequest()) for _ in range(AT_ONCE)))
        seconds.append(time.perf_counter() - began)
    channel.close()
    return {"calls": seconds}


def main() -> None:
    """Measure and print."""
    what, socket, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    match what:
        case "list":
            found = trio.run(measure_list, socket, rounds)
        case "calls":
            found = trio.run(measure_calls, socket, rounds)
        case _:
            found = asyncio.run(measure_grpclib(socket, rounds))
    sys.stderr.write(json.dumps(found))


if __name__ == "__main__":
    main()
