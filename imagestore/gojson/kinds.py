"""Go's types, as far as images need them: how each is read from JSON, and how it is written.

Reading keeps Go's rules for what a document repeats: keys match in any case; null leaves a string, number, bool, time or
struct as it was, and resets a pointer, slice or map; a key that comes again reads into what the first one left. So a kind
reads into a *draft*, the value as far as it has been read, and makes the immutable value from it at the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import GenericAlias
from typing import Annotated, Any, ClassVar, Final, TypeVar

import msgspec

from imagestore.errors import InvalidTimeError
from imagestore.gojson.gotime import GoTime
from imagestore.gojson.syntax import Cursor, quote, unquote

_INTEGER: Final = re.compile(rb"-?[0-9]{1,19}")
_LEAST: Final = -(2**63)
_MOST: Final = 2**63 - 1
_Draft = TypeVar("_Draft")


class Kind:
    """One Go type.

    ``wire`` is the type that msgspec reads it as, which must not take more than Go does. ``empty`` stands for nil in a field
    that is left out when empty: in such a field Go's output cannot tell nil from empty, so Python has one value for both.
    ``go`` is its name in Go's own errors; empty where those say something else.
    """

    wire: Any
    go: str = ""
    empty: ClassVar[Any] = None

    def zero(self) -> Any:
        """The draft of Go's zero value."""
        return None

    def read(self, cursor: Cursor, draft: Any) -> Any:
        """Read the next value into ``draft``, and return what is then the draft."""
        raise NotImplementedError

    def finish(self, draft: Any) -> Any:
        """The immutable value of a draft."""
        return draft

    def load(self, wire: Any) -> Any:
        """The immutable value of what msgspec has read."""
        return wire

    def write(self, value: Any) -> str:
        """The value as ``json.Marshal`` writes it."""
        raise NotImplementedError

    def is_empty(self, value: Any) -> bool:
        """Whether ``omitempty`` leaves it out."""
        return not value


class Text(Kind):
    """``string`` and the types made of it; ``make`` turns the text into the value."""

    wire = str

    def __init__(self, make: Callable[[str], str] = str, *, go: str = "string") -> None:
        self._make = make
        self.go = go

    def zero(self) -> str:
        return ""

    def read(self, cursor: Cursor, draft: str) -> str:
        token = cursor.value()
        if token.startswith(b'"'):
            return unquote(token)
        if token != b"null":
            cursor.mismatch("a string", token, self.go)
        return draft

    def finish(self, draft: str) -> str:
        return self._make(draft)

    def load(self, wire: str) -> str:
        return self._make(wire)

    def write(self, value: str | None) -> str:
        return quote(value or "")  # None is how Python says that an image has no parent


class _Bool(Kind):
    wire = bool
    go = "bool"

    def zero(self) -> bool:
        return False

    def read(self, cursor: Cursor, draft: bool) -> bool:
        token = cursor.value()
        if token in (b"true", b"false"):
            return token == b"true"
        if token != b"null":
            cursor.mismatch("a bool", token, self.go)
        return draft

    def write(self, value: bool) -> str:
        return "true" if value else "false"


class Int(Kind):
    """``int64`` and the types made of it; ``int`` has as many bits."""

    wire = Annotated[int, msgspec.Meta(ge=_LEAST, le=_MOST)]

    def __init__(self, go: str = "int64") -> None:
        self.go = go

    def zero(self) -> int:
        return 0

    def read(self, cursor: Cursor, draft: int) -> int:
        token = cursor.value()
        if _INTEGER.fullmatch(token) and _LEAST <= int(token) <= _MOST:
            return int(token)
        if token != b"null":
            cursor.mismatch("an integer of 64 bits without fraction and exponent", token, self.go)
        return draft

    def write(self, value: int) -> str:
        return str(value)


class Time(Kind):
    """``time.Time``. Go parses the token as it stands, so an escaped digit is no digit."""

    wire = str

    def zero(self) -> GoTime:
        return GoTime.ZERO

    def read(self, cursor: Cursor, draft: GoTime) -> GoTime:
        token = cursor.value()
        if token != b"null":
            try:
                return GoTime.from_json(token.decode("utf-8", "backslashreplace"))
            except InvalidTimeError as error:
                cursor.refuse(str(error))
        return draft

    def load(self, wire: str) -> GoTime:
        return GoTime.from_json(f'"{wire}"')

    def write(self, value: GoTime) -> str:
        if not 0 <= value.year <= 9999:
            raise InvalidTimeError(f"Time.MarshalJSON: year outside of range [0,9999]: {value}")
        return f'"{value}"'

    def is_empty(self, value: GoTime) -> bool:
        return False


class _StrSlice(Kind):
    """``strslice.StrSlice``: a string does for a slice of one, and nothing is left of what a key before had."""

    wire = tuple[str, ...] | str | None
    empty = ()

    def read(self, cursor: Cursor, draft: tuple[str, ...] | None) -> tuple[str, ...] | None:
        token = cursor.value()
        if token == b"null":
            return None
        if token.startswith(b'"'):
            return (unquote(token),)
        if token.startswith(b"["):
            inner = Cursor(token)
            tokens = [inner.value() for _ in inner.elements()]
            if all(element == b"null" or element.startswith(b'"') for element in tokens):
                return tuple("" if element == b"null" else unquote(element) for element in tokens)
        cursor.refuse("expected a string or an array of strings", token, "string")
        return draft

    def load(self, wire: tuple[str, ...] | str | None) -> tuple[str, ...] | None:
        return (wire,) if isinstance(wire, str) else wire

    def write(self, value: Iterable[str] | None) -> str:
        return "null" if value is None else f"[{','.join(map(quote, value))}]"


