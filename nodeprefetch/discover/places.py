"""Finds where manifests name images. Pure functions."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

CONTAINERS = frozenset({"containers", "initContainers", "ephemeralContainers", "sidecars", "steps", "relatedImages"})
"""Fields with lists of what has an `image`: of pods, Argo Workflows, Tekton, and bundles of operators."""

CONTAINER = frozenset({"container", "script", "stepTemplate"})
"""Fields with one container: of Argo Workflows and Tekton."""

_RELATED = "RELATED_IMAGE_"
"""Beginning of the environment variables that name the images which an operator deploys."""

_CUSTOM = re.compile(r"(?!(?:.*\.)?k8s\.io/)[^/]*\..*/")
"""`apiVersion` of a custom resource: the groups of Kubernetes end with k8s.io or have no dot."""

LISTS = frozenset({"ImageListPullJob", "ImageCache"})
"""Kinds whose fields `images` are lists of names: of OpenKruise and of kube-fledged, in each of its three groups."""

_OCI = "oci://"

_INJECTED = "auto"
"""What Istio replaces when it creates a gateway's pod."""

_UNUSED = frozenset({"status", "managedFields", "kubectl.kubernetes.io/last-applied-configuration"})
"""Fields that only repeat what was asked for or was used."""

_GUESS = re.compile(
    r"(?<![\w./@:-])"
    r"(?:[a-z0-9-]+(?:\.[a-z0-9-]+)+|localhost)(?::[0-9]+)?"  # only a host with a dot, which few other texts have
    r"(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]*(?:@sha256:[a-f0-9]{64})?|@sha256:[a-f0-9]{64})"
    r"(?![\w/@:-])"
)

Path = tuple[str | int, ...]
"""Keys and indexes from the document to a value."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a manifest names an image."""

    text: str
    """The name, as it is written."""

    kind: str = ""
    """Of the object; empty: the document is not a Kubernetes object."""

    name: str = ""
    namespace: str = ""
    field: str
    """For example `spec.template.spec.containers[0].image`."""

    guessed: bool = False
    """Whether it is only a text that looks like an image's name."""


class _Object(msgspec.Struct, frozen=True, kw_only=True):
    """The innermost object around a value."""

    kind: str = ""
    name: str = ""
    namespace: str = ""
    group: str = ""
    """With the slash after it, if it is that of a custom resource."""

    path: Path = ()


def places(content: Any, *, with_guesses: bool) -> Iterator[Place]:
    """Yield the places of a document that name images, in order. What several aliases refer to counts once.

    Args:
        content: of a `Document`.
        with_guesses: also yield texts that look like images' names, wherever they are except in Secrets, and names of
            which each part is a field.
    """
    seen: set[int] = set()
    pending: list[tuple[Any, Path, _Object]] = [(content, (), _Object())]
    while pending:
        value, path, of = pending.pop()
        if isinstance(value, str):
            if of.kind in LISTS and path[-2:-1] == ("images",):
                yield _place(value, path, of)
            elif with_guesses:
                yield from (_place(text, path, of, guessed=True) for text in _GUESS.findall(value))
        elif isinstance(value, list | dict) and id(value) not in seen:
            seen.add(id(value))
            if isinstance(value, list):
                members = [(item, (*path, index), of) for index, item in enumerate(value)]
            else:
                of = _object(value, path) or of
                named = {key: text for key in map(str, value) if (text := _image_at(key, value, path, of))}
                yield from (_place(text, (*path, key), of) for key, text in named.items())
                if with_guesses and (joined := _joined(value)):
                    yield _place(joined, path, of, guessed=True)
                members = [
                    (member, (*path, str(key)), of)
                    for key, member in value.items()
                    if str(key) not in named and not _is_unused(str(key), path, of)
                ]
            pending += reversed(members)


def _image_at(key: str, value: Mapping[Any, Any], path: Path, of: _Object) -> str:
    """Return the image that this field of a mapping names; empty: it names none."""
    text = value.get(key)
    if not isinstance(text, str) or text == _INJECTED:
        return ""
    *_, above, parent = ("", "", *(part for part in path if isinstance(part, str)))
    match key:
        case "image":
            is_image = (
                (parent in CONTAINERS and bool(path) and isinstance(path[-1], int))
                or parent in CONTAINER
                or (bool(of.group) and "spec" in path[len(of.path) :][:1] and _looks_like_image(text))
            )
        case "reference":
            is_image = (above, parent) == ("volumes", "image")
        case "value":
            is_image = parent == "env" and str(value.get("name", "")).startswith(_RELATED)
        case "imageName":
            is_image = of.group == "postgresql.cnpg.io/"
        case "storageUri":
            is_image = of.group == "serving.kserve.io/" and text.startswith(_OCI)
        case _:
            is_image = False
    return text.removeprefix(_OCI) if is_image else ""


def _looks_like_image(text: str) -> bool:
    """Whether a field `image` of a custom resource, which may be anything, has the name of an image."""
    return "://" not in text and any(sign in text for sign in "/:@")


def _joined(value: Mapping[Any, Any]) -> str:
    """Return the image whose parts are separate fields; empty: there is none.

    Values of Helm charts have `registry`, `repository`, `tag` and `digest`; NVIDIA's operators `repository`, `image`
    and `version`.
    """
    registry, repository, image = (_text(value, key) for key in ("registry", "repository", "image"))
    tag, digest = _text(value, "tag") or (image and _text(value, "version")), _text(value, "digest")
    if not repository or not (tag or digest):
        return ""
    name = "/".join(filter(None, (registry, repository, image)))
    return name + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")


def _is_unused(key: str, path: Path, of: _Object) -> bool:
    return key in _UNUSED or (of.kind == "Secret" and path == of.path and key in {"data", "stringData"})


def _object(value: Mapping[Any, Any], path: Path) -> _Object | None:
    metadata = value.get("metadata")
    kind, version = _text(value, "kind"), _text(value, "apiVersion")
    if not kind or not version or not isinstance(metadata, dict):
        return None
    group = version[: version.rfind("/") + 1] if _CUSTOM.match(version) else ""
    name = _text(metadata, "name") or _text(metadata, "generateName")
    return _Object(kind=kind, name=name, namespace=_text(metadata, "namespace"), group=group, path=path)


def _text(value: Mapping[Any, Any], key: str) -> str:
    text = value.get(key)
    return text if isinstance(text, str) else ""


def _place(text: str, path: Path, of: _Object, *, guessed: bool = False) -> Place:
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path[len(of.path) :])
    return Place(
        text=text,
        kind=of.kind,
        name=of.name,
        namespace=of.namespace,
        field=field.lstrip("."),
        guessed=guessed,
    )
