"""What no vector shows of Go's JSON: hostile documents, messages, and that declarations fit their classes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagestore.container import CONFIG, HEALTH_CONFIG, Config, HealthConfig
from imagestore.errors import InvalidImageError, InvalidTimeError
from imagestore.gojson import GoTime, decode, decode_members, encode, encode_members, quote
from imagestore.gojson.syntax import compact, unquote
from imagestore.image import HISTORY, IMAGE, ROOT_FS, V1_IMAGE, History, Image, RootFS, V1Image

MIB = 2**20
LEVELS = 10_000

HOSTILE = {
    "zeros": lambda: b"0" * (64 * MIB),
    "NULs": lambda: bytes(64 * MIB),
    "opening brackets": lambda: b"[" * (64 * MIB),
    "opening braces": lambda: b'{"x":' * (12 * MIB),
    "empty arrays": lambda: b"[]" * (32 * MIB),
    "a string without end": lambda: b'{"comment":"' + b"a" * (64 * MIB),
    "a number": lambda: b'{"Size":' + b"1" * (64 * MIB) + b"}",
    "escapes": lambda: b'{"comment":"' + b"\\n" * (8 * MIB) + b"}",
    "bytes that are not UTF-8": lambda: b"\xff" * (64 * MIB),
    "one level too many": lambda: b'{"rootfs":{},"x":' + b"[" * LEVELS + b"]" * LEVELS + b"}",
    "one level too many, of both kinds": lambda: (
        b'{"x":' + b'[{"":' * (LEVELS // 2) + b"1" + b"}]" * (LEVELS // 2) + b"}"
    ),
    "one level too many in a field": lambda: b'{"rootfs":{},"comment":' + b"[" * LEVELS + b"]" * LEVELS + b"}",
    "too deep and not flat": lambda: b'{"rootfs":{},"x":' + b"[1,[2]," * LEVELS + b"3" + b"]" * LEVELS + b"}",
    "not JSON": lambda: b"\x7fELF",
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_hostile_documents_are_refused(make):
    with pytest.raises(InvalidImageError) as caught:
        Image.from_json(make())
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("inner", [b"[" * 9999 + b"]" * 9999, b"[1,[2]," * 9998 + b"3" + b"]" * 9998])
def test_10000_levels_are_fine(inner):
    assert Image.from_json(b'{"x":%s,"rootfs":{}}' % inner).rootfs == RootFS("")


def test_many_members_and_elements_are_fine():
    many = b",".join([b'{"author":null,"created":"2020-01-02T3:04:05Z"}'] * 20_000)
    assert len(Image.from_json(b'{"rootfs":{},"history":[%s]}' % many).history) == 20_000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "invalid image JSON: unexpected end, expected a value"),
        (b'{"a":1', "invalid image JSON: unexpected end, expected ',' or '}'"),
        (b'{"a" 1}', "invalid image JSON: expected a key in quotes and a colon, found a malformed string at byte 1"),
        (b'{"a":nul}', "invalid image JSON: expected a value, found 'n' at byte 5"),
        (b'{"a":"\n"}', "invalid image JSON: expected a value, found a malformed string at byte 5"),
        (b"{} x", "invalid image JSON: expected the end, found 'x' at byte 3"),
        (b"[1]", "invalid image JSON: expected an object, found [1] at byte 0"),
        (b'{"Comment":1}', "invalid image JSON: expected a string, found 1 in comment at byte 11"),
        (
            b'{"config":{"Healthcheck":{"Retries":1.5}}}',
            (
                "invalid image JSON: expected an integer of 64 bits without fraction and exponent, "
                "found 1.5 in config.Healthcheck.Retries at byte 36"
            ),
        ),
        (
            b'{"config":{"Cmd":[1]},"comment":1}',
            "invalid image JSON: expected a string or an array of strings in config.Cmd at byte 17",
        ),
        (
            b'{"comment":1,"created":"x"}',
            "invalid image JSON: cannot parse '\"x\"' as a time like 2006-01-02T15:04:05.999999999Z07:00 in created at byte 23",
        ),
        (b"{}", "invalid image JSON, no RootFS key"),
    ],
)
def test_messages_name_the_place(data, message):
    with pytest.raises(InvalidImageError) as caught:
        Image.from_json(data)
    assert str(caught.value) == message


def test_a_slice_grows_over_what_was_cut_off_before():
    """Go's slices keep their memory: the third reading finds what the second cut off."""
    env = b'{"Env":["a","b","c"],"Env":["d"],"Env":[null,null,null,null]}'
    assert decode(CONFIG, env).env == ("d", "b", "c", "")
    assert decode(CONFIG, env.replace(b'["d"]', b"[]")).env == ("", "", "", "")
    history = b'{"history":[{"author":"a"},{"author":"b","comment":"b"}],"history":[{}],"history":[{},{"author":"c"}],"rootfs":{}}'
    assert Image.from_json(history).history == (History(author="a"), History(author="c", comment="b"))


@pytest.mark.parametrize(
    ("kind", "zero"),
    [
        (CONFIG, Config()),
        (HEALTH_CONFIG, HealthConfig()),
        (HISTORY, History()),
        (ROOT_FS, RootFS("")),
        (V1_IMAGE, V1Image()),
    ],
)
def test_an_empty_object_is_the_zero_value(kind, zero):
    assert decode(kind, b"{}") == zero
    assert decode(kind, b"null") == zero


@pytest.mark.parametrize("kind", [CONFIG, HEALTH_CONFIG, HISTORY, ROOT_FS, V1_IMAGE])
def test_a_declaration_has_all_attributes_of_its_class(kind):
    assert list(kind.fields) == list(type(decode(kind, b"{}")).__struct_fields__)


def test_a_year_that_json_cannot_hold_is_refused():
    with pytest.raises(InvalidTimeError, match=r"year outside of range \[0,9999\]"):
        encode(HISTORY, History(created=GoTime(10**12)))


def test_bytes_that_are_no_utf8_are_written_as_go_writes_them():
    assert quote("\udcff\ufffd<&>\u2028\x7f/é") == '"\\ufffd\ufffd\\u003c\\u0026\\u003e\\u2028\x7f/é"'


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_string_is_read_as_it_was_written(text):
    assert unquote(quote(text).encode()) == text == json.loads(quote(text))


@settings(max_examples=50)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_members_are_kept_as_they_stand(value):
    data = json.dumps({"x": value, "a": value}, indent=1).encode()
    members = decode_members(data)
    assert json.loads(encode_members(members)) == {"a": value, "x": value}
    assert list(json.loads(encode_members(members))) == ["a", "x"]
    assert members["x"] == compact(json.dumps(value).encode())


def test_members_of_no_object():
    assert decode_members(b" null ") == {}
    with pytest.raises(InvalidImageError, match="expected an object"):
        decode_members(b"[]")


def test_all_fields_of_an_image_are_attributes():
    image = Image.from_json(b'{"rootfs":{}}')
    assert all(hasattr(image, name) for name in IMAGE.fields)
