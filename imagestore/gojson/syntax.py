"""The syntax of JSON as Go's scanner has it: a cursor that reads a document, and what strings become on their way in and out.

A syntax error raises at once, wherever it stands. A value of the wrong type is only noted, and told when the whole document
was read: so a syntax error that comes later is still the one that is told, as in Go. Nothing here recurses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final, NoReturn

from imagestore.errors import InvalidImageError
from imagestore.gojson.quoting import shortened

MAX_DEPTH: Final = 10_000


def _spaced(pattern: bytes) -> bytes:
    """``pattern`` with JSON's white space allowed wherever it has a blank."""
    return pattern.replace(b" ", rb"[ \t\r\n]*+")


# Every repeat is possessive: nothing backtracks, so 64 MiB of anything are read in constant memory.
_STRING: Final = rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"'
_NUMBER: Final = rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++|(?!\.))(?:[eE][+-]?[0-9]++|(?![eE]))"
_SCALAR: Final = rb"(?:%s|%s|true|false|null)" % (_STRING, _NUMBER)
_FLAT_ARRAY: Final = _spaced(rb"\[ (?:%s (?:, (?!\])|(?=\])))*+\]") % _SCALAR
_FLAT_OBJECT: Final = _spaced(rb"\{ (?:%s : %s (?:, (?!\})|(?=\})))*+\}") % (_STRING, _SCALAR)
_FLAT: Final = rb"(?:%s|%s|%s)" % (_SCALAR, _FLAT_ARRAY, _FLAT_OBJECT)

_WHITE: Final = re.compile(_spaced(b" "))
_KEY: Final = re.compile(_spaced(b"(%s) :") % _STRING)
_FLAT_VALUE: Final = re.compile(_FLAT)
_FLAT_ELEMENTS: Final = re.compile(_spaced(b"(?: %s ,)*+") % _FLAT)
_FLAT_MEMBERS: Final = re.compile(_spaced(b"(?: %s : %s ,)*+") % (_STRING, _FLAT))
_CLOSERS: Final = {"[": "]", "{": "}"}

_GO_KINDS: Final = {b"{": "object", b"[": "array", b'"': "string", b"t": "bool", b"f": "bool"}
_GO_INTEGERS: Final = frozenset(("int", "int64", "time.Duration"))
_WHITE_OR_STRING: Final = re.compile(rb"[ \t\r\n]++|" + _STRING)
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ESCAPED: Final = re.compile('[\x00-\x1f"\\\\<>&\u2028\u2029\ud800-\udfff]')
_SHORT_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_HTML_ESCAPES: Final = tuple((character.encode(), b"\\u%04x" % ord(character)) for character in "<>&\u2028\u2029")


