"""Reads manifests: files, directories and standard input, with YAML of any number of documents, or JSON."""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import yaml

from nodeprefetch.text.plain_file import read_given

MAX_BYTES = 512 << 20
"""Of a source: all objects of a large cluster are some hundred megabytes."""

STANDARD_INPUT = "standard input"

_KINDS = (".yaml", ".yml", ".json")
_MERGE = "tag:yaml.org,2002:merge"


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A document of a source."""

    source: str
    """The file as the user named it, or `standard input`."""

    content: Any
    """Made of `dict`, `list`, `str` and other scalars. May contain itself: YAML has aliases."""


class Documents(msgspec.Struct, frozen=True, kw_only=True):
    """All documents of some sources."""

    documents: tuple[Document, ...]
    problems: tuple[str, ...]
    """What could not be read, and why: `web.yaml:7: …`."""


def read_documents(paths: Sequence[str]) -> Documents:
    """Read all documents. Whatever cannot be read becomes a problem.

    Args:
        paths: files; directories, for all their `.yaml`, `.yml` and `.json` files, also in directories below, but not
            hidden ones; `-` for standard input.
    """
    documents: list[Document] = []
    problems: list[str] = []
    for path in paths:
        files = _files_in(Path(path)) if path != "-" and Path(path).is_dir() else [path]
        if not files:
            problems.append(f"{path}: contains no {', '.join(_KINDS[:-1])} or {_KINDS[-1]} files")
        for file in files:
            source, content = STANDARD_INPUT if file == "-" else file, b""
            try:
                content = _read(file)
                documents += [Document(source=source, content=each) for each in _parse(content)]
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else str(error)
                problems.append(f"{source}: {reason}")
            except yaml.MarkedYAMLError as error:
                problems.append(_problem_in(source, error, content))
            except (yaml.YAMLError, RecursionError) as error:
                problems.append(f"{source}: not valid YAML: {' '.join(str(error).split())}")
    return Documents(documents=tuple(documents), problems=tuple(problems))


def _files_in(directory: Path) -> list[str]:
    found = (
        path
        for path in directory.rglob("*")
        if path.suffix.lower() in _KINDS
        and not any(part.startswith(".") for part in path.relative_to(directory).parts)
        and path.is_file()
    )
    return sorted(map(str, found))


def _read(file: str) -> bytes:
    content = read_given(file, MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES >> 20} MiB")
    return content


def _parse(content: bytes) -> Iterator[Any]:
    if content.lstrip()[:1] in {b"{", b"["}:
        try:
            yield msgspec.json.decode(content)
        except (msgspec.DecodeError, RecursionError):
            pass  # several documents, or YAML in flow style
        else:
            return
    yield from yaml.load_all(content, Loader=_loader())


@cache
def _loader() -> Any:
    """Return a loader that reads all scalars as texts: `1.20` stays a tag, and an invalid date is accepted."""
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the first one is ten times as fast

    class Loader(base):  # type: ignore[misc]
        yaml_implicit_resolvers = {  # noqa: RUF012 - as in the base class
            first: [each for each in resolvers if each[0] == _MERGE]
            for first, resolvers in base.yaml_implicit_resolvers.items()
        }

    Loader.add_multi_constructor("!", _construct_unknown)
    return Loader


def _construct_unknown(loader: Any, _suffix: str, node: yaml.Node) -> Any:
    """Construct a value with a tag of some tool as if it had none."""
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


def _problem_in(source: str, error: yaml.MarkedYAMLError, content: bytes) -> str:
    mark = error.problem_mark or error.context_mark
    place = f"{source}:{mark.line + 1}" if mark else source
    reason = ", ".join(filter(None, (error.context, error.problem)))
    advice = " (render templates first, for example with helm template)" if b"{{" in content else ""
    return f"{place}: not valid YAML: {reason}{advice}"
