"""JSON and YAML to plain values; what stands twice, or after the end, is told."""

import json
from dataclasses import dataclass

import msgspec

from nodeprefetch_kubelet.errors import DocumentError


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A text, read."""

    value: object
    """Of dict with keys that are str, list, str, int, float, bool and None."""

    duplicates: tuple[str, ...] = ()
    """Keys that stand twice in one object; the last of them counted."""

    has_more: bool = False
    """Something follows, which was not read: another YAML document."""


def read_document(data: bytes) -> Document:
    """Read JSON where the first character is a brace, else YAML: as the kubelet tells them apart, not by file name.

    Raises:
        DocumentError: neither.
    """
    if data.lstrip().startswith(b"{"):
        return read_json(data)
    # A library of 20 ms, which a configuration in JSON does not need.
    from nodeprefetch_kubelet.yamldocuments import read_yaml  # noqa: PLC0415

    value, duplicates, has_more = read_yaml(data)
    return Document(value=value, duplicates=duplicates, has_more=has_more)


def read_json(data: bytes) -> Document:
    """Read one JSON value.

    Raises:
        DocumentError: not JSON; the text names a position, never what stands there.
    """
    duplicates: list[str] = []

    def read_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
        members: dict[str, object] = {}
        for name, value in pairs:
            if name in members:
                duplicates.append(name)
            members[name] = value
        return members

    try:
        msgspec.json.decode(data)  # stricter than what follows: no NaN, no half of a surrogate pair
        value = json.loads(data.decode("utf-8"), object_pairs_hook=read_object)
    except RecursionError as error:
        raise DocumentError("not JSON that can be read: nested too deeply") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise DocumentError(f"not JSON: {error}") from error
    return Document(value=value, duplicates=tuple(duplicates))
