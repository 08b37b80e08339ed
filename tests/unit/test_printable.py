"""Foreign text is printed without control characters."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.cli.output import columns
from nodeprefetch.text.printable import json_text, printable

ANY_TEXT = st.text(alphabet=st.characters())
"""Surrogates too, as os.environ has them."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("quay.io/a:1", "quay.io/a:1"),
        ("größer 大", "größer 大"),
        ("\x1b]0;x\x07", r"\x1b]0;x\x07"),
        ("a\x85b\x9bc", r"a\x85b\x9bc"),
        ("a\u2028b\u202ec", r"a\u2028b\u202ec"),
        ("a\r\nb", r"a\r\nb"),
        ("a\udc80", r"a\udc80"),
    ],
)
def test_what_does_not_print_is_escaped(text, shown):
    assert shown == printable(text)


@given(ANY_TEXT)
def test_a_text_for_people_is_printable_whatever_was_in_it(text):
    assert printable(text).isprintable()


@given(ANY_TEXT)
def test_json_is_printable_and_means_the_same(text):
    written = json_text({"name": [text]})

    assert written.isprintable()
    assert {"name": [text]} == json.loads(written)


def test_indented_json_has_its_lines():
    assert '[\n  {\n    "a": "\\u2028"\n  }\n]' == json_text([{"a": "\u2028"}], indent=2)


def test_a_table_has_as_many_lines_as_rows_whatever_is_in_its_cells():
    assert "NAME\n\\x1b[2J\\nx  y".splitlines()[1] == columns([("NAME", ""), ("\x1b[2J\nx", "y")]).split("\n")[1]
