"""What goes wrong at the fake registry: faults, and the script that says which request meets which one."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Literal

Stage = Literal["ping", "token", "manifest", "config", "layer"]
"""What a request is for: `/v2/`, the token endpoint, a manifest or index, an image's config, a layer."""


class FaultKind(Enum):
    """What happens in place of the answer, or to it."""

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
    """One thing that goes wrong with one request. Made by its class methods."""

    kind: FaultKind
    code: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    after: int | None = None
    """Bytes of the body that are still sent; None: not even the status line."""

    bytes_per_second: float = 0

    for_ranges: bool = False
    """Only requests for a part of a blob meet it; others do not use it up."""

    @classmethod
    def none(cls) -> "Fault":
        """The usual answer; to put between faults."""
        return cls(kind=FaultKind.NONE)

    @classmethod
    def status(cls, code: int, *, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> "Fault":
        """This status; without a body, the error document that a registry would send with it.

        With code 200 and a body it is a wrong answer that looks right, such as a login page.
        """
        return cls(kind=FaultKind.STATUS, code=code, headers=dict(headers or {}), body=body)

    @classmethod
    def no_range(cls, code: int = 416) -> "Fault":
        """This status to the next request for a part of a blob (`Range`), as from a cache that has no parts."""
        return cls(kind=FaultKind.STATUS, code=code, for_ranges=True)

    @classmethod
    def stall(cls) -> "Fault":
        """Nothing, until `FakeRegistry.release` (then the usual answer), its stop, or the client leaves."""
        return cls(kind=FaultKind.STALL)

    @classmethod
    def stall_after(cls, n: int) -> "Fault":
        """The first n bytes of the body, then nothing, until as for `stall`."""
        return cls(kind=FaultKind.STALL, after=n)

    @classmethod
    def reset(cls) -> "Fault":
        """The connection is reset (TCP RST) in place of an answer."""
        return cls(kind=FaultKind.RESET)

    @classmethod
    def reset_after(cls, n: int) -> "Fault":
        """The first n bytes of the body, then a TCP RST. The client may not get to read all n."""
        return cls(kind=FaultKind.RESET, after=n)

    @classmethod
    def drop(cls) -> "Fault":
        """The connection is closed in order, without an answer."""
        return cls(kind=FaultKind.DROP)

    @classmethod
    def drop_after(cls, n: int) -> "Fault":
        """The first n bytes of the body, then a close in order: a body shorter than it said."""
        return cls(kind=FaultKind.DROP, after=n)

    @classmethod
    def garbage(cls) -> "Fault":
        """Bytes that are no HTTP, then a close."""
        return cls(kind=FaultKind.GARBAGE)

    @classmethod
    def wrong_bytes(cls) -> "Fault":
        """The usual answer with a body of the right length and other bytes: its digest is wrong."""
        return cls(kind=FaultKind.WRONG_BYTES)

    @classmethod
    def slow(cls, bytes_per_second: float) -> "Fault":
        """The usual answer, its body at this rate."""
        return cls(kind=FaultKind.SLOW, bytes_per_second=bytes_per_second)


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What a request asks for, as far as a script cares."""

    stage: Stage
    repository: str = ""
    reference: str = ""
    """The tag or digest in the request; empty for a ping or a token."""

    is_range: bool = False
    """It asks for a part of a blob."""


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
    """Which request meets which fault. May be used from several threads."""

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
        """Let the next requests that match meet these faults, one each, in this order.

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
        """The fault that this request meets; it is used up by that."""
        with self._lock:
            for rule in self._rules:
                if rule.matches(target):
                    last = rule.forever and len(rule.faults) == 1
                    return rule.faults[0] if last else rule.faults.pop(0)
        return Fault.none()

    def clear(self) -> None:
        """From now on everything is answered as usual."""
        with self._lock:
            self._rules.clear()
