"""Formats of image lists: names, and other formats with their commands, which a shell runs here."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import deploy_gen.list_lines
from deploy_gen.images import is_image_name, read_list
from deploy_gen.problems import InputError
from nodeprefetch.cli.inputs import read_images
from nodeprefetch.errors import UsageError
from nodeprefetch.text import list_lines
from nodeprefetch.text.list_lines import STANDARD_INPUT, Shape, read_lines, shape_of
from nodeprefetch.values.image_list import parse_image_arguments, parse_image_list
from nodeprefetch.values.image_ref import ImageRef

PAGE = Path(__file__).parents[2] / "docs" / "image-lists.md"
DIGEST = "sha256:" + "9a" * 32

SHAPES = [shape for shape in vars(list_lines).values() if isinstance(shape, Shape)]

SEVERAL = list_lines.SEVERAL.what

LISTS = {
    "jsonpath": ("nginx:1 quay.io/a/b:2 nginx:1", SEVERAL, ["nginx:1", "quay.io/a/b:2", "nginx:1"]),
    "several-with-comments": ("# our own\na:1\tb:1\n\nc:1 # d:1 e:1\n", SEVERAL, ["a:1", "b:1", "c:1"]),
    "commas": ("a:1,b:1, c:1", SEVERAL, ["a:1", "b:1", "c:1"]),
    "quotes-and-commas": ("'a:1', 'b:1'", SEVERAL, ["a:1", "b:1"]),
    "semicolons": ("a:1;b:1;", SEVERAL, ["a:1", "b:1"]),
    "json-array": ('["a:1", "b:1"]', "a JSON array", ["a:1", "b:1"]),
    "json-arrays": ('["a:1","b:1"] ["c:1"]', "a JSON array", ["a:1", "b:1", "c:1"]),
    "json-on-lines": ('[\n  "a:1",\n  "b:1"\n]\n', "a JSON array", ["a:1", "b:1"]),
    "json-lines": ('{"name":"web","image":"a:1"}\n{"image":"b:1"}\n', "JSON objects", ["a:1", "b:1"]),
    "json-of-kubectl": (
        '{\n "items": [\n  {"spec": {"containers": [\n   {"image": "a:1",\n    "name": "web"}]}}]}',
        "JSON objects",
        ["a:1"],
    ),
    "json-objects-in-array": ('[\n  {\n    "image": "a:1"\n  }\n]\n', "JSON objects", ["a:1"]),
    "yaml-of-kubectl": (
        'apiVersion: v1\nspec:\n  containers:\n  - name: web\n    image: "a:1"\n  - image: b:1\n',
        "YAML with other fields than image",
        ["a:1", "b:1"],
    ),
    "yaml-list": ("---\nimages:\n  - a:1\n  - 'b:1'\n", "YAML that is not a list item", ["a:1", "b:1"]),
    "grep": (
        'a/b.yaml:        image: "a:1"\na/c.yaml:12:      - image: b:1\n',
        "a file name before the image, as grep prints it",
        ["a:1", "b:1"],
    ),
    "digests": (
        f"# linux\ndocker.io/rancher/x:v1 {DIGEST}\ny:1\t{DIGEST}\nz:1\n",
        "an image and its digest in two columns",
        [f"docker.io/rancher/x:v1@{DIGEST}", f"y:1@{DIGEST}", "z:1"],
    ),
    "mirror-map": (
        f"quay.io/a/b:1=mirror.example.com/a/b:1\nquay.io/c@{DIGEST} = mirror.example.com/c\n",
        "a mirror map, source=mirror",
        ["quay.io/a/b:1", f"quay.io/c@{DIGEST}"],
    ),
    "commands": (
        "docker pull a:1  # why\n\nsudo crictl -D pull b:1\nctr -n k8s.io images pull docker.io/library/c:1\n",
        "a command that pulls an image",
        ["a:1", "b:1", "docker.io/library/c:1"],
    ),
    "schemes": (
        f"docker-pullable://nginx@{DIGEST}\ndocker://quay.io/a:1\nhttps://quay.io/b\nc:1\n",
        "a scheme before the image",
        [f"nginx@{DIGEST}", "quay.io/a:1", "quay.io/b", "c:1"],
    ),
    "environment-file": ("APP_IMAGE=a:1\nexport DB='b:1'\n", "a variable assignment", ["a:1", "b:1"]),
    "slashes": ("// tools\na:1 // why\nb:1", "a // comment; comments begin with #", ["a:1", "b:1"]),
    "none": ("a:1\n<none>:<none>\nb:<none>\n", "<none> in place of a name or tag", ["a:1"]),
    "variables": (
        "${REGISTRY}/app:1\n$REGISTRY/db:2\n",
        "a variable that was not replaced",
        ["r.example/app:1", "r.example/db:2"],
    ),
    "docker-images": (
        """REPOSITORY   TAG      IMAGE ID       CREATED       SIZE
