"""What `discover` makes of input that is not as it should be, and how its flags choose."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.cli.commands import run
from nodeprefetch.discover.documents import Document, read_documents
from nodeprefetch.discover.images import Choice, places_in, sum_up
from nodeprefetch.discover.places import places

POD = "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{image: '{image}'}}]}}\n"


def pod(image: str, name: str = "web") -> str:
    return POD.format(name=name, image=image)


def written(tmp_path: Path, text: str | bytes, name: str = "m.yaml") -> str:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str], str]:
    code = run(["discover", *arguments])
    captured = capsys.readouterr()
    return code, captured.out.splitlines(), captured.err


def names(lines: list[str]) -> list[str]:
    return [line.split()[0] for line in lines]


def test_standard_input_is_read(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(pod("r.test/a:1").encode())))

    assert (0, ["r.test/a:1  # 1x in Pod/web"], "") == printed(capsys, "-")


def test_all_problems_are_reported_and_nothing_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    broken = written(tmp_path, "a: [1,\n", "broken.yaml")
    template = written(tmp_path, "kind: Pod\nimage: {{ .Values.image }}:\n", "template.yaml")
    variable = written(tmp_path, pod("${IMAGE}"), "variable.yaml")
    good = written(tmp_path, pod("r.test/a:1"), "good.yaml")

    code, lines, errors = printed(
        capsys, str(tmp_path / "empty"), broken, str(tmp_path / "none"), template, variable, good
    )

    assert (2, []) == (code, lines)
    empty, where, missing, render, not_image = errors.splitlines()
    assert f"nodeprefetch: {tmp_path}/empty: contains no .yaml, .yml or .json files" == empty
    assert where.startswith(f"nodeprefetch: {broken}:2: not valid YAML: ")
    assert f"nodeprefetch: {tmp_path}/none: No such file or directory" == missing
    assert render.startswith(f"nodeprefetch: {template}:2: not valid YAML: ")
    assert render.endswith(" (render templates first, for example with helm template)")
    assert not_image.startswith(f'nodeprefetch: {variable}: Pod/web: spec.containers[0].image: "${{IMAGE}}": ')
    assert not_image.endswith(" (--exclude leaves it out)")


def test_an_unknown_flag_is_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert (2, [], 'nodeprefetch: unknown flag "--gess"\n') == printed(capsys, "--gess", "-")


def test_without_input_or_images_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        2,
        [],
        "nodeprefetch: no manifests given; name files or directories, - for standard input, or --cluster\n",
    ) == printed(capsys)
    assert (1, [], "nodeprefetch: no images found; --guess looks for names in all texts\n") == printed(
        capsys, written(tmp_path, "a: 1\n")
    )
    assert (1, [], "nodeprefetch: no images found\n") == printed(capsys, "--guess", written(tmp_path, ""))


def test_spellings_of_an_image_are_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "---\n".join(pod(image, f"p{number}") for number, image in enumerate(
        ["nginx", "docker.io/library/nginx:latest", "index.docker.io/nginx", "docker.io/nginx", "nginx:latest", "nginx"]
    ))  # fmt: skip

    assert (0, ["docker.io/library/nginx:latest  # 6x in Pod/p0, Pod/p1, Pod/p2, Pod/p3 and 2 more"], "") == printed(
        capsys, written(tmp_path, text)
    )


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--registry=r.test"], ["r.test/a:1", "r.test/b:2"]),
        (["--registry=docker.io", "--registry=s.test:5000"], ["docker.io/library/nginx:1", "s.test:5000/c:3"]),
        (["--exclude=*/nginx:*", "--exclude=r.test/?:2"], ["r.test/a:1", "s.test:5000/c:3"]),
        (["--exclude=nginx:1"], ["r.test/a:1", "r.test/b:2", "s.test:5000/c:3"]),
    ],
)
def test_flags_choose(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], expected: list[str]
) -> None:
    text = "---\n".join(map(pod, ["r.test/a:1", "r.test/b:2", "s.test:5000/c:3", "nginx:1"]))

    code, lines, _ = printed(capsys, *flags, written(tmp_path, text))

    assert (0, expected) == (code, names(lines))


def test_what_is_not_an_image_can_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = pod("${IMAGE}") + "---\n" + pod("r.test/a:1")

    code, lines, _ = printed(capsys, "--exclude=${*}", written(tmp_path, text))

    assert (0, ["r.test/a:1"]) == (code, names(lines))


def test_as_json_it_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, pod("nginx"))

    assert 0 == run(["discover", "--output=json", file])
    (image,) = json.loads(capsys.readouterr().out)

    place = {"source": file, "kind": "Pod", "name": "web", "field": "spec.containers[0].image", "text": "nginx"}
    name = "docker.io/library/nginx:latest"
    assert {"image": name, "guessed": False, "nodes": 0, "digests": [], "places": [place]} == image


def test_a_difference_is_printed_and_exits_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = written(tmp_path, "nginx # the same\nr.test/gone:1\n", "old.txt")
    new = written(tmp_path, pod("docker.io/library/nginx:latest") + "---\n" + pod("r.test/new:1"))

    assert (1, ["+ r.test/new:1", "- r.test/gone:1"], "") == printed(capsys, "--diff", old, new)
    code, lines, _ = printed(capsys, "--diff", old, "--output=json", new)
    assert (1, {"added": ["r.test/new:1"], "removed": ["r.test/gone:1"]}) == (code, json.loads("".join(lines)))
    assert (0, [], "") == printed(capsys, "--diff", written(tmp_path, "nginx\nr.test/new:1\n", "now.txt"), new)
    code, lines, errors = printed(capsys, "--diff", written(tmp_path, "a b\n", "bad.txt"), new)
    assert (2, []) == (code, lines)
    assert "bad.txt:1" in errors


def test_names_from_outside_add_no_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = {"apiVersion": "v1", "kind": "Pod\nr.test/evil:1", "metadata": {"name": "x\r\u2028r.test/evil:2"},
               "spec": {"containers": [{"image": "r.test/a:1"}]}}  # fmt: skip

    code, lines, _ = printed(capsys, written(tmp_path, json.dumps(content), "m.json"))

    assert (0, 1, "r.test/a:1") == (code, len(lines), names(lines)[0])


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]\n",
        "a: &a {b: *a, containers: [{image: 'r.test/a:1'}]}\n",
        "- " * 3000 + "x",
        "[" * 100_000,
        "{" * 100_000,
        '{"a":' * 100_000,
        b"\xff\xfe\x00",
        "a: !!python/object:os.system {}\n",
        "a: !unknown {b: !other [c]}\n",
        "\n".join(["x0: &x0 [a]", *(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 40))]),
    ],
    ids=["contains itself", "contains itself 2", "deep blocks", "deep lists", "deep maps", "deep JSON", "not UTF-8",
         "python", "unknown tags", "aliases of aliases"],
)  # fmt: skip
def test_hostile_documents_end_it_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | bytes
) -> None:
    code, lines, errors = printed(capsys, "--guess", written(tmp_path, text))

    assert code in {0, 1, 2}
    assert "Traceback" not in errors
    assert set(names(lines)) <= {"r.test/a:1"}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.text(max_size=3)
                | st.sampled_from(
                    [
                        "image",
                        "containers",
                        "kind",
                        "apiVersion",
                        "metadata",
                        "spec",
                        "env",
                        "value",
                        "name",
                        "volumes",
                        "reference",
                        "repository",
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=30,
    )
)
def test_any_document_is_looked_through(content: object) -> None:
    found = list(places(content, with_guesses=True))

    assert all(place.text for place in found)
    sum_up(places_in([Document(source="x", content=content)], with_guesses=True), Choice())


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    read = read_documents([f"{tmp_path}/\0", "/dev/zero"])

    assert () == read.documents
    assert 2 == len(read.problems)
