"""Errors of the container runtime: the exceptions, and their classes by gRPC status and text."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import trio

from nodeprefetch.errors import (
    ConnectionLostError,
    NodeprefetchError,
    NotConnectedError,
    ProtocolViolationError,
    RpcError,
)
from nodeprefetch.rpc import GRPCError
from nodeprefetch.runtime.faults import Fault, FaultClass
from nodeprefetch.values.duration import format_duration

__all__ = ["Fault", "FaultClass", "RuntimeFaultError", "RuntimeTimeoutError", "answered_within", "classify"]

_GONE = Fault(kind=FaultClass.RUNTIME_GONE, reason="runtime_gone")
_UNKNOWN = Fault(kind=FaultClass.PASSING, reason="unknown")
_TIMEOUT = Fault(kind=FaultClass.PASSING, reason="timeout")

_WHATEVER_THE_TEXT = {
    # Our own cancellations never get here, so it was the runtime or the registry.
    "CANCELLED": Fault(kind=FaultClass.PASSING, reason="cancelled"),
    "DEADLINE_EXCEEDED": _TIMEOUT,
}
_WITHOUT_A_KNOWN_TEXT = {
    "NOT_FOUND": Fault(kind=FaultClass.PERMANENT, reason="not_found", missing=True),
    "UNAUTHENTICATED": Fault(kind=FaultClass.REFUSED, reason="unauthorized"),
    "PERMISSION_DENIED": Fault(kind=FaultClass.REFUSED, reason="denied"),
    "INVALID_ARGUMENT": Fault(kind=FaultClass.PERMANENT, reason="invalid_argument"),
    # The socket does not serve CRI, or not this method.
    "UNIMPLEMENTED": Fault(kind=FaultClass.PERMANENT, reason="unimplemented"),
    "RESOURCE_EXHAUSTED": Fault(kind=FaultClass.PASSING, reason="resource_exhausted"),
    "INTERNAL": Fault(kind=FaultClass.PASSING, reason="runtime_error"),
    "UNAVAILABLE": _GONE,
}
_TOO_LARGE = "grpc: received message larger than max"


def classify(code: str, text: str) -> Fault:
    """Classify an error of the runtime.

    A known text decides, else the status code. Unknown errors are retried: an attempt too many is better than a
    missing image. Image names and server messages in the text decide nothing, see `pull_errors`. Takes time in
    proportion to the length of the text.

    Args:
        code: name of the gRPC status: `UNKNOWN`, `NOT_FOUND` …
        text: the status message.
    """
    fault = _WHATEVER_THE_TEXT.get(code)
    if fault is not None:
        return fault
    if code == "RESOURCE_EXHAUSTED" and text.startswith(_TOO_LARGE):
        return Fault(kind=FaultClass.PERMANENT, reason="message_too_large")
    # Loaded with the first fault, which most runs never see: compiling the patterns takes 10 ms.
    from nodeprefetch.runtime.pull_errors import read_pull_error  # noqa: PLC0415

    fault = read_pull_error(text)
    if fault is None or (code == "UNAVAILABLE" and fault.reason in {"connection", "timeout"}):
        return _WITHOUT_A_KNOWN_TEXT.get(code, _UNKNOWN)
    return fault


_ADVICE = {
    "store_damaged": (
        "the storage of the container runtime on this node is damaged: remove the image there and restart the"
        " runtime, or replace the node"
    ),
    "not_a_registry": (
        "not a registry's answer: check for a sign-in page, a proxy or another web server at that address"
    ),
    "clock": "the clock of this node is behind: check its time synchronization",
    "no_platform": "the image is not available for the platform of this node",
    "artifact": "an OCI artifact, not a container image: CRI-O 1.33 or newer mounts artifacts as volumes",
    "old_manifest": "an outdated image format: build and push the image again",
    "large_manifest": "larger than the container runtime accepts: build the image with fewer annotations",
    "digest_algorithm": (
        "this container runtime supports sha256 only: update it, or push the image with sha256 digests"
    ),
    "not_unpacked": (
        "the transfer service of containerd does not unpack for this snapshotter: add it to unpack_config, or set"
        " use_local_image_pull"
    ),
    "encrypted": "the image is encrypted: configure decryption and its keys in the container runtime",
}
"""By reason: what to do about a fault whose text does not say so."""


class RuntimeFaultError(NodeprefetchError):
    """Raised when the runtime returns an error, or is unavailable. Its text is one line without secrets.

    Args:
        text: what happened.
        fault: its class.
        code: name of the gRPC status; empty if there was none.
        image: the image of the call; may be empty.
    """

    def __init__(self, text: str, *, fault: Fault, code: str = "", image: str = "") -> None:
        from nodeprefetch.text.scrub import scrub  # noqa: PLC0415 - as above

        super().__init__(scrub(text) or "the runtime returned an empty error")
        self.fault = fault
        self.code = code
        self.image = image

    def detached(self) -> Self:
        """Remove traceback and cause, which keep alive everything that the call used. For errors that are stored."""
        self.__cause__ = self.__context__ = None
        return self.with_traceback(None)

    @classmethod
    def from_status(cls, code: str, text: str, *, image: str = "") -> Self:
        """Create the error for a gRPC status name and message."""
        fault = classify(code, text)
        what_to_do = _ADVICE.get(fault.reason)
        shown = f"{text.rstrip()} ({what_to_do})" if what_to_do else text
        return cls(shown, fault=fault, code=code, image=image)

    @classmethod
    def gone(cls, text: str, *, image: str = "") -> Self:
        """Create the error for a runtime that is unavailable."""
        return cls(text, fault=_GONE, image=image)

    @classmethod
    def reset(cls, text: str, *, image: str = "") -> Self:
        """Create the error for a call that was reset without a status, as containerd 2 does after a deadline."""
        return cls(text, fault=Fault(kind=FaultClass.PASSING, reason="stream_reset"), image=image)

    @classmethod
    def protocol(cls, text: str, *, image: str = "") -> Self:
        """Create the error for an invalid or too large response. A retry seldom helps."""
        return cls(text, fault=Fault(kind=FaultClass.PASSING, reason="protocol", retries=3), image=image)


class RuntimeTimeoutError(RuntimeFaultError):
    """Raised by `answered_within` after the time limit."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer in {format_duration(seconds)}", fault=_TIMEOUT)


@contextmanager
def answered_within(seconds: float) -> Iterator[None]:
    """Limit the time of calls to the runtime.

    Args:
        seconds: for all calls in the block together.

    Raises:
        RuntimeTimeoutError: they took longer.
    """
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError as error:
        raise RuntimeTimeoutError(seconds) from error


@contextmanager
def mapped_errors(image: str = "") -> Iterator[None]:
    """Turn errors of gRPC into `RuntimeFaultError`, chained to their cause.

    Args:
        image: the image of the call.
    """
    try:
        yield
    except GRPCError as error:
        raise RuntimeFaultError.from_status(error.status.name, error.message or "", image=image) from error
    except (NotConnectedError, ConnectionLostError) as error:
        raise RuntimeFaultError.gone(str(error)) from error
    except ProtocolViolationError as error:
        raise RuntimeFaultError.protocol(str(error)) from error
    except RpcError as error:
        raise RuntimeFaultError.reset(str(error)) from error