class _Container(Kind):
    """A type whose zero value is nil, to which null resets it."""

    def _read_other(self, cursor: Cursor, wanted: str, draft: _Draft) -> _Draft | None:
        """Read what is not the ``wanted`` container."""
        token = cursor.value()
        if token == b"null":
            return None
        cursor.mismatch(wanted, token, self.go)
        return draft


class _Elements:
    """The draft of a slice: those after ``length`` were cut off, but Go reuses their memory without clearing it."""

    __slots__ = ("items", "length")

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.length = 0


class Slice(_Container):
    """``[]T``, a tuple."""

    empty = ()

    def __init__(self, element: Kind) -> None:
        self.element = element
        self.go = element.go and f"[]{element.go}"
        self.wire = GenericAlias(tuple, (element.wire, ...)) | None

    def read(self, cursor: Cursor, draft: _Elements | None) -> _Elements | None:
        if cursor.peek() != "[":
            return self._read_other(cursor, "an array", draft)
        elements = draft or _Elements()
        count = 0
        for _ in cursor.elements():
            if count == len(elements.items):
                elements.items.append(self.element.zero())
            elements.items[count] = self.element.read(cursor, elements.items[count])
            count += 1
        if not count:
            return _Elements()
        elements.length = count
        return elements

    def finish(self, draft: _Elements | None) -> tuple[Any, ...] | None:
        return None if draft is None else tuple(map(self.element.finish, draft.items[: draft.length]))

    def load(self, wire: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        return None if wire is None else tuple(map(self.element.load, wire))

    def write(self, value: Iterable[Any] | None) -> str:
        return "null" if value is None else f"[{','.join(map(self.element.write, value))}]"


class _TextMap(_Container):
    """``map[string]string``, written in the order of its keys."""

    wire = dict[str, str] | None
    go = "map[string]string"

    def read(self, cursor: Cursor, draft: dict[str, str] | None) -> dict[str, str] | None:
        if cursor.peek() != "{":
            return self._read_other(cursor, "an object", draft)
        entries = {} if draft is None else draft
        for key in cursor.members():
            entries[key] = TEXT.read(cursor, "")
        return entries

    def write(self, value: Mapping[str, str] | None) -> str:
        if value is None:
            return "null"
        return "{" + ",".join(f"{quote(key)}:{quote(value[key])}" for key in sorted(value)) + "}"


class Map(_Container):
    """``map[string]T``, of which nothing is left of what a key before had; it is read alone."""

    def __init__(self, element: Kind, *, go: str = "") -> None:
        self.element = element
        self.go = go or (element.go and f"map[string]{element.go}")
        self.wire = GenericAlias(dict, (str, element.wire)) | None

    def read(self, cursor: Cursor, draft: dict[str, Any] | None) -> dict[str, Any] | None:
        if cursor.peek() != "{":
            return self._read_other(cursor, "an object", draft)
        entries = {} if draft is None else draft
        for key in cursor.members():
            entries[key] = self.element.read(cursor, self.element.zero())
        return entries

    def finish(self, draft: dict[str, Any] | None) -> dict[str, Any] | None:
        return None if draft is None else {key: self.element.finish(entry) for key, entry in draft.items()}


class Nothing(msgspec.Struct):
    """What msgspec reads ``struct{}`` as."""


class TextSet(_Container):
    """``map[string]struct{}``, a frozenset, written in order."""

    wire = dict[str, Nothing] | None
    empty = frozenset()

    def __init__(self, go: str = "map[string]struct {}") -> None:
        self.go = go

    def read(self, cursor: Cursor, draft: set[str] | None) -> set[str] | None:
        if cursor.peek() != "{":
            return self._read_other(cursor, "an object", draft)
        entries = set() if draft is None else draft
        for key in cursor.members():
            token = cursor.value()
            if token != b"null" and not token.startswith(b"{"):
                cursor.mismatch("an object", token, "struct {}")
            entries.add(key)
        return entries

    def finish(self, draft: set[str] | None) -> frozenset[str] | None:
        return None if draft is None else frozenset(draft)

    def load(self, wire: dict[str, Nothing] | None) -> frozenset[str] | None:
        return None if wire is None else frozenset(wire)

    def write(self, value: Iterable[str] | None) -> str:
        return "null" if value is None else "{" + ",".join(f"{quote(key)}:{{}}" for key in sorted(value)) + "}"


class Pointer(Kind):
    """``*T``: the value, or None."""

    def __init__(self, target: Kind) -> None:
        self.target = target
        self.go = target.go
        self.wire = target.wire | None

    def read(self, cursor: Cursor, draft: Any) -> Any:
        if cursor.peek() == "n":
            cursor.value()
            return None
        return self.target.read(cursor, self.target.zero() if draft is None else draft)

    def finish(self, draft: Any) -> Any:
        return None if draft is None else self.target.finish(draft)

    def load(self, wire: Any) -> Any:
        return None if wire is None else self.target.load(wire)

    def write(self, value: Any) -> str:
        return "null" if value is None else self.target.write(value)

    def is_empty(self, value: Any) -> bool:
        return value is None


TEXT: Final = Text()
BOOL: Final = _Bool()
INT: Final = Int()
TIME: Final = Time()
STR_SLICE: Final = _StrSlice()
TEXT_MAP: Final = _TextMap()
TEXT_SET: Final = TextSet()
