"""The fast way to read a document: msgspec reads it, and one comparison of lengths tells whether that was right.

msgspec knows none of Go's leniencies: to it a key in another case is unknown and skipped, and of a key that comes twice the
last one counts. So what it has read is written again, which leaves out whatever was skipped. msgspec writes no token longer
than any document can have it. So if the length is the document's own, nothing was skipped, and every token is in its shortest
form, times without escapes among them. Go's own documents are as short, but for the escapes of ``<``, ``>`` and ``&``; and white space can
be taken out first. Whatever else is different is left to `imagestore.gojson.structs.decode`, which alone defines the answer.
"""

from __future__ import annotations

import re
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec import UNSET

from imagestore.gojson.kinds import Slice, Time
from imagestore.gojson.structs import Struct

_ENCODE: Final = msgspec.json.Encoder().encode
_DAY: Final = r"(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31"
_IS_TIME: Final = re.compile(
    rf"[0-9]{{4}}-(?:{_DAY})T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]++)?+(?:Z|[+-][0-9][0-9]:[0-9][0-9])"
).fullmatch


class FastReader:
    """Reads the documents of one `Struct`, times in it and in its slices of structs included."""

    def __init__(self, struct: Struct) -> None:
        self._decode = msgspec.json.Decoder(struct.wire).decode
        self._times = [name for name, field in struct.fields.items() if isinstance(field.kind, Time)]
        self._times_in_slices = [
            (name, attrgetter(inner))
            for name, field in struct.fields.items()
            if isinstance(field.kind, Slice) and isinstance(field.kind.element, Struct)
            for inner, inner_field in field.kind.element.fields.items()
            if isinstance(inner_field.kind, Time)
        ]

    def read(self, data: bytes) -> Any:
        """What `Struct.load` takes, or None when only the exact way can tell."""
        try:
            wire = self._decode(data)
            written = _ENCODE(wire)
            if not _is_all_of(written, data) and not _is_all_of(written, msgspec.json.format(data, indent=-1)):
                return None
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None
        times = [getattr(wire, name) for name in self._times]
        for name, time_of in self._times_in_slices:
            times += map(time_of, getattr(wire, name) or ())
        return wire if all(time is UNSET or _IS_TIME(time) for time in times) else None


def _is_all_of(written: bytes, data: bytes) -> bool:
    """Whether ``written`` is as long as ``data``, counting ``<``, ``>`` and ``&`` as Go writes them or as they are."""
    excess = len(data) - len(written)
    if not excess:
        return True
    if excess % 5 or b"&" in data or b"<" in data or b">" in data:
        return False
    return excess == 5 * (len(written) - len(written.translate(None, b"<>&")))
