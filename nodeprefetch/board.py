"""The board: all nodes of an installation with all their images, as the aggregator serves it (`GET /v1/board`).

The page and the commands for people read nothing else. JSON, or server-sent events: one message `board`, then at most
one `change` per second.
"""

import msgspec

WAITING, PULLING, SUCCEEDED, PRESENT, FAILED, UNLISTED = "wpsrf-"
"""Characters of `BoardNode.cells`; `-`: this node's list does not have the image."""


class BoardCause(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why an image is missing on some nodes."""

    image: str
    error_class: str
    reason: str
    error: str
    """Of one of the nodes: one line without secrets."""

    nodes: int
    examples: tuple[str, ...] = ()
    """Names of at most ten of these nodes."""

    is_final: bool = False
    """The nodes have given up in their latest runs; otherwise they retry."""


class BoardImage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An image of the list."""

    image: str
    size: int = 0
    """Bytes as reported by the runtime; 0 if unknown."""

    missing: int = 0
    """Nodes whose list has it and that do not have it."""

    digests: int = 0
    """Different digests of its tag on the nodes."""


class BoardNode(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A node, and the state of each image on it."""

    node: str
    state: str
    """As in `/v1/status`: `failed`, `pulling`, `waiting`, `succeeded` or `present`."""

    cells: str
    """One character for each of `Board.images`."""

    shares: dict[str, int] = {}
    """Percent of the bytes that are on the node, by index of the image; only of those that are pulled."""

    final: tuple[int, ...] = ()
    """Indexes of the images that failed for good: its run has ended, and the class of their last error is `permanent`,
    `refused` or `no-space`."""

    list_digest: str = ""
    """Of its list (`values.image_list.list_digest`); empty if unknown."""

    heard: float = 0
    """Unix seconds of the latest news, by the aggregator's clock."""

    run_started: float = 0
    """Unix seconds, by the node's clock; 0 if unknown."""

    run_end: str = ""
    """Value of a `RunEnd`; empty while the run is in progress."""

    done_bytes: int = 0
    """Of the images that are pulled."""

    total_bytes: int = 0
    """0: the runtime does not report totals, and `done_bytes` is what has come so far."""

    rate: int = 0
    """Bytes per second."""

    gave_up: bool = False
    """It takes pods although images are missing (`--gate-timeout`)."""

    list_rejected: str = ""
    """The first problem of its newest lists, which it does not use."""

    zone: str = ""
    pool: str = ""
    created: float = 0
    """Unix seconds, of the node object; 0 if unknown."""


class BoardSummary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The board in a few numbers."""

    nodes: dict[str, int] = {}
    """Numbers of nodes by their states."""

    gone: int = 0
    """Nodes that are not heard of any more."""

    done_bytes: int = 0
    total_bytes: int = 0
    rate: int = 0
    seconds_left: int | None = None
    """Until the nodes that pull are done, at their current rates; None: unknown."""


class Board(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All of an installation at one moment."""

    at: float
    """Unix seconds, by the aggregator's clock."""

    instance: str
    instances: tuple[str, ...]
    """All that the aggregator knows."""

    summary: BoardSummary
    images: tuple[BoardImage, ...]
    """In the order of the newest list, then those of other lists; at most 1,000."""

    images_left_out: int = 0
    """Images that are not shown. Nodes have the states that all their images give them."""

    nodes: tuple[BoardNode, ...]
    causes: tuple[BoardCause, ...]
    """Those of the most nodes first; at most 100."""


class BoardChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What has changed since the last message. If one image has changed, all are sent again; so are causes."""

    at: float
    summary: BoardSummary
    nodes: tuple[BoardNode, ...] = ()
    """Those that have changed, whole."""

    removed: tuple[str, ...] = ()
    """Names of nodes."""

    images: tuple[BoardImage, ...] | None = None
    """The same ones: if their order or number changes, a whole `Board` is sent instead, as it is if `instances` do."""

    causes: tuple[BoardCause, ...] | None = None


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A finished pull attempt (`GET /v1/attempts`)."""

    node: str
    image: str
    attempt: int
    """Counts from 1 for each image and run."""

    started_at: float
    """Unix seconds, by the node's clock."""

    duration: float
    """Seconds."""

    limit: float = 0
    """Timeout in seconds; 0 if unknown."""

    run_id: str = ""
    size: int = 0
    digest: str = ""
    credential: str = ""
    """Source and key, never a secret; empty if anonymous."""

    error: str = ""
    """Empty on success."""

    error_class: str = ""
    reason: str = ""
