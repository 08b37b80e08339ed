"""Values survive a round trip through the YAML writer and a parser."""

import json

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from deploy_gen.yaml import render, to_yaml

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
LINES = st.lists(st.text(alphabet=" #:-|>%&*!'\"abc019~\t\r", max_size=8), max_size=5).map("\n".join)
TEXTS = ANY_TEXT | LINES
KEYS = TEXTS.filter(lambda text: len(text) < 100)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)
AMBIGUOUS = """
y Y yes Yes NO on Off true FALSE null Null ~ 1 0x1F 0o17 1_000 1e3 .5 .inf -.INF .nan NaN 190:20:30 2001-01-01 = <<
2001-12-14t21:59:43.10-05:00 - -- --- ... ? : # a: a:b #a &a *a !a !!str %a @a `a {a [a ]a ,a |a >a 'a "a é \u2028
""".strip(" \n")
WORDS = AMBIGUOUS.replace("\n", " ").split(" ")


@given(VALUES)
@example("a\n")
@example({"a": "b\n\nc\n"})
@example({"a": "b\nc\n\n"})
@example({"a": " b\nc\n"})
@example({"a": "\n"})
@example({"a": "---\n...\n"})
@example({"a": ["b\nc\n", {"d": ["e"], "f": {}}, [[], ["g"]]]})
def test_any_value_is_read_as_it_was_written(value):
    assert value == yaml.safe_load(to_yaml(value))


@pytest.mark.parametrize("text", ["", " ", "\t", "a ", *WORDS, *(f"{word}:" for word in WORDS)])
def test_a_text_that_looks_like_another_type_stays_a_text(text):
    """PyYAML is of version 1.1. What 1.2 takes for a number does not begin with a letter, and is quoted."""
    written = to_yaml({text: text})

    assert {text: text} == yaml.safe_load(written)
    assert written.startswith('"') or (text.isascii() and text.isalpha() and len(text) > 1)


@given(VALUES)
def test_documents_are_printable_ascii(value):
    assert all(" " <= character <= "~" or character == "\n" for character in to_yaml(value))


def test_a_list_of_images_stays_readable():
    assert "data:\n  images.txt: |\n    # ours\n\n    nginx:1\n" == to_yaml(
        {"data": {"images.txt": "# ours\n\nnginx:1\n"}}
    )


@pytest.mark.parametrize("value", [1.5, {1: "a"}, {"a": {b"b"}}])
def test_other_types_are_rejected(value):
    with pytest.raises(TypeError):
        to_yaml(value)


def test_a_key_longer_than_parsers_look_ahead_is_rejected():
    longest = "é" * 255  # of four characters each, and two quotes

    assert {longest: 1} == yaml.safe_load(to_yaml({longest: 1}))
    with pytest.raises(ValueError, match="1026"):
        to_yaml({longest + "é": 1})


@given(st.lists(TEXTS))
def test_arguments_in_the_first_line_cannot_add_anything(arguments):
    objects = [{"kind": "A"}, {"kind": "B"}]

    assert objects == list(yaml.safe_load_all(render(objects, "yaml", arguments)))


@given(TEXTS)
def test_json_is_one_list(text):
    objects = [{"a": text}, {"b": [1, None]}]

    assert {"apiVersion": "v1", "kind": "List", "items": objects} == json.loads(render(objects, "json", []))


IMAGES = st.from_regex(
    r"[a-z]([a-z0-9.-]{0,9}[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]{1,9}){1,3}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,9})?(@sha256:[0-9a-f]{64})?",
    fullmatch=True,
)


@given(IMAGES)
@example("ghcr.io/nodeprefetch/nodeprefetch:v0.1.0")
@example("registry.example.com:5000/a/b@sha256:" + "0" * 64)
def test_an_image_of_a_registry_has_no_quotation_marks(image):
    """Dependabot fails to update it in them."""
    written = to_yaml({"image": image})

    assert f"image: {image}\n" == written
    assert {"image": image} == yaml.safe_load(written)


@pytest.mark.parametrize("text", ["http://a/b", "a:b", "a/b:", "a/b: c", "a/b #c", "1:20/a", "a/b@c", "nginx:1"])
def test_what_only_resembles_an_image_of_a_registry_is_quoted(text):
    assert f'"{text}"\n' == to_yaml(text)
