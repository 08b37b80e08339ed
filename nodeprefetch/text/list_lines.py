"""Reads the lines of an image list: an image name each, or another format and the command that converts it.

`nodeprefetch` and `deploy_gen` each have a copy, as neither imports the other; a test holds both equal.
docs/image-lists.md shows the same commands.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

STANDARD_INPUT = "standard input"
"""Name of a list that is read from there."""

PROBLEM_LIMIT = 50
"""Problems of one list that are reported."""

_SHOWN_LENGTH = 120

_PLAIN = re.compile(r"(?!sha256:|[0-9a-f]{64}$|[a-z-]+://)[A-Za-z0-9][A-Za-z0-9_./:@-]*[A-Za-z0-9_]")
"""Matches most lines, none of which has a shape: a fast path, as a list may have ten thousand lines."""

_COMMENT = re.compile(r"(?:^|(?<=\s))#")
_BEFORE_A_NAME = re.compile(r"(?:[-*]\s+)*(?:(?:\"image\"|'image')\s*:\s*|image:\s+)?")
_AFTER_A_NAME = re.compile(r"\s*[,;\\]$")
_IMAGE_FIELD = re.compile(r"^[-\s]*image: ", re.MULTILINE)
_LIST_ITEM = re.compile(r"^\s*- ", re.MULTILINE)
_OBJECT = re.compile(r"^\s*[\[,]?\s*\{", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """A format other than one name per line."""

    what: str
    command: str = ""
    """Converts the whole list FILE, with tools that every system has (and `envsubst`); empty if none can."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lines:
    """Names and problems of a list. Line numbers start at 1."""

    names: tuple[tuple[int, str], ...]
    """Line number and name, which is not validated, and empty for a pair of quotes."""

    problems: tuple[tuple[int, str], ...]
    """One per shape: the number of its first line, and the message."""


SEVERAL = Shape(what="several images on one line", command=r"sed 's/#.*//' FILE | tr -s ',;[:blank:]' '\n'")
JSON_ARRAY = Shape(what="a JSON array", command=r"sed 's/[][]/ /g' FILE | tr -s ',[:blank:]' '\n'")
JSON_OBJECT = Shape(what="JSON objects", command="""grep -oE '"image": *"[^"]+"' FILE""")
YAML_FIELDS = Shape(what="YAML with other fields than image", command="grep -E '^[ -]*image: ' FILE")
YAML_LIST = Shape(what="YAML that is not a list item", command="grep -E '^ *- ' FILE")
YAML = Shape(what="a YAML field, or a name with an empty tag")
GREP = Shape(what="a file name before the image, as grep prints it", command="sed -E 's/.*image:[[:blank:]]+//' FILE")
COMMAND = Shape(what="a command that pulls an image", command="sed 's/#.*//' FILE | awk 'NF { print $NF }'")
SCHEME = Shape(what="a scheme before the image", command="sed 's,[a-z-]*://,,' FILE")
DIGEST_LIST = Shape(
    what="an image and its digest in two columns", command=r"sed -E 's/[[:blank:]]+(sha[0-9]+:)/@\1/' FILE"
)
MIRROR_MAP = Shape(what="a mirror map, source=mirror", command="sed 's/=.*//' FILE")
ASSIGNMENT = Shape(what="a variable assignment", command="sed 's/^[^=]*=//' FILE")
COMMENT = Shape(what="a // comment; comments begin with #", command=r"sed -E 's,(^|[[:blank:]])//,\1#,' FILE")
NO_NAME = Shape(what="<none> in place of a name or tag", command="grep -v '<none>' FILE")
VARIABLE = Shape(what="a variable that was not replaced", command="envsubst < FILE")
TEMPLATE = Shape(what="a template that was not rendered", command="helm template CHART | grep 'image: '")
IMAGES_TABLE = Shape(
    what="a table of images, as docker and crictl print it",
    command="""awk 'NR > 1 { print $1 ":" $2 }' FILE | grep -v '<none>'""",
)
REFS_TABLE = Shape(what="a table of images, as ctr prints it", command="awk 'NR > 1 { print $1 }' FILE")
IMAGE_ID = Shape(
    what="an image ID, not a name; write repository@sha256:… instead, which crictl inspecti ID lists as repoDigests"
)

