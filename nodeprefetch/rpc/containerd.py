"""containerd's own API, a module for each of its services: messages and stubs that dev/generate makes from proto/.

Each is loaded when it is first used (2 to 3 ms): most runs need one or two of them, and none before the first pull.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nodeprefetch.rpc._generated.containerd import types
    from nodeprefetch.rpc._generated.containerd.services.content import v1 as content
    from nodeprefetch.rpc._generated.containerd.services.images import v1 as images
    from nodeprefetch.rpc._generated.containerd.services.leases import v1 as leases

__all__ = ["content", "images", "leases", "types"]

_GENERATED = "nodeprefetch.rpc._generated.containerd"


def __getattr__(name: str) -> ModuleType:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{_GENERATED}.types" if name == "types" else f"{_GENERATED}.services.{name}.v1")
