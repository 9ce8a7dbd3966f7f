"""The fast way to read an image answers exactly what the exact way answers, or leaves the answer to it."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imagestore.errors import InvalidImageError
from imagestore.gojson import FastReader, decode_draft
from imagestore.image import IMAGE, Image
from tests.values.documents import GOLDEN, WRITTEN_BY_GO, images, mutated

READER = FastReader(IMAGE)


def zero():
    return {name: field.zero() for name, field in IMAGE.fields.items()}


def exactly(data):
    return zero() | IMAGE.finish_fields(decode_draft(IMAGE, data))


def fast(data):
    """The fields as the fast way has read them; None where it leaves them to the exact one."""
    wire = READER.read(data)
    if wire is None:
        return None
    found = {name: getattr(wire, name) for name in IMAGE.fields}
    return zero() | {
        name: IMAGE.fields[name].load(value) for name, value in found.items() if value is not msgspec.UNSET
    }


def check(data):
    found = fast(data)
    if found is not None:
        assert found == exactly(data)


@settings(max_examples=2000)
@given(mutated(st.sampled_from(GOLDEN)))
def test_mutated_documents_are_read_alike(data):
    check(data)


@settings(max_examples=400)
@given(images() | mutated(images()))
def test_generated_documents_are_read_alike(data):
    check(data)


@settings(max_examples=300)
@given(images() | mutated(st.sampled_from(GOLDEN)))
@example(b'{"rootfs":{},"created":"2020-01-02T03:04:05Z","Created":null}')
@example(b"null")
def test_an_image_says_what_the_exact_way_says(data):
    try:
        expected = exactly(data)
    except InvalidImageError:
        expected = {"rootfs": None}
    if expected["rootfs"] is None:
        with pytest.raises(InvalidImageError):
            Image.from_json(data)
        return
    image = Image.from_json(data)
    expected["parent"] = expected["parent"] or None
    assert {name: getattr(image, name) for name in IMAGE.fields} == expected


def test_golden_documents_are_read_alike():
    for data in GOLDEN:
        if fast(data) is not None:
            check(data)


@pytest.mark.parametrize("data", WRITTEN_BY_GO)
def test_what_go_writes_is_read_fast(data):
    spaced = json.dumps(json.loads(data), indent=3, ensure_ascii=False).encode()
    assert [fast(document) for document in (data, b" %b\n" % data, spaced)] == [exactly(data)] * 3


LEFT_TO_THE_EXACT_WAY = {
    "a key in another case": b'{"rootfs":{},"Comment":"x"}',
    "a key that folds": '{"rootfſ":{"type":"x"},"rootfs":{}}'.encode(),
    "a key that comes twice": b'{"rootfs":{},"comment":"a","comment":"b"}',
    "a key that comes twice, further in": b'{"rootfs":{},"config":{"Labels":{"a":"1","a":"2"}}}',
    "an unknown key": b'{"rootfs":{},"x":1}',
    "a key in another case, as long as what two escapes would have saved": b'{"rootfs":{},"comment":"&&","ID":"ab"}',
    "an escaped digit of a time": b'{"rootfs":{},"created":"2020\\u002d01-02T03:04:05Z"}',
    "a time that only Go takes": b'{"rootfs":{},"created":"2020-01-02T3:04:05Z"}',
    "no time": b'{"rootfs":{},"created":""}',
    "two times in one": b'{"rootfs":{},"created":"2020-01-02T03:04:05Z\\n2020-01-02T03:04:05Z"}',
    "null for a string": b'{"rootfs":{},"comment":null}',
    "bytes that are not UTF-8": b'{"rootfs":{},"comment":"\xff"}',
    "half a surrogate pair": b'{"rootfs":{},"comment":"\\ud83d"}',
    "more than 64 bits": b'{"rootfs":{},"Size":9223372036854775808}',
}


@pytest.mark.parametrize("data", LEFT_TO_THE_EXACT_WAY.values(), ids=LEFT_TO_THE_EXACT_WAY)
def test_what_may_differ_is_left_to_the_exact_way(data):
    assert fast(data) is None
