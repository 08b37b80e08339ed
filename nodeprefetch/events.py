"""The events of a run: one tagged union, the same in the process and on the wire, and the readers that get them.

Everything that tells somebody something (log, live table, later the submitter and the node label) is a reader of
these events; nobody is told anything in another way.
"""

import time
from collections.abc import Callable
from enum import StrEnum

import msgspec

from nodeprefetch.settings import PullPolicy


class Outcome(StrEnum):
    """What became of an image. The last three are final."""

    WAITING = "waiting"
    PULLING = "pulling"
    SUCCEEDED = "succeeded"
    PRESENT = "present"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Nothing changes it any more in this run."""
        return self not in {Outcome.WAITING, Outcome.PULLING}


class RunEnd(StrEnum):
    """Why a run ended."""

    FINISHED = "finished"
    """Every image has its outcome."""

    TIMED_OUT = "timed-out"
    """The overall timeout cut it."""

    STOPPED = "stopped"
    """A signal cut it."""

    NO_RUNTIME = "no-runtime"
    """No container runtime answered, so that nothing could be pulled."""


class Phase(StrEnum):
    """What a pull is at, where it can be seen."""

    RESOLVING = "resolving"
    """The registry is asked what the name stands for."""

    DOWNLOADING = "downloading"
    UNPACKING = "unpacking"
    """All bytes are there."""


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", omit_defaults=True):
    """What all events have."""

    at: float = msgspec.field(default_factory=time.time)
    """When it happened, Unix seconds. Durations are never computed from this: that clock may be set."""


class RunStarted(Event, frozen=True, kw_only=True, tag="run_started"):
    """The runtime answered, the images it holds are known, pulls begin."""

    run_id: str
    node: str
    """Name of the node (`NODE_NAME`), else the host's."""

    version: str
    """Version of this program."""

    runtime: str
    """Who serves the CRI socket, and its version: `containerd 1.6.20`."""

    socket: str
    images: tuple[str, ...]
    """As the user wrote them, in the list's order, each once."""

    instance: str = ""
    """Name of the installation (`INSTANCE_NAME`), empty when there is none."""


class AttemptStarted(Event, frozen=True, kw_only=True, tag="attempt_started"):
    """One PullImage call begins, with one credential under one limit."""

    attempt_id: str
    image: str
    attempt: int
    """1 for the image's first."""

    limit: float
    """Seconds after which the attempt is cut; where its progress is seen: seconds without any movement."""

    credential: str = ""
    """Source and key of the credential, never a secret; empty when anonymous."""


class AttemptFinished(Event, frozen=True, kw_only=True, tag="attempt_finished"):
    """That call ended."""

    attempt_id: str
    image: str
    attempt: int
    started_at: float
    """Unix seconds."""

    duration: float
    """Seconds."""

    limit: float
    credential: str = ""
    error: str = ""
    """Empty when the image is there. Free of secrets, one line."""

    error_class: str = ""
    """`passing`, `permanent`, `refused`, `no-space`, `runtime-gone`, `cancelled`; empty without an error."""

    reason: str = ""
    """A word of few: `not_found`, `unauthorized`, `timeout` (cut by the clock on the wall), `stalled` (cut because
    nothing moved), …"""

    image_id: str = ""
    size: int = 0
    """Bytes, as the runtime says (see `ImageRecord.size`); 0 when not known."""

    digest: str = ""
    """Digest of the manifest or index pulled; empty when not known."""


class Progress(Event, frozen=True, kw_only=True, tag="progress"):
    """How far a pull is: at most one a second and image, when something changed, and one when it is complete."""

    attempt_id: str
    image: str
    phase: Phase
    done_bytes: int = 0
    """Of layers, as they are transferred, with those that were there before. Never less than before, unless the name
    has come to stand for another image."""

    total_bytes: int = 0
    """Of all layers; 0: not known yet."""

    rate: int = 0
    """Bytes a second, over the last ten seconds."""


class CredentialsMatched(Event, frozen=True, kw_only=True, tag="credentials_matched"):
    """Which credentials match an image, for `--debug`; told at the end of a round of attempts."""

    image: str
    credentials: tuple[str, ...]
    """Source, key and kind of each, in the order of sources. Never a secret, nor a user name."""

    complete: bool
    """False: some source did not answer."""


class RetryPlanned(Event, frozen=True, kw_only=True, tag="retry_planned"):
    """The image waits before its next attempt."""

    image: str
    delay: float
    """Seconds."""


class RuntimeLost(Event, frozen=True, kw_only=True, tag="runtime_lost"):
    """The runtime stopped answering; pulls wait for it."""

    error: str


