"""Go's encoding/json, as Go 1.19 has it and as far as image configurations need it.

Python's json is another dialect: it tells the case of keys, takes NaN, refuses bytes that are not UTF-8, and writes ``&`` as it is;
its datetime has no nanoseconds. An image's ID is the hash of its bytes, so every such difference would be another image.

    syntax    tokens: where they end, what strings mean
    kinds     Go's types: string, int64, time.Time, []T, map, *T
    structs   Go's structs, and decode and encode
    fast      msgspec in place of decode, for the documents that both read alike
    gotime    time.Time
    words     what Go says of what it refuses
    quoting   how messages show a text of a document
"""

from imagestore.gojson.fast import FastReader
from imagestore.gojson.gotime import GoTime
from imagestore.gojson.kinds import (
    BOOL,
    INT,
    STR_SLICE,
    TEXT,
    TEXT_MAP,
    TEXT_SET,
    TIME,
    Int,
    Map,
    Pointer,
    Slice,
    Text,
    TextSet,
)
from imagestore.gojson.quoting import quoted, shortened
from imagestore.gojson.structs import Field, Struct, decode, decode_draft, decode_members, encode, encode_members
from imagestore.gojson.syntax import quote
from imagestore.gojson.words import decode_in_words, draft_in_words

__all__ = [
    "BOOL",
    "INT",
    "STR_SLICE",
    "TEXT",
    "TEXT_MAP",
    "TEXT_SET",
    "TIME",
    "FastReader",
    "Field",
    "GoTime",
    "Int",
    "Map",
    "Pointer",
    "Slice",
    "Struct",
    "Text",
    "TextSet",
    "decode",
    "decode_draft",
    "decode_in_words",
    "decode_members",
    "draft_in_words",
    "encode",
    "encode_members",
    "quote",
    "quoted",
    "shortened",
]
