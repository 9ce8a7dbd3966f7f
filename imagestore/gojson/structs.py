"""Go structs: declared once, as a list of fields like Go's struct tags, then read and written from that declaration.

`decode` is the exact way to read, `imagestore.gojson.fast` the fast one for the documents that leave nothing to doubt.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from imagestore.gojson.kinds import Kind
from imagestore.gojson.syntax import Cursor, compact, quote

_FOLDED: Final = str.maketrans(string.ascii_uppercase + "\N{KELVIN SIGN}ſ", string.ascii_lowercase + "ks")


class Field(msgspec.Struct, frozen=True):
    """A field of a `Struct`: its name in Python, its key in JSON, its kind, and whether it is left out when empty."""

    name: str
    key: str
    kind: Kind
    omitempty: bool = False

    def zero(self) -> Any:
        """Go's zero value."""
        return self.finish(self.kind.zero())

    def finish(self, draft: Any) -> Any:
        """The value of a draft."""
        value = self.kind.finish(draft)
        return self.kind.empty if value is None and self.omitempty else value

    def load(self, wire: Any) -> Any:
        """The value of what msgspec has read."""
        value = self.kind.load(wire)
        return self.kind.empty if value is None and self.omitempty else value


class Struct(Kind):
    """A Go struct.

    Args:
        make: the Python class; its defaults are Go's zero values.
        fields: in the order in which Go writes them.
        go: its name in Go, with that of its package.
    """

    def __init__(self, make: Callable[..., Any], *fields: Field, go: str = "") -> None:
        self.go = go
        self._go_name = go.rpartition(".")[2] if "." in go else ""  # one that is declared where it is used has none
        self.fields = {field.name: field for field in fields}
        self._make = make
        self._by_key = {field.key: field for field in fields}
        self._by_folded_key = {_fold(field.key): field for field in fields}
        self.wire = msgspec.defstruct(
            f"{make.__name__}Wire",
            [
                (field.name, field.kind.wire | UnsetType, msgspec.field(default=UNSET, name=field.key))
                for field in fields
            ],
            gc=False,
        )

    def zero(self) -> dict[str, Any]:
        return {}

    def read(self, cursor: Cursor, draft: dict[str, Any]) -> dict[str, Any]:
        if cursor.peek() != "{":
            token = cursor.value()
            if token != b"null":
                cursor.mismatch("an object", token, self.go)
            return draft
        cursor.structs.append(self._go_name)
        for key in cursor.members():
            field = self._by_key.get(key) or self._by_folded_key.get(_fold(key))
            if field is None:
                cursor.value()
                continue
            cursor.path.append(field.key)
            earlier = draft[field.name] if field.name in draft else field.kind.zero()
            draft[field.name] = field.kind.read(cursor, earlier)
            cursor.path.pop()
        cursor.structs.pop()
        return draft

    def finish(self, draft: dict[str, Any]) -> Any:
        return self._make(**self.finish_fields(draft))

    def finish_fields(self, draft: dict[str, Any]) -> dict[str, Any]:
        """The values of the fields that were read."""
        return {name: self.fields[name].finish(field_draft) for name, field_draft in draft.items()}

    def load(self, wire: Any) -> Any:
        fields = {}
        for name, field in self.fields.items():
            found = getattr(wire, name)
            if found is not UNSET:
                fields[name] = field.load(found)
        return self._make(**fields)

    def write(self, value: Any) -> str:
        return "{" + ",".join(f'"{key}":{written}' for key, written in self._written(value)) + "}"

    def write_members(self, value: Any) -> dict[str, bytes]:
        """What is written of each field, by its key."""
        return {key: written.encode() for key, written in self._written(value)}

    def _written(self, value: Any) -> Iterator[tuple[str, str]]:
        for field in self.fields.values():
            found = getattr(value, field.name)
            if not (field.omitempty and field.kind.is_empty(found)):
                yield field.key, field.kind.write(found)

    def is_empty(self, value: Any) -> bool:
        return False


def decode(kind: Kind, data: bytes) -> Any:
    """The value in a JSON document (``json.Unmarshal`` into a zero value).

    Raises:
        InvalidImageError: Go refuses it too.
    """
    return kind.finish(decode_draft(kind, data))


def decode_draft(kind: Kind, data: bytes) -> Any:
    """As `decode`, but the draft of the value."""
    cursor = Cursor(data)
    draft = kind.read(cursor, kind.zero())
    cursor.finish()
    return draft


def encode(kind: Kind, value: Any) -> bytes:
    """The value as ``json.Marshal`` writes it.

    Raises:
        InvalidTimeError: a time in a year outside of 0 to 9999.
    """
    return kind.write(value).encode()


def decode_members(data: bytes) -> dict[str, bytes]:
    """The values of an object's members by key, as they are written again; of a key that comes twice the last.

    Raises:
        InvalidImageError: it is no object.

    Source: ``json.Unmarshal`` into a ``map[string]*json.RawMessage``.
    """
    cursor = Cursor(data)
    members: dict[str, bytes] = {}
    if cursor.peek() == "{":
        for key in cursor.members():
            members[key] = compact(cursor.value())
    else:
        token = cursor.value()
        if token != b"null":
            cursor.mismatch("an object", token)
    cursor.finish()
    return members


def encode_members(members: dict[str, bytes]) -> bytes:
    """An object of values that are JSON already, in the order of their keys (``json.Marshal`` of that map)."""
    return b"{%s}" % b",".join(b"%s:%s" % (quote(key).encode(), members[key]) for key in sorted(members))


def _fold(key: str) -> str:
    """``key`` as Go compares it with the ASCII key of a field: the Kelvin sign is a k, the long s an s."""
    return key.translate(_FOLDED)
