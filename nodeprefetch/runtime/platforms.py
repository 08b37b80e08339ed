"""For which platform an image is, and whether this node runs its programs."""

import platform

import msgspec

_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "armv6l": "arm",
    "i386": "386",
    "i686": "386",
    "loongarch64": "loong64",
}
"""Go's names of architectures, by the kernel's. The others have one name: `ppc64le`, `s390x`, `riscv64`."""

_ALSO_RUN = {"amd64": {"386"}, "arm64": {"arm"}}
"""Other architectures whose programs the processor runs as well."""


class _Platform(msgspec.Struct):
    """Of an image config; https://github.com/opencontainers/image-spec/blob/main/config.md."""

    architecture: str = ""
    os: str = ""


_decode = msgspec.json.Decoder(_Platform).decode


def node_architecture() -> str:
    """Return the architecture of this node, as images name it."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def foreign_platform(config: bytes, node: str) -> str:
    """Return the platform of an image whose programs a node does not run, `linux/arm64`; else an empty text.

    Args:
        config: of the image. Without a platform, or as a WebAssembly module, it is not foreign.
        node: architecture of the node, which runs Linux.
    """
    try:
        image = _decode(config)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    if not image.architecture or image.os not in {"linux", "windows"} or image.architecture == "wasm":
        return ""
    is_native = image.os == "linux" and image.architecture in {node, *_ALSO_RUN.get(node, ())}
    return "" if is_native else f"{image.os}/{image.architecture}"