class Cursor:
    """Reads one JSON document from its beginning to its end.

    Every method that reads raises `InvalidImageError` at a syntax error, and where values nest more than 10,000 deep.
    """

    __slots__ = ("_at", "_data", "_depth", "_mismatch", "_refusal", "_value_at", "in_go", "path", "structs")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._value_at = 0
        self._depth = 0
        self._mismatch: str | None = None
        self._refusal: str | None = None
        self.path: list[str] = []
        """The keys on the way to where the cursor stands, for messages."""
        self.structs: list[str] = []
        """The names in Go of the structs that have these keys."""
        self.in_go = ""
        """What Go says of the value that `finish` tells of; empty where it says something else."""

    def peek(self) -> str:
        """The first character of the next token; empty at the end of the document."""
        self._skip(_WHITE)
        return chr(self._data[self._at]) if self._at < len(self._data) else ""

    def value(self) -> bytes:
        """Read a value of any kind, and return it as it stands."""
        self.peek()
        start = self._value_at = self._at
        opened: list[str] = []
        while True:
            opener = self.peek()
            if opener in _CLOSERS:
                self._check_depth(len(opened) + 1)
            if self._skip(_FLAT_VALUE):
                pass
            elif opener in _CLOSERS:
                self._at += 1
                opened.append(opener)
                self._to_value(opened)
                continue
            else:
                self._fail("a value")
            while opened and self._closes(_CLOSERS[opened[-1]]):
                opened.pop()
            if not opened:
                return self._data[start : self._at]
            self._to_value(opened)

    def members(self) -> Iterator[str]:
        """The keys of an object; a member's value is to be read before the next key is asked for."""
        closed = self._open("}")
        while not closed:
            yield unquote(self._read_key())
            closed = self._closes("}")
        self._depth -= 1

    def elements(self) -> Iterator[None]:
        """One turn for each element of an array; the element is to be read in it."""
        closed = self._open("]")
        while not closed:
            yield
            closed = self._closes("]")
        self._depth -= 1

    def mismatch(self, wanted: str, token: bytes, go: str = "") -> None:
        """Note that the value just read is not the ``wanted`` one, of the type ``go`` in Go; `finish` tells of the first."""
        if self._mismatch is None and self._refusal is None:
            self.in_go = self._unmarshal_error(token, go)
            found = shortened(token.decode("utf-8", "replace"))
            self._mismatch = f"expected {wanted}, found {found}{self._place()}"

    def refuse(self, reason: str, token: bytes = b"", go: str = "") -> None:
        """Note what a type's own method refuses of the value just read; `finish` tells of it before a `mismatch`."""
        if self._refusal is None:
            self._refusal = f"{reason}{self._place()}"
            self.in_go = self._unmarshal_error(token, go)

    def finish(self) -> None:
        """Check that the document ends here, and raise what was noted.

        Raises:
            InvalidImageError: something else follows, or a value was not what it should be.
        """
        if self.peek():
            self._fail("the end")
        problem = self._refusal or self._mismatch
        if problem is not None:
            raise InvalidImageError(f"invalid image JSON: {problem}")

    def _skip(self, pattern: re.Pattern[bytes]) -> bool:
        match = pattern.match(self._data, self._at)
        if match is None:
            return False
        self._at = match.end()
        return True

    def _open(self, closer: str) -> bool:
        """Enter a container; whether it is empty, and then it is left already."""
        self._check_depth(1)
        self._depth += 1
        self._at += 1
        if self.peek() != closer:
            return False
        self._at += 1
        return True

    def _closes(self, closer: str) -> bool:
        """Go past what follows a value in a container: whether that is the end of the container, and not a comma."""
        found = self.peek()
        if found not in (closer, ","):
            self._fail(f"',' or '{closer}'")
        self._at += 1
        return found == closer

    def _read_key(self) -> bytes:
        self.peek()
        match = _KEY.match(self._data, self._at)
        if match is None:
            self._fail("a key in quotes and a colon")
        self._at = match.end()
        return match[1]

    def _to_value(self, opened: list[str]) -> None:
        """In the innermost of these containers, go to its next value that is not flat or not followed by another."""
        in_object = opened[-1] == "{"
        if self._depth + len(opened) < MAX_DEPTH:
            self._skip(_FLAT_MEMBERS if in_object else _FLAT_ELEMENTS)
        if in_object:
            self._read_key()

    def _check_depth(self, more: int) -> None:
        if self._depth + more > MAX_DEPTH:
            raise InvalidImageError(f"invalid image JSON: more than {MAX_DEPTH} levels of nesting at byte {self._at}")

    def _place(self) -> str:
        return f" in {'.'.join(self.path)} at byte {self._value_at}" if self.path else f" at byte {self._value_at}"

    def _unmarshal_error(self, token: bytes, go: str) -> str:
        """What Go says of a value that does not go into a type; nothing for a type without a name."""
        place = f"struct field {self.structs[-1]}.{'.'.join(self.path)}" if self.path else "value"
        found = _GO_KINDS.get(token[:1], "number")
        if found == "number" and go in _GO_INTEGERS:
            found += f" {shortened(token.decode())}"
        return f"json: cannot unmarshal {found} into Go {place} of type {go}" if go else ""

    def _fail(self, wanted: str) -> NoReturn:
        found = self._data[self._at : self._at + 1]
        if not found:
            raise InvalidImageError(f"invalid image JSON: unexpected end, expected {wanted}")
        shown = "a malformed string" if found == b'"' else ascii(found.decode("latin-1"))
        raise InvalidImageError(f"invalid image JSON: expected {wanted}, found {shown} at byte {self._at}")


def unquote(token: bytes) -> str:
    """The text of a string token: each byte that is not UTF-8, and each half of a surrogate pair, becomes U+FFFD."""
    text = token.decode("utf-8", "surrogateescape")
    text = json.loads(text) if "\\" in text else text[1:-1]
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


def quote(text: str) -> str:
    """``text`` as the string token that Go writes: ``<``, ``>``, ``&``, U+2028 and U+2029 are escaped, other Unicode is not.

    A lone surrogate stands for a byte that is not UTF-8, and is written as the escape of U+FFFD.
    """
    return f'"{_ESCAPED.sub(_escape, text)}"'


def compact(value: bytes) -> bytes:
    """A valid JSON value without white space and with Go's escapes, byte for byte otherwise (``json.Marshal`` of a RawMessage)."""
    tight = _WHITE_OR_STRING.sub(lambda match: match[0] if match[0][:1] == b'"' else b"", value)
    for character, escape in _HTML_ESCAPES:
        tight = tight.replace(character, escape)
    return tight


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if "\ud800" <= character <= "\udfff":
        return "\\ufffd"
    return _SHORT_ESCAPES.get(character) or f"\\u{ord(character):04x}"
