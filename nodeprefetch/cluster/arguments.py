"""What a container of the DaemonSet was told: its command line and environment, as far as the commands need them."""

from collections.abc import Callable, Mapping, Sequence

import msgspec


class PullArguments(msgspec.Struct, frozen=True, kw_only=True):
    """Flags of `fetch` or `keep`."""

    list_files: tuple[str, ...]
    """Paths in the container."""

    images: tuple[str, ...]
    """Given as arguments."""

    label_prefix: str
    metrics_endpoint: str
    """Empty: no aggregator."""

    remove_taints: tuple[str, ...] = ()
    """Startup taints, as the flags name them."""

    is_keep: bool = False


ArgumentParser = Callable[[Sequence[str], Mapping[str, str]], PullArguments]
"""Parses the words of a container (command and arguments) and its variables.

Raises:
    UsageError: they are not understood.
"""
