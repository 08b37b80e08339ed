"""How the aggregator was told to serve, and its bounds: frozen, and light enough to be loaded for `--help`."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class AuthMode(StrEnum):
    """How a submitter proves who it is."""

    NONE = "none"
    """It need not: the network decides who can come."""

    TOKEN_FILE = "token-file"  # noqa: S105 - the name of a mode
    """It knows a secret that lies in a file here too."""

    KUBERNETES = "kubernetes"
    """It has a token of a service account, which the API server is asked about (TokenReview)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """How much the aggregator lets itself be given. Beyond each there is an answer and a counter, never more memory."""

    body: int = 4 << 20
    """Bytes of one request's body as it comes, and of one gRPC message. 413, RESOURCE_EXHAUSTED."""

    decompressed: int = 16 << 20
    """Bytes of one body after decompression. 413."""

    in_flight: int = 64 << 20
    """Bytes of all bodies that are being received or stored at one moment. 429, UNAVAILABLE."""

    events: int = 10_000
    """Events in one request, and results of one gRPC call that are stored as one. 413."""

    name: int = 512
    """Bytes of the name of a node or instance, of a run's ID and version; characters of other IDs, of a class. 400."""

    image: int = 1024
    """Bytes of an image's name. 400."""

    text: int = 16 << 10
    """Characters of an error or another text. 400."""

    nodes: int = 10_000
    """Nodes known at one moment; retention forgets those that say nothing more. 429, RESOURCE_EXHAUSTED."""

    images: int = 10_000
    """Names of images known at one moment. 429, RESOURCE_EXHAUSTED."""

    instances: int = 100
    """Installations known at one moment. 429, RESOURCE_EXHAUSTED."""

    runs: int = 200_000
    """Runs known at one moment. 429, RESOURCE_EXHAUSTED."""

    batches: int = 100
    """Batches in one request. 413."""

    states: int = 500_000
    """Images on nodes (instance, node and image) whose state is kept. 429, RESOURCE_EXHAUSTED."""

    connections: int = 2_000
    """Open connections on all ports. For the next one that has been idle longest is closed; where none is, 429."""

    streams: int = 10
    """Requests at once on one HTTP/2 connection. REFUSED_STREAM."""

    readers: int = 100
    """Readers of the live stream at one moment. 429."""

    body_time: float = 30.0
    """Seconds for a whole body to come in. 408, DEADLINE_EXCEEDED."""

    idle_time: float = 75.0
    """Seconds that a connection may stay open without a request, or with half a request's head; then it is closed."""

    stuck_time: float = 30.0
    """Seconds for a client to take a part of an answer; then the HTTP/2 stream is reset, the connection closed."""

    backlog: int = 16 << 20
    """Bytes of events kept for readers of the live stream that come back."""

    retry_after: int = 5
    """Seconds that a 429 or 503 asks a client to wait."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AggregatorSettings:
    """How `aggregate` serves."""

    bind: str = "0.0.0.0"  # noqa: S104 - in a pod that is the pod's address
    """The address to listen on; IPv6 without brackets."""

    http_port: int = 8080
    """For reading and for submission; 0: any free one."""

    grpc_port: int = 8443
    """For submission alone, our stream and gRPC; 0: any free one."""

    data_dir: Path | None = None
    """Where the database lies; None: in memory, and gone with the process."""

    retention: float = 24 * 3600
    """Seconds after its arrival until something is forgotten."""

    max_results: int | None = None
    """How many attempts are kept, the newest; None: 1,000,000 with `data_dir`, 100,000 without."""

    tls_cert_file: Path | None = None
    """Certificate chain, PEM; read again when it changes. Both ports then speak TLS."""

    tls_key_file: Path | None = None
    """Its private key, PEM."""

    auth: AuthMode = AuthMode.NONE
    """What submission needs."""

    auth_token_file: Path | None = None
    """For `token-file`: the token, blanks around it ignored; read again when it changes."""

    auth_audience: str = "nodeprefetch"
    """For `kubernetes`: whom the token must be meant for."""

    auth_service_account: str = ""
    """For `kubernetes`: `namespace:name` of the one that may submit; empty: any that the API server knows."""

    auth_read: bool = False
    """Reading needs what submission needs. Health checks never do."""

    debug: bool = False
    """Tell of each submission."""

    bounds: Bounds = field(default_factory=Bounds)
    """What is too much."""

    @property
    def results_kept(self) -> int:
        """`max_results`, or its default."""
        if self.max_results is not None:
            return self.max_results
        return 100_000 if self.data_dir is None else 1_000_000