_TABLES = (
    (r"(?:REPOSITORY|IMAGE)\s+TAG\s", IMAGES_TABLE),
    (r"REF\s+TYPE\s", REFS_TABLE),
)
_SHAPES = (
    (r"(?s).*\{\{", TEMPLATE),
    (r"[{}\]]", JSON_OBJECT),
    (r"\[(?![0-9a-fA-F:]+\])", JSON_ARRAY),
    (r"(?s).*<none>", NO_NAME),
    (r"(?s)(?:.*\s)?//", COMMENT),
    (r"(?s).*\$\{?\w", VARIABLE),
    (r"[a-z-]+://\S+$", SCHEME),
    (r"(?:sudo\s+)?(?:docker|podman|nerdctl|crictl|ctr)\s(?:.*\s)?pull\s", COMMAND),
    (r"\S+\s+sha[0-9]+:[0-9a-f]+$", DIGEST_LIST),
    (r"(?:export\s+)?[A-Z_][A-Z0-9_]*=\S", ASSIGNMENT),
    (r"[^\s=]+\s*=\s*\S+$", MIRROR_MAP),
    (r"(?s).*[\s:-]image:\s+\S", GREP),
    (r"---|[\"']?[\w./-]+[\"']?:\s|[\"']?[\w-]+[\"']?:$", YAML),
    (r"(?s).*[\s,;]", SEVERAL),
    (r"sha256:[0-9a-f]{64}$|[0-9a-f]{64}$", IMAGE_ID),
)
"""The first match counts, so narrower patterns come first. A valid image name matches none but the last.

Compiled when first used: few lists need them, and each run would wait for them at its start.
"""


def read_lines(text: str, *, origin: str) -> Lines:
    """Split a list into names and problems.

    Args:
        text: content of the list.
        origin: file name for messages and commands, or `STANDARD_INPUT`.
    """
    entries = list(_names_in(text))
    names: list[tuple[int, str]] = []
    shaped: dict[Shape, list[tuple[int, str]]] = {}
    whole = _shape_of_all(entries[0][1]) if entries else None
    if whole:
        shaped[_for_this_list(whole, text)] = entries[:1]
    else:
        for line, name in entries:
            shape = shape_of(name)
            if shape is None:
                names.append((line, name))
            else:
                shaped.setdefault(_for_this_list(shape, text), []).append((line, name))
    return Lines(
        names=tuple(names),
        problems=tuple((lines[0][0], _problem(shape, lines, origin)) for shape, lines in shaped.items()),
    )


def first_problems(problems: Sequence[str]) -> Sequence[str]:
    """Limit the problems of one list to the first 50, then the number of the others."""
    others = len(problems) - PROBLEM_LIMIT
    return problems if others <= 0 else (*problems[:PROBLEM_LIMIT], f"… and {others} more")


def shape_of(name: str) -> Shape | None:
    """Recognize a line in another format by its look. None: it may be a name."""
    if _PLAIN.fullmatch(name):
        return None
    return next((shape for pattern, shape in _SHAPES if re.match(pattern, name)), None)


def _names_in(text: str) -> Iterator[tuple[int, str]]:
    # Not splitlines(): it also splits at characters that no editor treats as a line break.
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        if _PLAIN.fullmatch(line):
            yield number, line
        elif content := _COMMENT.split(line, maxsplit=1)[0].strip():
            yield number, _without_wrapping(content)


def _without_wrapping(content: str) -> str:
    """Remove quotes, list markers and punctuation around a name, as no name can contain them."""
    bare = _AFTER_A_NAME.sub("", content[_prefix_length(content) :])
    inside = bare[1:-1]
    is_quoted = len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'" and bare[0] not in inside
    return inside.strip() if is_quoted else bare


def _prefix_length(content: str) -> int:
    match = _BEFORE_A_NAME.match(content)
    return match.end() if match else 0


def _shape_of_all(first: str) -> Shape | None:
    """Recognize a format of the whole list by its first line; the other lines then need no message."""
    table = next((shape for pattern, shape in _TABLES if re.match(pattern, first)), None)
    shape = shape_of(first)
    return table or (shape if shape in (JSON_ARRAY, JSON_OBJECT) else None)


def _for_this_list(shape: Shape, text: str) -> Shape:
    """Choose the command that fits the rest of the list."""
    if shape is JSON_ARRAY and _OBJECT.search(text):
        return JSON_OBJECT
    if shape is YAML:
        return YAML_FIELDS if _IMAGE_FIELD.search(text) else YAML_LIST if _LIST_ITEM.search(text) else YAML
    return shape


def _problem(shape: Shape, lines: list[tuple[int, str]], origin: str) -> str:
    (line, name), *others = lines
    shown = name if len(name) <= _SHOWN_LENGTH else name[:_SHOWN_LENGTH] + "…"
    visible = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)
    more = f" and {len(others)} more line{'s' if len(others) > 1 else ''}" if others else ""
    file = "" if origin == STANDARD_INPUT else shlex.quote(origin)
    command = shape.command.replace("FILE", file) if file else re.sub(r"( <)? FILE", "", shape.command)
    return f'{origin}:{line}{more}: "{visible}": {shape.what}' + (f" (convert with: {command})" if command else "")
