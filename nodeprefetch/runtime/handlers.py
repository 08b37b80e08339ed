"""Runtime handlers, as RuntimeClasses name them: their snapshotters, for which images are unpacked (KEP-4216).

containerd unpacks an image for one snapshotter at a time. Without a sandbox, or before version 2.3, it ignores the
handler that a pull names, and CRI does not say whether an image was unpacked for a handler.
"""

import posixpath

import msgspec

from nodeprefetch.errors import UsageError
from nodeprefetch.rpc import Channel, cri
from nodeprefetch.runtime.api import RuntimeVersion
from nodeprefetch.runtime.errors import mapped_errors

_FIRST = (2, 3)
"""The version of containerd that pulls for a handler."""

_DIRECTORY = "io.containerd.snapshotter.v1."
"""How the directory of a built-in snapshotter begins; its name follows."""


class _Handler(msgspec.Struct):
    snapshotter: str = ""


class _Handlers(msgspec.Struct):
    runtimes: dict[str, _Handler] = {}


class _Config(msgspec.Struct):
    """The part of the configuration of containerd's CRI plugin that is used, as Status returns it."""

    containerd: _Handlers = msgspec.field(default_factory=_Handlers)


async def snapshotter_of(handler: str, version: RuntimeVersion, channel: Channel) -> str:
    """Return the snapshotter of a runtime handler; empty: not known.

    Args:
        handler: its name.
        version: of the runtime.
        channel: connection to the runtime.

    Raises:
        UsageError: the runtime does not know this handler, or does not pull for handlers.
        RuntimeFaultError: the runtime is unavailable, or returned an error.
    """
    if version.name != "containerd" or version.release < _FIRST:
        text = f"{version.name} {version.version} does not pull for a runtime handler, only containerd 2.3 and newer do"
        raise UsageError([f"--runtime-handler: {text} (remove the flag)"])
    with mapped_errors():
        status = await cri.RuntimeServiceStub(channel).status(cri.StatusRequest(verbose=True))
    known = sorted(one.name for one in status.runtime_handlers if one.name)
    if handler not in known:
        raise UsageError(
            [f"--runtime-handler: {handler!r} not found in containerd (known: {', '.join(known) or 'none'})"]
        )
    try:
        config = msgspec.json.decode(status.info.get("config", "{}"), type=_Config)
    except msgspec.DecodeError:
        return ""
    own = config.containerd.runtimes.get(handler, _Handler()).snapshotter
    return own or await _default_snapshotter(channel)


async def _default_snapshotter(channel: Channel) -> str:
    """Return the name in the path of the first image file system, which is the default snapshotter's."""
    with mapped_errors():
        reply = await cri.ImageServiceStub(channel).image_fs_info(cri.ImageFsInfoRequest())
    first = reply.image_filesystems[0].fs_id if reply.image_filesystems else None
    name = posixpath.basename(first.mountpoint) if first is not None else ""
    return name.removeprefix(_DIRECTORY) if name.startswith(_DIRECTORY) else ""
