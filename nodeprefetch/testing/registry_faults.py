"""Faults of the fake registry, and the script that assigns them to requests."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Literal

Stage = Literal["ping", "token", "manifest", "config", "layer"]
"""The target of a request: `/v2/`, the token endpoint, a manifest or index, an image's config, a layer."""


class FaultKind(Enum):
    """What happens to the response, or instead of it."""

    NONE = auto()
    STATUS = auto()
    STALL = auto()
    RESET = auto()
    DROP = auto()
    GARBAGE = auto()
    WRONG_BYTES = auto()
    SLOW = auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """A fault of one request. Create it with its class methods."""

    kind: FaultKind
    code: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    after: int | None = None
    """Bytes of the body to send; None: not even the status line."""

    bytes_per_second: float = 0

    for_ranges: bool = False
    """Apply it only to requests for a part of a blob; others do not consume it."""

    @classmethod
    def none(cls) -> "Fault":
        """Send the normal response; for use between faults."""
        return cls(kind=FaultKind.NONE)

    @classmethod
    def status(cls, code: int, *, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> "Fault":
        """Send this status; without a body, with the error document of a registry.

        With code 200 and a body it is a wrong answer that looks right, such as a login page.
        """
        return cls(kind=FaultKind.STATUS, code=code, headers=dict(headers or {}), body=body)

    @classmethod
    def no_range(cls, code: int = 416) -> "Fault":
        """Send this status for the next request of a part of a blob (`Range`), like a cache without range support."""
        return cls(kind=FaultKind.STATUS, code=code, for_ranges=True)

    @classmethod
    def stall(cls) -> "Fault":
        """Send nothing until `FakeRegistry.release` (then the normal response), its stop, or the client disconnects."""
        return cls(kind=FaultKind.STALL)

    @classmethod
    def stall_after(cls, n: int) -> "Fault":
        """Send the first n bytes of the body, then nothing, as for `stall`."""
        return cls(kind=FaultKind.STALL, after=n)

    @classmethod
    def reset(cls) -> "Fault":
        """Reset the connection (TCP RST) instead of a response."""
        return cls(kind=FaultKind.RESET)

    @classmethod
    def reset_after(cls, n: int) -> "Fault":
        """Send the first n bytes of the body, then a TCP RST. The client may not receive all n."""
        return cls(kind=FaultKind.RESET, after=n)

    @classmethod
    def drop(cls) -> "Fault":
        """Close the connection normally, without a response."""
        return cls(kind=FaultKind.DROP)

    @classmethod
    def drop_after(cls, n: int) -> "Fault":
        """Send the first n bytes of the body, then close normally: the body is shorter than its Content-Length."""
        return cls(kind=FaultKind.DROP, after=n)

    @classmethod
    def garbage(cls) -> "Fault":
        """Send bytes that are not HTTP, then close."""
        return cls(kind=FaultKind.GARBAGE)

    @classmethod
    def wrong_bytes(cls) -> "Fault":
        """Send the normal response with other bytes of the same length, so that the digest is wrong."""
        return cls(kind=FaultKind.WRONG_BYTES)

    @classmethod
    def slow(cls, bytes_per_second: float) -> "Fault":
        """Send the normal response, with the body at this rate."""
        return cls(kind=FaultKind.SLOW, bytes_per_second=bytes_per_second)


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """The parts of a request that a script uses."""

    stage: Stage
    repository: str = ""
    reference: str = ""
    """The tag or digest in the request; empty for a ping or a token."""

    is_range: bool = False
    """Whether it requests a part of a blob."""


@dataclass(kw_only=True, slots=True)
class _Rule:
    stage: Stage
    repository: str | None
    references: frozenset[str] | None
    faults: list[Fault]
    forever: bool

    def matches(self, target: Target) -> bool:
        if target.stage != self.stage or not self.faults or (self.faults[0].for_ranges and not target.is_range):
            return False
        if self.repository is not None and target.repository != self.repository:
            return False
        return self.references is None or not target.reference or target.reference in self.references


class FaultScript:
    """Assigns faults to requests. May be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []

    def add(
        self,
        stage: Stage,
        faults: Iterable[Fault],
        *,
        repository: str | None = None,
        references: Iterable[str] | None = None,
        forever: bool = False,
    ) -> None:
        """Apply these faults to the next matching requests, one each, in this order.

        Args:
            stage: what the request is for.
            faults: one for each request; afterwards requests are answered as usual.
            repository: only requests for it; None: for any.
            references: only requests for one of these tags or digests; None: for any.
            forever: the last fault stays.
        """
        rule = _Rule(
            stage=stage,
            repository=repository,
            references=None if references is None else frozenset(references),
            faults=list(faults),
            forever=forever,
        )
        with self._lock:
            self._rules.append(rule)

    def take(self, target: Target) -> Fault:
        """Return and consume the fault of this request."""
        with self._lock:
            for rule in self._rules:
                if rule.matches(target):
                    last = rule.forever and len(rule.faults) == 1
                    return rule.faults[0] if last else rule.faults.pop(0)
        return Fault.none()

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._rules.clear()
