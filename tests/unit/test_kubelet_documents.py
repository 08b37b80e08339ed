"""JSON and YAML, read as the kubelet reads them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nodeprefetch_kubelet.documents import Document, read_document, read_json
from nodeprefetch_kubelet.errors import DocumentError

values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)),
    max_leaves=10,
)


def refusal_of(data: bytes) -> str:
    """What it is refused with, if it is."""
    try:
        read_document(data)
    except DocumentError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, "x", null, true]}', {"a": [1, "x", None, True]}),
        ("a: [1, x, ~, yes]", {"a": [0, "x", None, True]}),
        ("a: 2024-01-01", {"a": "2024-01-01"}),
        ("a: 1:30\nb: 0x_\nc: .inf", {"a": 0, "b": 0, "c": 0}),
        ("a: '1'\nb: =", {"a": "1", "b": "="}),
        ("1: x", {"1": "x"}),
        ("a: &x [b]\nc: *x", {"a": ["b"], "c": ["b"]}),
        ("\ufeffa: b", {"a": "b"}),
        ("---\na: b\n", {"a": "b"}),
        (' {"a": 1}', {"a": 1}),
        ("[a]", ["a"]),
    ],
)
def test_json_and_yaml_give_plain_values(text: str, value: object) -> None:
    """Of a number in YAML only its kind is kept."""
    assert Document(value=value) == read_document(text.encode())


def test_what_stands_twice_is_told() -> None:
    assert ("b", "a") == read_json(b'{"a": 1, "a": {"b": 1, "b": 2}}').duplicates
    assert ("a (line 2)", "b (line 4)") == read_document(b"a: 1\na:\n  b: 1\n  b: 2").duplicates


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "the document is empty"),
        (b"# nothing", "the document is empty"),
        (b'{"a": }', "not JSON: JSON is malformed: invalid character (byte 6)"),
        (b'{"a": NaN}', "not JSON: JSON is malformed: invalid character (byte 6)"),
        (b"{a: b}", "not JSON: JSON is malformed: object keys must be strings (byte 1)"),
        (b'{"a": ' + b"[" * 100_000, "JSON is nested too deeply"),
        (b'{"a": ' + b"1" * 5000 + b"}", "not JSON: "),
        (b"a: b: c", "not YAML: mapping values are not allowed here (line 1)"),
        (b"a: 'x", "not YAML: found unexpected end of stream (line 1)"),
        (b"a: \x00", "not YAML: contains invalid characters"),
        (b"a: \xff", "not YAML: not UTF-8"),
        (b'a: "\\UFFFFFFFF"', "not YAML: malformed escape or directive"),
        (b"[" * 1_000, "YAML is nested too deeply"),
        (b"c:\n  <<: [1]", "a merge key (<<, line 2) must have mappings as its value"),
        (b"c: {<<: x}", "a merge key (<<, line 1) must have mappings as its value"),
        (b"? [a]\n: b", "a key must be a string (line 1)"),
        (b"a: !x b", 'unsupported tag "!x" (line 1)'),
        (b"a: !!set {b}", 'unsupported tag "tag:yaml.org,2002:set" (line 1)'),
        (b"a: !!bool maybe", 'unsupported tag "tag:yaml.org,2002:bool" (line 1)'),
        (b'a: "\\ud800"', "unpaired surrogate (line 1)"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_text_that_cannot_be_read_is_told_by_its_place(data: bytes, problem: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read_document(data)

    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize("rest", ["\n---\nb: 1", "\n---\nb: [", "\n...\nb: ["])
def test_of_several_documents_the_first_is_read(rest: str) -> None:
    assert Document(value={"a": "x"}, has_more=True) == read_document(f"a: x{rest}".encode())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x: &x {a: p, b: p}\nc:\n  <<: *x\n  b: q", {"a": "p", "b": "q"}),
        ("x: &x {a: p, b: p}\nc:\n  b: q\n  <<: *x", {"a": "p", "b": "p"}),
        ("x: &x {a: p}\nz: &z {a: q, b: q}\nc:\n  <<: [*x, *z]", {"a": "p", "b": "q"}),
        ("c: {<<: {a: p}}", {"a": "p"}),
        ("c: &c\n  a: p\n  <<: *c", {"a": "p"}),
    ],
)
def test_merge_keys_are_read_as_the_kubelet_reads_them(text: str, expected: dict[str, str]) -> None:
    """Checked with sigs.k8s.io/yaml 1.3: what stands later wins, and of a list what stands first. No duplicates."""
    document = read_document(text.encode())
    value: Any = document.value

    assert (expected, ()) == (value["c"], document.duplicates)


def test_merge_keys_do_not_grow_without_bound() -> None:
    """1,000 objects, each with all of the one before: half a million fields."""
    lines = ["a0: &a0 {k0: x}"] + [f"a{n}: &a{n} {{<<: *a{n - 1}, k{n}: x}}" for n in range(1, 1000)]

    assert "merge keys (<<) expand to more than 100000 fields" == refusal_of("\n".join(lines).encode())


def test_an_alias_may_name_what_it_is_in() -> None:
    value: Any = read_document(b"a: &x\n  b: *x").value

    assert value["a"] is value["a"]["b"]


def test_aliases_of_aliases_are_not_written_out() -> None:
    """Nine levels of nine would be 387 million items."""
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    value: Any = read_document("\n".join(lines).encode()).value

    assert value["a9"][0] is value["a9"][8]


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_in_our_words(data: bytes) -> None:
    for prefix in (b"", b"{", b"a: "):
        assert 1 >= len(refusal_of(prefix + data).splitlines())


@given(st.text(alphabet=st.sampled_from("ab01_:-?&*!|>%@\"'\\UxuN{}[], \n\t#.~<="), max_size=40))
def test_whatever_looks_like_yaml_is_read_or_refused_in_our_words(text: str) -> None:
    assert 1 >= len(refusal_of(text.encode()).splitlines())


@given(values)
def test_json_is_read_as_it_was_written(value: object) -> None:
    assert value == read_json(json.dumps(value).encode()).value
