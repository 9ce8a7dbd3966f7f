"""What Go's encoding/json says of a document that it refuses, in its own words: for who has to say what the daemon says.

`imagestore.gojson.structs.decode` refuses the same documents, and names the place, which Go does not.
"""

from __future__ import annotations

import re
from typing import Any, Final, NoReturn

from imagestore.errors import InvalidImageError
from imagestore.gojson.kinds import Kind
from imagestore.gojson.quoting import quoted_byte
from imagestore.gojson.syntax import MAX_DEPTH, Cursor

_WHITE: Final = re.compile(rb"[ \t\r\n]*+")
_IN_STRING: Final = re.compile(rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+')
_ESCAPE: Final = re.compile(rb"\\(?:u[0-9a-fA-F]{0,3})?")
_INTEGER: Final = re.compile(rb"0|[1-9][0-9]*+")
_DIGITS: Final = re.compile(rb"[0-9]*+")
_LITERALS: Final = {b"t": b"true", b"f": b"false", b"n": b"null"}
_CLOSERS: Final = {b"[": b"]", b"{": b"}"}


def decode_in_words(kind: Kind, data: bytes, *, first: bool = False) -> Any:
    """As `imagestore.gojson.decode`, but what is wrong is said as Go says it.

    Raises:
        InvalidImageError: Go refuses it too.
    """
    return kind.finish(draft_in_words(kind, data, first=first))


def draft_in_words(kind: Kind, data: bytes, *, first: bool = False) -> Any:
    """As `decode_in_words`, but the draft of the value.

    Args:
        kind: of the value.
        data: the document.
        first: take the first value and leave what follows alone, as ``json.Decoder`` does.

    Raises:
        InvalidImageError: Go refuses it too.

    Source: ``json.Unmarshal``, ``json.Decoder.Decode``.
    """
    cursor = Cursor(data)
    try:
        if first:
            cursor = Cursor(cursor.value())
        draft = kind.read(cursor, kind.zero())
        cursor.finish()
    except InvalidImageError as error:
        raise InvalidImageError(syntax_error(data, first=first) or cursor.in_go or str(error)) from error
    return draft


def syntax_error(data: bytes, *, first: bool = False) -> str | None:
    """What Go's scanner says of a document; None where it is sound. Costs as much as the document is long.

    Args:
        data: the document.
        first: whether no more than its first value matters.

    Source: ``json.checkValid``, ``json.Decoder.Decode``.
    """
    scanner = _Scanner(data)
    try:
        scanner.value()
        if not first:
            scanner.end()
    except _EndError:
        if not first:
            return "unexpected end of JSON input"
        return "unexpected EOF" if data.strip(b" \t\r\n") else "EOF"
    except _SyntaxError as error:
        return str(error)
    return None


class _EndError(Exception):
    """The document ends where more has to come."""


class _SyntaxError(Exception):
    """What Go's scanner says."""


class _Scanner:
    """Goes through a document, and raises where Go's scanner does."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def value(self) -> None:
        opened: list[bytes] = []
        while True:
            opener = self._next()
            if opener not in _CLOSERS:
                self._scalar(opener)
            else:
                self._at += 1
                opened.append(opener)
                if len(opened) > MAX_DEPTH:
                    self._at -= 1
                    self._fail("exceeded max depth")
                if self._next() != _CLOSERS[opener]:
                    if opener == b"{":
                        self._key()
                    continue
            if not self._goes_on(opened):
                return

    def end(self) -> None:
        if self._next():
            self._fail("after top-level value")

    def _goes_on(self, opened: list[bytes]) -> bool:
        """Go past what follows a value; whether another comes."""
        while opened:
            found = self._next()
            in_object = opened[-1] == b"{"
            if found == _CLOSERS[opened[-1]]:
                opened.pop()
            elif found != b",":
                self._fail("after object key:value pair" if in_object else "after array element")
            self._at += 1
            if found == b",":
                if in_object:
                    self._key()
                return True
        return False

    def _key(self) -> None:
        if self._next() != b'"':
            self._fail("looking for beginning of object key string")
        self._string()
        if self._next() != b":":
            self._fail("after object key")
        self._at += 1

    def _scalar(self, opener: bytes) -> None:
        if opener == b'"':
            self._string()
        elif opener == b"-" or opener.isdigit():
            self._number()
        elif opener in _LITERALS:
            self._literal(_LITERALS[opener])
        else:
            self._fail("looking for beginning of value")

    def _string(self) -> None:
        self._pass(_IN_STRING)
        if self._byte() == b"\\":
            escape = self._pass(_ESCAPE)
            self._fail("in string escape code" if escape == b"\\" else "in \\u hexadecimal character escape")
        if self._byte() != b'"':
            self._fail("in string literal")
        self._at += 1

    def _number(self) -> None:
        if self._byte() == b"-":
            self._at += 1
            self._require_digit("in numeric literal")
        self._pass(_INTEGER)
        if self._byte() == b".":
            self._at += 1
            self._require_digit("after decimal point in numeric literal")
            self._pass(_DIGITS)
        if self._byte() in (b"e", b"E"):
            self._at += 1
            if self._byte() in (b"+", b"-"):
                self._at += 1
            self._require_digit("in exponent of numeric literal")
            self._pass(_DIGITS)

    def _literal(self, literal: bytes) -> None:
        for place in range(1, len(literal)):
            self._at += 1
            wanted = literal[place : place + 1]
            if self._byte() != wanted:
                self._fail(f"in literal {literal.decode()} (expecting {quoted_byte(wanted)})")
        self._at += 1

    def _require_digit(self, where: str) -> None:
        if not self._byte().isdigit():
            self._fail(where)

    def _next(self) -> bytes:
        """The next byte that is no white space; none at the end."""
        self._pass(_WHITE)
        return self._byte()

    def _byte(self) -> bytes:
        return self._data[self._at : self._at + 1]

    def _pass(self, pattern: re.Pattern[bytes]) -> bytes:
        match = pattern.match(self._data, self._at)
        if match is None:
            return b""
        self._at = match.end()
        return match[0]

    def _fail(self, where: str) -> NoReturn:
        found = self._byte()
        if not found:
            raise _EndError
        raise _SyntaxError(f"invalid character {quoted_byte(found)} {where}")
