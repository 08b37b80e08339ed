"""The Container Runtime Interface, runtime.v1: messages and stubs that dev/generate makes from proto/."""

from nodeprefetch.rpc._generated.runtime.v1 import *  # noqa: F403 (the generated list is the public one)
from nodeprefetch.rpc._generated.runtime.v1 import __all__ as __all__  # noqa: PLC0414