nginx        1.27     39286ab8a5e1   6 weeks ago   188MB
<none>       <none>   2b7d6430f78d   2 years ago   1MB
""",
        "a table of images, as docker and crictl print it",
        ["nginx:1.27"],
    ),
    "crictl-images": (
        "IMAGE                TAG   IMAGE ID        SIZE\nquay.io/a/b          1     39286ab8a5e14   72MB\n",
        "a table of images, as docker and crictl print it",
        ["quay.io/a/b:1"],
    ),
    "ctr-images": (
        f"REF         TYPE    DIGEST   SIZE PLATFORMS LABELS\nquay.io/a:1 app/x {DIGEST} 1 MiB linux/amd64 -\n",
        "a table of images, as ctr prints it",
        ["quay.io/a:1"],
    ),
}


def names(text: str) -> list[str]:
    return [ref.text for ref in parse_image_list(text, origin="l").refs]


def test_both_programs_have_the_same_rules() -> None:
    one, other = (Path(module.__file__ or "").read_bytes() for module in (list_lines, deploy_gen.list_lines))

    assert one == other


@pytest.mark.parametrize(
    "line",
    [
        '"a/b:1"',
        "'a/b:1'",
        "- a/b:1",
        "* a/b:1",
        "image: a/b:1",
        "      image: 'a/b:1'   # why",
        '- image: "a/b:1"',
        '"image": "a/b:1",',
        '"image":"a/b:1"',
        "a/b:1,",
        "a/b:1 ;",
        "a/b:1 \\",
        '"a/b:1",\r',
    ],
)
def test_quotes_list_markers_and_punctuation_around_a_name_are_removed(line: str) -> None:
    assert [(2, "a/b:1")] == [
        (image.line, image.ref.text) for image in parse_image_list(f"\n{line}", origin="l").images
    ]


def test_what_may_be_part_of_a_name_is_kept() -> None:
    """The first is an image called `image`; the others are no names."""
    images = parse_image_list("image:1\n'a:1\"\na:1,,\n-a:1", origin="l")

    assert ["image:1"] == [ref.text for ref in images.refs]
    assert ["l:2", "l:3", "l:4"] == [problem[:3] for problem in images.problems]


def test_an_empty_name_in_quotes_is_a_problem() -> None:
    assert ('l:1: "": the name is empty',) == parse_image_list('image: ""', origin="l").problems


@pytest.mark.parametrize("name", LISTS)
def test_another_format_is_reported_once_with_the_command_that_converts_it(name: str, tmp_path: Path) -> None:
    text, what, wanted = LISTS[name]
    file = tmp_path / "my list.txt"
    file.write_text(text)

    problems = read_lines(text, origin=str(file)).problems

    assert [what] == [shape.what for shape in SHAPES if f": {shape.what} (convert with: " in problems[0][1]]
    assert 1 == len(problems)
    assert wanted == names(converted(problems[0][1].partition(" (convert with: ")[2].removesuffix(")")))


@pytest.mark.parametrize("name", LISTS)
def test_the_command_for_standard_input_reads_it(name: str) -> None:
    text, _, wanted = LISTS[name]

    [(_, problem)] = read_lines(text, origin=STANDARD_INPUT).problems

    assert wanted == names(converted(problem.partition(" (convert with: ")[2].removesuffix(")"), text))


def converted(command: str, text: str = "") -> str:
    if "envsubst" in command and not shutil.which("envsubst"):
        pytest.skip("envsubst is not installed")
    done = subprocess.run(
        ["sh", "-c", command],
        input=text,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "REGISTRY": "r.example"},
        check=False,
    )
    assert "" == done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{{ .Values.image }}", list_lines.TEMPLATE.what),
        ("{{ .Values.registry }}/app:1", list_lines.TEMPLATE.what),
        (DIGEST, list_lines.IMAGE_ID.what),
        ("9" * 64, list_lines.IMAGE_ID.what),
        ("name: web", list_lines.YAML.what),
        ("nginx:", list_lines.YAML.what),
    ],
)
def test_a_format_that_no_command_can_convert_is_reported(line: str, what: str) -> None:
    assert what in read_lines(line, origin="l").problems[0][1]


def test_lines_of_one_shape_are_one_problem_and_all_problems_are_in_order() -> None:
    images = parse_image_list("// a\nA\nb c\n// d\ne:1\n// f\n", origin="l")

    assert ["e:1"] == [ref.text for ref in images.refs]
    assert [
        "l:1 and 2 more lines",
        "l:2",
        "l:3",
    ] == [problem.partition(": ")[0] for problem in images.problems]


def test_fifty_problems_of_a_list_are_reported(tmp_path: Path) -> None:
    (tmp_path / "l").write_text("// x\n" + "A\n" * 60 + "// y\n")

    with pytest.raises(UsageError) as caught:
        read_images([str(tmp_path / "l")], [])

    assert 51 == len(caught.value.problems)
    assert "… and 11 more" == caught.value.problems[-1]


def test_an_image_id_is_rejected_as_an_argument_too() -> None:
    assert f'argument 1: "{DIGEST}": {list_lines.IMAGE_ID.what}' == parse_image_arguments([DIGEST]).problems[0]


references = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "org/", "docker.io/", "quay.io/", "REG/", "a.b:5/", "a_b.example/", "[::1]:80/", "[fe::]/"]),
    st.from_regex(r"[a-z0-9]{1,4}((__|-{1,3}|\.|_|/)[a-z0-9]{1,4}){0,4}", fullmatch=True),
    st.sampled_from(["", ":1", ":Tag_1.x-y", "@" + DIGEST, ":1@" + DIGEST]),
)


@given(references)
def test_a_valid_image_name_never_looks_like_another_format(name: str) -> None:
    assert ImageRef.parse(name).text == name
    assert shape_of(name) is None
    assert ((1, name),) == read_lines(name, origin="l").names


@given(st.text())
def test_any_text_is_read_and_each_problem_is_one_printable_line(text: str) -> None:
    lines = read_lines(text, origin="l")

    assert all(problem.startswith("l:") and problem.isprintable() for _, problem in lines.problems)
    assert len(lines.problems) <= len(SHAPES)


@pytest.mark.parametrize("name", LISTS)
def test_the_generator_rejects_the_same_lists(name: str, tmp_path: Path) -> None:
    file = tmp_path / "l"
    file.write_text(LISTS[name][0])

    with pytest.raises(InputError) as caught:
        read_list(str(file))

    assert (read_lines(LISTS[name][0], origin=str(file)).problems[0][1],) == caught.value.problems


@pytest.mark.parametrize(
    "name", ["quay.io/A", "nginx:", "a:-t", "a@sha256:12", "a..b", "https://q.io/x", "a_b.example:5/x"]
)
def test_the_generator_rejects_a_name_that_fetch_rejects(name: str, tmp_path: Path) -> None:
    (tmp_path / "l").write_text(f"# {name}\n\n{name}\nnginx\n")

    with pytest.raises(InputError) as caught:
        read_list(str(tmp_path / "l"))

    assert 1 == len(caught.value.problems)
    assert caught.value.problems[0].startswith(f"{tmp_path}/l:3: ")


def test_the_generator_reports_fifty_lines_in_order(tmp_path: Path) -> None:
    (tmp_path / "l").write_text("A\n" * 30 + "// x\n" + "A\n" * 30)

    with pytest.raises(InputError) as caught:
        read_list(str(tmp_path / "l"))

    assert [str(line) for line in range(1, 51)] == [
        one.removeprefix(f"{tmp_path}/l:").partition(":")[0] for one in caught.value.problems[:50]
    ]
    assert "… and 11 more" == caught.value.problems[50]


pieces = st.lists(
    st.sampled_from(
        ["a", "B", "0", ".", "-", "_", "__", "/", ":", ":5/", "@" + DIGEST, "x.y/", "[::1]/", "localhost/"]
    ),
    min_size=1,
    max_size=7,
).map("".join)


@given(references | pieces)
def test_the_generator_accepts_the_names_that_fetch_accepts(name: str) -> None:
    try:
        taken = bool(ImageRef.parse(name))
    except UsageError:
        taken = False

    assert taken is is_image_name(name)


@pytest.mark.parametrize("shape", SHAPES, ids=[shape.what for shape in SHAPES])
def test_the_page_has_every_format_and_its_command(shape: Shape) -> None:
    page = PAGE.read_text("utf-8").replace("\\<", "<")

    assert shape.what in page
    assert shape.command.replace("FILE", "images.txt") in page
