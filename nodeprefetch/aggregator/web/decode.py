"""Decodes batches of events with a limit on every string, number and list.

The limited types are derived from the classes in `nodeprefetch.events`, so new fields get limits too. msgspec checks
them while it decodes, at no measurable cost.
"""

import types
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Annotated, Any, cast, get_args, get_origin

import msgspec

from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.settings import Bounds
from nodeprefetch.batch import AnyEvent, Batch

_IMAGE = {"image", "images", "missing"}
_TEXT = {"detail", "error", "message", "credential", "credentials", "problems", "taints"}
_NEEDED = {"run_id", "node", "attempt_id", "image", "before", "after"}
_EMPTY = 10
"""Lines, including empty ones, for each allowed batch; everything after them counts as one line."""

_NAMES = ("run_id", "node", "version", "instance")
"""Of a batch; each of its events is sent with them."""

_COMMAS = 50
"""Commas of JSON for each allowed event: msgspec creates all values of a list before it checks their number."""

_LISTS_JSON, _LISTS_MSGPACK = frozenset(b"["), frozenset([*range(0x90, 0xA0), 0xDC, 0xDD])
_COUNT = msgspec.Meta(ge=0, le=2**63 - 1)
_SECONDS = msgspec.Meta(ge=0, le=1e12)  # excludes NaN and the infinities too


class Decoder:
    """Decodes batches.

    Args:
        bounds: the limits.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        kinds: dict[str, Any] = {str(kind.__struct_config__.tag): bounded(kind, bounds) for kind in get_args(AnyEvent)}
        count = msgspec.Meta(max_length=bounds.events)
        event: Any = reduce(or_, kinds.values())
        batch = bounded(Batch, bounds, events=Annotated[types.GenericAlias(tuple, (event, ...)), count])
        envelope = bounded(Batch, bounds, events=msgspec.Raw)
        items = Annotated[tuple[msgspec.Raw, ...], count]
        self._kinds = frozenset(kinds)
        self._msgpack = _Decoders(
            _LISTS_MSGPACK, *(msgspec.msgpack.Decoder(each) for each in (batch, envelope, items, _Kind, event))
        )
        self._json = _Decoders(
            _LISTS_JSON, *(msgspec.json.Decoder(each) for each in (batch, envelope, items, _Kind, event))
        )

    def msgpack(self, body: bytes | bytearray) -> Batch:
        """Decode one batch in msgpack.

        Raises:
            RefusedError: it is not a batch, or exceeds a limit.
        """
        return self._decode(self._msgpack, body)

    def lines(self, body: bytes | bytearray) -> list[Batch]:
        """Decode JSON lines, each with a batch; ignores empty lines.

        Raises:
            RefusedError: a line is not a batch or exceeds a limit, or there are too many batches or events.
        """
        found = bytes(body).split(b"\n", _EMPTY * self._bounds.batches)
        lines = [line for line in found if line.strip()]
        if len(lines) > self._bounds.batches:
            raise RefusedError(413, "too_many_batches", f"more than {self._bounds.batches} batches in one request")
        if body.count(b",") > _COMMAS * self._bounds.events:
            raise RefusedError(413, "too_large", "the body has too many values")
        batches = [self._decode(self._json, line) for line in lines]
        if sum(len(batch.events) for batch in batches) > self._bounds.events:
            raise RefusedError(413, "too_many_events", f"more than {self._bounds.events} events in one request")
        return batches

    def _decode(self, decoders: "_Decoders", body: bytes | bytearray) -> Batch:
        try:
            try:
                batch = cast("Batch", decoders.batch.decode(body))  # a class derived from it
            except msgspec.ValidationError as error:
                batch = self._without_unknown(decoders, body, error)
        except msgspec.ValidationError as error:
            raise RefusedError(400, "invalid_batch", f"invalid batch: {error}") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RefusedError(400, "malformed", f"cannot decode body: {error}") from error
        check_names(batch, _NAMES, self._bounds)
        return batch

    def _without_unknown(
        self, decoders: "_Decoders", body: bytes | bytearray, refused: msgspec.ValidationError
    ) -> Batch:
        """Decode a batch without its events of unknown kinds, which a newer fetch may send.

        Raises:
            ValidationError: the batch is invalid for another reason.
            RefusedError: too many events.
        """
        envelope = decoders.envelope.decode(body)
        try:
            items = decoders.items.decode(envelope.events)
        except msgspec.ValidationError as error:
            if bytes(envelope.events)[0] not in decoders.lists:
                raise
            too_many = f"more than {self._bounds.events} events in one request"
            raise RefusedError(413, "too_many_events", too_many) from error
        known = [item for item in items if decoders.kind.decode(item).event in self._kinds]
        if len(known) == len(items):
            raise refused
        return cast("Batch", msgspec.structs.replace(envelope, events=tuple(map(decoders.event.decode, known))))


class _Kind(msgspec.Struct):
    event: str


@dataclass(frozen=True, slots=True)
class _Decoders:
    """The decoders of one format."""

    lists: frozenset[int]
    """First bytes of a list."""

    batch: Any
    envelope: Any
    """A batch without decoding its events."""

    items: Any
    """The events of a batch, each undecoded."""

    kind: Any
    event: Any


def check_names(message: msgspec.Struct, names: Sequence[str], bounds: Bounds) -> None:
    """Check how long fields of a message are in UTF-8; decoding limits characters.

    Raises:
        RefusedError: one is too long.
    """
    for name in names:
        if len(getattr(message, name).encode()) > bounds.name:
            raise RefusedError(400, "name_too_long", f"{name} must not be longer than {bounds.name} bytes in UTF-8")


def bounded(kind: type[msgspec.Struct], bounds: Bounds, **given: Any) -> type[msgspec.Struct]:
    """Derive a struct with limits in the types of its fields."""
    fields: list[tuple[str, Any, Any]] = []
    for field in msgspec.structs.fields(kind):
        of_type = given.get(field.name) or _limit(field.name, field.type, bounds)
        if field.required:
            fields.append((field.name, of_type, msgspec.NODEFAULT))
        elif field.default is not msgspec.NODEFAULT:
            fields.append((field.name, of_type, field.default))
        else:
            fields.append((field.name, of_type, msgspec.field(default_factory=cast("Any", field.default_factory))))
    config = kind.__struct_config__
    return msgspec.defstruct(
        kind.__name__,
        cast("Any", fields),
        bases=(kind,),
        frozen=True,
        kw_only=True,
        omit_defaults=True,
        tag=config.tag,
        tag_field=config.tag_field,
    )


def _limit(name: str, of_type: Any, bounds: Bounds) -> Any:
    if of_type is str:
        longest = bounds.image if name in _IMAGE else bounds.text if name in _TEXT else bounds.name
        return Annotated[str, msgspec.Meta(min_length=1 if name in _NEEDED else 0, max_length=longest)]
    if of_type is int:
        return Annotated[int, _COUNT]
    if of_type is float:
        return Annotated[float, _SECONDS]
    if get_origin(of_type) is tuple:
        inner = _limit(name, get_args(of_type)[0], bounds)
        return Annotated[types.GenericAlias(tuple, (inner, ...)), msgspec.Meta(max_length=bounds.events)]
    return of_type
