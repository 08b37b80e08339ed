"""Builds what an overlay of kustomize needs to move an installation into another namespace.

Kustomize's namespace transformer sets the namespace of objects, also where it must not: of the Role for events, and of
objects of the cluster whose kinds it does not know. And it does not find namespaces inside of names and expressions.
These transformers run after it, and repair both. They were tried with kustomize 5.0 (of kubectl 1.30) and 5.8 (1.37).
https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/replacements/
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from deploy_gen.manifests import build_manifests
from deploy_gen.objects import Object
from deploy_gen.options import Options

_BUILTIN = "builtin"
"""The `apiVersion` of kustomize's own transformers."""

_NAMES = ("name", "alert")
"""Fields that identify an entry of a list."""

_PLAIN = re.compile(r"[A-Za-z0-9-]+")

_LONGEST_DELIMITER = 3
"""Characters."""

_Place = tuple[str, str, str, str, int]
"""Kind, name and field of a text; the delimiter that splits it, and the index of the part that is the namespace."""


def namespace_transformers(options: Options) -> list[Object]:
    """Build the transformers, which together make of the manifests what `--namespace` would."""
    objects = build_manifests(options)
    marker = _marker(objects)
    marked = build_manifests(replace(options, namespace=marker))
    places = [
        (each["kind"], each["metadata"]["name"], *place)
        for each, at in zip(objects, marked, strict=True)
        for place in _places(at, marker)
    ]
    return [
        *(_kept(each) for each, at in zip(objects, marked, strict=True) if _is_elsewhere(at, marker)),
        _without_namespace(objects),
        _replaced(places, options),
    ]


def _marker(objects: list[Object]) -> str:
    """Make a text that the manifests do not contain, to find the namespace in them."""
    marker, text = "<namespace>", str(objects)
    while marker in text:
        marker = f"<{marker}>"
    return marker


def _is_elsewhere(marked: Object, marker: str) -> bool:
    namespace: str = marked["metadata"].get("namespace", marker)
    return namespace != marker


def _kept(each: Object) -> Object:
    """Keep an object in a namespace that is not the installation's."""
    metadata = each["metadata"]
    return _patch(
        f"{each['kind'].lower()}-in-{metadata['namespace']}",
        {"kind": each["kind"], "name": metadata["name"]},
        [f"{{op: replace, path: /metadata/namespace, value: {metadata['namespace']}}}"],
    )


def _without_namespace(objects: list[Object]) -> Object:
    """Remove the namespace from objects of the cluster. It is added first, as there may be none."""
    kinds = dict.fromkeys(each["kind"] for each in objects if "namespace" not in each["metadata"])
    return _patch(
        "cluster-scoped",
        {"kind": "|".join(kinds)},
        ["{op: add, path: /metadata/namespace, value: none}", "{op: remove, path: /metadata/namespace}"],
    )


def _patch(name: str, target: Object, operations: list[str]) -> Object:
    patch = "".join(f"- {operation}\n" for operation in operations)
    return {
        "apiVersion": _BUILTIN,
        "kind": "PatchTransformer",
        "metadata": {"name": name},
        "target": target,
        "patch": patch,
    }


def _replaced(places: list[_Place], options: Options) -> Object:
    """Write the namespace of the service account into all places."""
    fields: dict[tuple[str, str, str, int], list[str]] = {}
    # Objects are selected by name, so names change last.
    for kind, name, field, delimiter, index in sorted(places, key=lambda place: place[2] == "metadata.name"):
        fields.setdefault((kind, name, delimiter, index), []).append(field)
    targets = [
        {
            "select": {"kind": kind, "name": name},
            "fieldPaths": paths,
            **({"options": {"delimiter": delimiter, "index": index}} if delimiter else {}),
        }
        for (kind, name, delimiter, index), paths in fields.items()
    ]
    source = {"kind": "ServiceAccount", "name": options.name, "fieldPath": "metadata.namespace"}
    return {
        "apiVersion": _BUILTIN,
        "kind": "ReplacementTransformer",
        "metadata": {"name": "namespace"},
        "replacements": [{"source": source, "targets": targets}],
    }


def _places(marked: Object, marker: str) -> Iterator[tuple[str, str, int]]:
    """Find the marker: field, delimiter and index. Without the object's own namespace, which kustomize sets."""
    for path, text in _texts(marked, ""):
        if path != "metadata.namespace":
            for found in re.finditer(re.escape(marker), text):
                yield path, *_split(text, found.start(), found.end())


def _texts(value: object, path: str) -> Iterator[tuple[str, str]]:
    match value:
        case str():
            yield path, value
        case Mapping():
            for key, member in value.items():
                # A key with a dot is put into brackets.
                yield from _texts(member, f"{path}.{f'[{key}]' if '.' in key else key}".lstrip("."))
        case list() | tuple():
            for number, member in enumerate(value):
                yield from _texts(member, f"{path}.{_entry(value, member) or number}")


def _entry(entries: "list[object] | tuple[object, ...]", member: object) -> str:
    """Select an entry of a list by its name, which is still right if an overlay adds others before it."""
    if isinstance(member, Mapping):
        for key in _NAMES:
            names = [each.get(key) for each in entries if isinstance(each, Mapping)]
            name = member.get(key)
            if isinstance(name, str) and _PLAIN.fullmatch(name) and names.count(name) == 1:
                return f"[{key}={name}]"
    return ""


def _split(text: str, start: int, end: int) -> tuple[str, int]:
    """Find a delimiter that splits a text so that this part of it is one of the parts; empty: it is the whole text.

    Raises:
        ValueError: there is none, as different characters are before and after it.
    """
    before, after = text[:start], text[end:]
    if not before and not after:
        return "", 0
    for length in range(1, _LONGEST_DELIMITER + 1):
        delimiter = before[-length:] or after[:length]
        index = before.count(delimiter)
        if text.split(delimiter)[index : index + 1] == [text[start:end]]:
            return delimiter, index
    raise ValueError(f"cannot replace the namespace in {text!r}")
