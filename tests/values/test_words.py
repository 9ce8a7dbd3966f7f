"""What Go says of a document's syntax: something where ours refuses it too, and nothing elsewhere. tests/archives/ has its own words."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imagestore.errors import InvalidImageError
from imagestore.gojson import decode_in_words, quoted
from imagestore.gojson.syntax import Cursor
from imagestore.gojson.words import syntax_error
from imagestore.image import HISTORY, V1_IMAGE

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
pieces = st.lists(
    st.sampled_from(
        ["{", "}", "[", "]", ":", ",", '"a"', '"\\u12', '"\\', '"', "1", "-", ".", "e", "0", "tru", "true", "null", " "]
    ),
    max_size=8,
).map("".join)


def is_sound(data, *, first):
    cursor = Cursor(data)
    try:
        cursor.value()
        if not first:
            cursor.finish()
    except InvalidImageError:
        return False
    return True


@given(pieces | values.map(json.dumps), st.booleans())
@example("1.", True)
@example("1e", True)
def test_something_is_said_of_what_is_refused(text, first):
    data = text.encode()
    assert (syntax_error(data, first=first) is None) == is_sound(data, first=first)


@given(values.map(json.dumps), st.data())
def test_something_is_said_of_a_damaged_document(text, data):
    document = bytearray(text.encode())
    document[data.draw(st.integers(0, len(document) - 1))] = data.draw(st.integers(0, 255))
    assert (syntax_error(bytes(document)) is None) == is_sound(bytes(document), first=False)


@pytest.mark.parametrize(
    ("document", "first", "whole"),
    [
        (b"", "EOF", "unexpected end of JSON input"),
        (b" \n", "EOF", "unexpected end of JSON input"),
        (b"[", "unexpected EOF", "unexpected end of JSON input"),
        (b"{} x", None, "invalid character 'x' after top-level value"),
        (b"{} '", None, r"invalid character '\'' after top-level value"),
        (b"7x", None, "invalid character 'x' after top-level value"),
        (b"[[" * 5001, *["invalid character '[' exceeded max depth"] * 2),
    ],
)
def test_the_first_value_or_all(document, first, whole):
    assert (syntax_error(document, first=True), syntax_error(document)) == (first, whole)


@pytest.mark.parametrize(
    ("kind", "document", "said"),
    [
        (V1_IMAGE, b"7", "json: cannot unmarshal number into Go value of type image.V1Image"),
        (V1_IMAGE, b'{"OS":7}', "json: cannot unmarshal number into Go struct field V1Image.os of type string"),
        (
            V1_IMAGE,
            b'{"config":{"Env":[true]},"os":7}',
            "json: cannot unmarshal bool into Go struct field Config.config.Env of type string",
        ),
        (
            V1_IMAGE,
            b'{"os":7,"config":{"Cmd":{}}}',
            "json: cannot unmarshal object into Go struct field Config.config.Cmd of type string",
        ),
        (
            V1_IMAGE,
            b'{"Size":1e3}',
            "json: cannot unmarshal number 1e3 into Go struct field V1Image.Size of type int64",
        ),
        (HISTORY, b'{"empty_layer":"x"}x', "invalid character 'x' after top-level value"),
    ],
)
def test_types(kind, document, said):
    with pytest.raises(InvalidImageError) as caught:
        decode_in_words(kind, document)
    assert str(caught.value) == said


def test_what_is_right_is_read():
    assert decode_in_words(HISTORY, b'{"comment":"x"}').comment == "x"
    assert decode_in_words(HISTORY, b'{"comment":"x"} }', first=True).comment == "x"


def test_quotes():
    assert quoted('a"\\\n\t\x07\x00\x7f\u00a0\u00e9\u2028\U0001f600\U000e0001') == (
        r'"a\"\\\n\t\a\x00\x7f\u00a0é\u2028' + "\U0001f600" + r'\U000e0001"'
    )