class RuntimeReturned(Event, frozen=True, kw_only=True, tag="runtime_returned"):
    """The runtime answers again; pulls go on."""

    after: float
    """Seconds it was away."""


class ImageFinished(Event, frozen=True, kw_only=True, tag="image_finished"):
    """An image has its final outcome."""

    image: str
    outcome: Outcome
    policy: PullPolicy
    attempts: int
    elapsed: float
    """Seconds since the run began."""

    error: str = ""
    error_class: str = ""
    reason: str = ""
    image_id: str = ""
    size: int = 0
    digest: str = ""


class ImagesListed(Event, frozen=True, kw_only=True, tag="images_listed"):
    """What the runtime holds, for `--debug`."""

    when: str
    """`before` or `after` the pulls."""

    images: tuple[str, ...]
    error: str = ""


class Notice(Event, frozen=True, kw_only=True, tag="notice"):
    """Something people should know that belongs to no image: what did not work and is not needed."""

    message: str
    is_warning: bool = True
    """False: good to find in a log, and nothing to look into."""


class NodeLabelled(Event, frozen=True, kw_only=True, tag="node_labelled"):
    """The node's label was written, or was to be. May come after `RunFinished`."""

    key: str
    """`prefix/name`."""

    value: str = ""
    """`succeeded` or `failed`; empty when it was taken away, as what it said is no longer so."""

    error: str = ""
    """Empty when it is written. Free of secrets, one line."""


class RunFinished(Event, frozen=True, kw_only=True, tag="run_finished"):
    """Every image has an outcome."""

    run_id: str
    end: RunEnd
    succeeded: int
    present: int
    failed: int
    elapsed: float
    """Seconds."""


AnyEvent = (
    RunStarted
    | AttemptStarted
    | AttemptFinished
    | Progress
    | CredentialsMatched
    | RetryPlanned
    | RuntimeLost
    | RuntimeReturned
    | ImageFinished
    | ImagesListed
    | Notice
    | NodeLabelled
    | RunFinished
)
"""Every event, told apart by its tag: what a decoder is made for."""


class Batch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Events of one run on their way to an aggregator, as msgpack or JSON. A batch may arrive more than once."""

    run_id: str
    node: str
    """The node's real name."""

    version: str
    """Of the program that ran."""

    events: tuple[AnyEvent, ...]
    instance: str = ""


Reader = Callable[[Event], None]
"""Who is told. Called in the order of events, from the one thread of Trio; must not block. `Emitter` isolates one that
raises."""


class Emitter:
    """Tells every reader every event. One that raises harms neither the caller nor the others; a notice names it, once.

    Args:
        readers: told in this order.
    """

    def __init__(self, *readers: Reader) -> None:
        self._readers = list(readers)
        self._raised: list[Reader] = []

    def add(self, reader: Reader) -> None:
        """Tell this one too, after the others."""
        self._readers.append(reader)

    def add_first(self, reader: Reader) -> None:
        """Tell this one too, before the others."""
        self._readers.insert(0, reader)

    def __call__(self, event: Event) -> None:
        """Tell it to all. Does not raise."""
        for reader in self._readers:
            try:
                reader(event)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with a reader, pulls go on
                self._warn(reader, event, error)

    def _warn(self, reader: Reader, event: Event, error: Exception) -> None:
        if reader not in self._raised:
            self._raised.append(reader)
            name = getattr(reader, "__qualname__", type(reader).__qualname__).partition(".")[0]
            about = type(event).__name__
            self(Notice(message=f"{name} failed at {about}, the run continues: {where_raised(error)}"))


def where_raised(error: BaseException) -> str:
    """The error's class, and the line that raised it. Not its text, which may be anything."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    file = trace.tb_frame.f_code.co_filename.rpartition("/")[2]
    return f"{type(error).__name__} in {file}, line {trace.tb_lineno}"


class Notices:
    """Takes what people should know, from any thread, and keeps it until there is a reader."""

    def __init__(self) -> None:
        self._kept: list[Notice] = []
        self._emit: Reader | None = None

    def add(self, text: str) -> None:
        """One more that people should look into."""
        self._take(Notice(message=text))

    def info(self, text: str) -> None:
        """One more for the record."""
        self._take(Notice(message=text, is_warning=False))

    def pass_to(self, emit: Reader) -> None:
        """From now on a reader hears them; what was kept, at once."""
        self._emit = emit
        for notice in self._kept:
            emit(notice)
        self._kept.clear()

    def _take(self, notice: Notice) -> None:
        if self._emit is None:
            self._kept.append(notice)
        else:
            self._emit(notice)
