"""What a node has reported, or logged, about an image."""

import msgspec


class ImageFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The last that is known about an image on a node."""

    state: str
    """Value of an `Outcome`."""

    attempt: int = 0
    """Number of the latest attempt; 0 if unknown."""

    done_bytes: int = 0
    total_bytes: int = 0
    """Of an image that is pulled; 0 if unknown."""

    next_attempt: float = 0
    """Unix seconds, by the node's clock; 0 if unknown."""

    error: str = ""
    error_class: str = ""
    reason: str = ""
