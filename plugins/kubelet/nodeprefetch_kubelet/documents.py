"""Parses JSON and YAML into plain values; reports duplicate keys and trailing documents."""

import json
from dataclasses import dataclass

import msgspec

from nodeprefetch_kubelet.errors import DocumentError


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A parsed text."""

    value: object
    """Consists of dict with str keys, list, str, int, float, bool and None."""

    duplicates: tuple[str, ...] = ()
    """Duplicate keys within one object; the last value was used."""

    has_more: bool = False
    """Whether another YAML document follows, which was not read."""


def read_document(data: bytes) -> Document:
    """Parse JSON if the first character is a brace, otherwise YAML: like the kubelet, not by file name.

    Raises:
        DocumentError: neither.
    """
    if data.lstrip().startswith(b"{"):
        return read_json(data)
    # Importing it takes 20 ms, which a configuration in JSON does not need.
    from nodeprefetch_kubelet.yaml_documents import read_yaml  # noqa: PLC0415

    value, duplicates, has_more = read_yaml(data)
    return Document(value=value, duplicates=duplicates, has_more=has_more)


def read_json(data: bytes) -> Document:
    """Parse one JSON value.

    Raises:
        DocumentError: not JSON; the text names a position and quotes nothing.
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
        msgspec.json.decode(data)  # stricter than json.loads: no NaN, no unpaired surrogate
        value = json.loads(data.decode("utf-8"), object_pairs_hook=read_object)
    except RecursionError as error:
        raise DocumentError("JSON is nested too deeply") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise DocumentError(f"not JSON: {error}") from error
    return Document(value=value, duplicates=tuple(duplicates))
