"""gRPC on Trio: a channel, the errors of its calls; `nodeprefetch.rpc.cri` has the messages and stubs.

async with open_channel("unix:///run/containerd/containerd.sock") as channel:
    reply = await cri.ImageServiceStub(channel).list_images(cri.ListImagesRequest())
"""

from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError

from nodeprefetch.rpc.channel import MAX_MESSAGE, Channel, open_channel
from nodeprefetch.rpc.message import Message
from nodeprefetch.rpc.stream import Stream
from nodeprefetch.rpc.stub import ServiceStub

__all__ = [
    "MAX_MESSAGE",
    "Cardinality",
    "Channel",
    "GRPCError",
    "Message",
    "ServiceStub",
    "Status",
    "Stream",
    "open_channel",
]
