"""Image configurations for Hypothesis: as Docker writes them, with all that Go forgives, and broken."""

from __future__ import annotations

from hypothesis import strategies as st

from imagestore.gojson import BOOL, STR_SLICE, TEXT_MAP, TIME, Int, Pointer, Slice, Struct, Text, TextSet
from imagestore.image import IMAGE
from tests.golden.vectors import as_bytes, cases

_CASES = [case for case in cases("from_json.json") if len(case["input"]) < 5000]
GOLDEN = [as_bytes(case[key]) for key in ("input", "marshal") for case in _CASES if key in case]
WRITTEN_BY_GO = [as_bytes(case["marshal"]) for case in _CASES if "marshal" in case and case["name"].startswith("real/")]

TEXTS = [
    "",
    "a",
    "linux",
    "<&>",
    "\\u003c\\u0026",
    "\\\\u0026",
    "a\\n\\t\\b",
    "\\u0000",
    '\\"',
    "é\u2028",
    "\\u00e9",
    "\\/",
]
TEXTS += [
    "\\ud83d\\ude00",
    "\\ud83d",
    "\\ude00x",
    "\udcff",
    "\udced\udca0\udcbd",
    "\x7f",
    "\\u2028",
    "\ufffd",
]
TIMES = ["2020-01-02T03:04:05.123456789Z", "2020-12-31T23:59:59+05:45", "0001-01-01T00:00:00Z", "2020-02-29T00:00:00Z"]
TIMES += [
    "2019-02-29T00:00:00Z",
    "2020-04-31T00:00:00Z",
    "2020-01-02T3:04:05Z",
    "2020-01-02T03:04:05,5Z",
    "0000-01-01T00:00:00Z",
]
TIMES += [
    "2020-01-02T03:04:05+99:99",
    "2020\\u002d01-02T03:04:05Z",
    "2020-01-02T03:04:05Z\\n",
    "2020-01-02T03:04:.5Z",
    "",
    "x",
]
ODD = [
    "null",
    "true",
    "0",
    "-0",
    "1.0",
    "1e3",
    '"x"',
    "[]",
    "{}",
    "[null]",
    '["a",1]',
    '{"a":null}',
    '{"a":{"b":1}}',
]
INTEGERS = ["0", "1", "-1", "9223372036854775807", "-9223372036854775808", "9223372036854775808"]
SEPARATORS = [(":", ","), (":", ","), (": ", ", "), (" :\t", "\r\n,")]


def _in_quotes(texts):
    return st.sampled_from([f'"{text}"' for text in texts])


def _object(members):
    """An object of these strategies' (key, value) pairs."""
    return st.tuples(st.sampled_from(SEPARATORS), st.lists(members, max_size=6)).map(
        lambda drawn: "{" + drawn[0][1].join(f"{key}{drawn[0][0]}{value}" for key, value in drawn[1]) + "}"
    )


def _array(elements):
    return st.lists(elements, max_size=3).map(lambda drawn: "[" + ",".join(drawn) + "]")


def _values(kind):
    """Values that Go takes for a kind."""
    text = _in_quotes(TEXTS[:7] * 5 + TEXTS)
    match kind:
        case Struct():
            return struct(kind)
        case Pointer():
            return _values(kind.target)
        case Slice():
            return _array(_values(kind.element))
        case Text():
            return text
        case Int():
            return st.sampled_from(INTEGERS)
        case TextSet():
            return _object(st.tuples(text, st.just("{}")))
    return {
        BOOL: st.sampled_from(["true", "false"]),
        TIME: _in_quotes(TIMES[:4] * 10 + TIMES),
        STR_SLICE: _array(text) | text,
        TEXT_MAP: _object(st.tuples(text, text)),
    }[kind]


def _keys(key):
    """A key as it is, most often, or as Go takes it too."""
    others = [
        key.upper(),
        key.title(),
        key.replace("s", "ſ").replace("k", "\N{KELVIN SIGN}"),
        f"\\u{ord(key[0]):04x}{key[1:]}",
    ]
    return _in_quotes([key] * 40 + others)


def struct(kind):
    """The text of an object that Go reads into a struct, most often."""
    members = [st.tuples(_keys(field.key), _values(field.kind) | st.just("null")) for field in kind.fields.values()]
    unknown = st.tuples(_in_quotes(TEXTS), st.sampled_from(ODD))
    return _object(st.one_of([*members, *members, unknown]))


ROOTFS = '{"rootfs":{"type":"layers"},'


def images():
    """Documents by Go's declarations: keys that repeat, keys in any case, nulls, odd strings and times, and a value of some type."""
    return st.tuples(struct(IMAGE), st.sampled_from(["null"] * 20 + ODD)).map(lambda drawn: _image(*drawn))


def _image(text, odd):
    text = text if text == "{}" else ROOTFS + text[1:]
    return text.replace("null", odd, 1).encode("utf-8", "surrogateescape")


def mutated(documents):
    """Documents with up to three bytes changed, put in or taken out, or a stretch of them doubled."""
    edit = st.tuples(st.integers(0, 5000), st.integers(0, 4), st.sampled_from(b'{}[]",:\\u0 1ntfeE.+-\n\xff\xe2KkSs'))
    return st.tuples(documents, st.lists(edit, min_size=1, max_size=3)).map(lambda drawn: _edited(*drawn))


def _edited(document, edits):
    data = bytearray(document)
    for place, operation, byte in edits:
        at = place % (len(data) + 1)
        match operation:
            case 0:
                data[at : at + 1] = bytes([byte])
            case 1:
                data[at:at] = bytes([byte])
            case 2:
                del data[at : at + byte % 7 + 1]
            case 3:
                data[at:at] = data[at : at + byte]
            case 4:
                data[at : at + 1] = bytes(letter ^ 0x20 for letter in data[at : at + 1])
    return bytes(data)
