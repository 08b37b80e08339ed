"""The aggregator's settings and bounds. Imports little, because `--help` loads it."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from nodeprefetch.tickets.growth import Growth


class AuthMode(StrEnum):
    """How submitters authenticate."""

    NONE = "none"
    """Not at all: restrict access by network policies."""

    TOKEN_FILE = "token-file"  # noqa: S105 - the name of a mode
    """With a shared token, which the aggregator reads from a file."""

    KUBERNETES = "kubernetes"
    """With a service account token, which the API server reviews (TokenReview)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """The limits of what the aggregator accepts. Beyond each it refuses and counts; it never takes more memory."""

    body: int = 4 << 20
    """Bytes of one request body as received, and of one gRPC message. 413, RESOURCE_EXHAUSTED."""

    decompressed: int = 16 << 20
    """Bytes of one body after decompression. 413."""

    in_flight: int = 64 << 20
    """Bytes of all bodies being received or stored at the same time. 429, UNAVAILABLE."""

    events: int = 10_000
    """Events in one request, and results of a gRPC call stored in one transaction. 413."""

    name: int = 512
    """Bytes of a node or instance name, a run ID, a version; characters of other IDs and of error classes. 400."""

    image: int = 1024
    """Bytes of an image name. 400."""

    text: int = 16 << 10
    """Characters of an error or other text. 400."""

    nodes: int = 10_000
    """Known nodes; retention removes those that no longer report. 429, RESOURCE_EXHAUSTED."""

    images: int = 10_000
    """Known image names. 429, RESOURCE_EXHAUSTED."""

    instances: int = 100
    """Known installations. 429, RESOURCE_EXHAUSTED."""

    runs: int = 200_000
    """Known runs. 429, RESOURCE_EXHAUSTED."""

    batches: int = 100
    """Batches in one request. 413."""

    states: int = 500_000
    """States kept, one for each image on each node and instance. 429, RESOURCE_EXHAUSTED."""

    connections: int = 2_400
    """Open connections on all ports. A new one replaces the one idle longest; if none is idle, 429."""

    streams: int = 10
    """Concurrent requests on one HTTP/2 connection. REFUSED_STREAM."""

    ticket_nodes: int = 50_000
    """Nodes that wait for a ticket, pull, or are warm, each once for each instance. 429."""

    readers: int = 100
    """Concurrent readers of the live stream. 429."""

    body_time: float = 30.0
    """Seconds to receive a whole body. 408, DEADLINE_EXCEEDED."""

    idle_time: float = 75.0
    """Seconds that a connection stays open without a request, or with an incomplete request head."""

    stuck_time: float = 30.0
    """Seconds for a client to read a part of a response; then the HTTP/2 stream is reset, or the connection closed."""

    backlog: int = 16 << 20
    """Bytes of events kept for readers of the live stream that reconnect."""

    retry_after: int = 5
    """Seconds in the Retry-After header of 429 and 503."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AggregatorSettings:
    """The settings of `aggregate`."""

    bind: str = "0.0.0.0"  # noqa: S104 - in a pod that is the pod's address
    """Address to listen on; IPv6 without brackets."""

    http_port: int = 8080
    """For queries and submissions; 0 picks a free port."""

    grpc_port: int = 8443
    """For submissions only, by HTTP and gRPC; 0 picks a free port."""

    data_dir: Path | None = None
    """Directory of the database; None: in memory, lost when the process ends."""

    retention: float = 24 * 3600
    """Seconds to keep everything after its arrival."""

    node_retention: float = 3 * 3600
    """Seconds after which a node is gone that has promised another report, and is silent; it may always miss three."""

    max_results: int | None = None
    """Maximum number of attempts kept, the newest; None: 1,000,000 with `data_dir`, 100,000 without."""

    tls_cert_file: Path | None = None
    """Certificate chain, PEM; read again when it changes. Enables TLS on both ports."""

    tls_key_file: Path | None = None
    """Private key of the certificate, PEM."""

    auth: AuthMode = AuthMode.NONE
    """Authentication for submissions."""

    auth_token_file: Path | None = None
    """For `token-file`: the token, surrounding whitespace ignored; read again when it changes."""

    auth_audience: str = "nodeprefetch"
    """For `kubernetes`: required token audience."""

    auth_service_account: str = ""
    """For `kubernetes`: `NAMESPACE:NAME` of the only service account allowed; empty: any valid token."""

    auth_read: bool = False
    """Require authentication for queries too, except for health checks."""

    pulling_nodes: int | None = None
    """How many nodes of an instance may pull at once; None: no limit."""

    pulling_nodes_file: Path | None = None
    """Has the limits of instances; read again when it changes."""

    growth: Growth = Growth.FIXED
    """How the number of nodes that pull develops."""

    debug: bool = False
    """Log each submission."""

    bounds: Bounds = field(default_factory=Bounds)
    """The limits of what is accepted."""

    @property
    def results_kept(self) -> int:
        """`max_results`, or its default."""
        if self.max_results is not None:
            return self.max_results
        return 100_000 if self.data_dir is None else 1_000_000
