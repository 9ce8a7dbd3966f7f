"""The members of an archive's tar, one after the other, by the rules of Go's ``archive/tar``.

Names may be up to a megabyte long here and may be anything: what they lead to is for `imagestore.archive.tree` to say. Nothing is
unpacked, and nothing is held but the headers of one member.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from imagestore.content.reading import read_up_to
from imagestore.content.tar import (
    BLOCK,
    GLOBAL,
    LARGEST_HEADER,
    LARGEST_NUMBER,
    LONG_LINK,
    LONG_NAME,
    PAX,
    SPARSE,
    WITHOUT_DATA,
    HeaderError,
    check_sum,
    number,
    padded,
    records,
    stated,
)
from imagestore.errors import InvalidArchiveError

REGULAR: Final = b"0"
LINK: Final = b"1"
SYMLINK: Final = b"2"
FOLDER: Final = b"5"

_ZEROS: Final = bytes(BLOCK)
_SKIPPED: Final = 1 << 20
_NUMBERS: Final = (
    slice(100, 108),  # mode
    slice(108, 116),  # owner
    slice(116, 124),  # group
    slice(136, 148),  # time
    slice(329, 337),  # device, from ustar on
    slice(337, 345),
)
_NAMES: Final = (b"path", b"linkpath", b"uname", b"gname")
_WHOLE_NUMBERS: Final = (b"size", b"uid", b"gid")
_TIMES: Final = (b"mtime", b"atime", b"ctime")
_TIME: Final = re.compile(rb"(?:[+-]?[0-9]+(?:\.[0-9]*)?)?")
_UNPACKING: Final = "Error processing tar file(exit status 1): "


class Member(NamedTuple):
    """What the headers of a member say.

    Attributes:
        kind: the type flag; of files always `REGULAR`, of old folders `FOLDER`.
        name, target: as they are written, in UTF-8 with surrogate escapes; the target is that of a link.
        size: bytes of its data.
        is_sparse: whether the data leaves holes out, so that they are not the file.
    """

    kind: bytes
    name: str
    target: str
    size: int
    is_sparse: bool


class Members:
    """The members of a tar, to be iterated over once; the data of one is there until the next is asked for.

    Args:
        stream: at the tar's beginning.
        is_seekable: whether data that nobody reads may be passed over by seeking.

    Attributes:
        position: bytes of the tar that have been read or passed over.
    """

    def __init__(self, stream: BinaryIO, *, is_seekable: bool) -> None:
        self.position = 0
        self._stream = stream
        self._is_seekable = is_seekable
        self._left = 0  # of the member's data
        self._padding = 0

    def __iter__(self) -> Iterator[Member]:
        """The members.

        Raises:
            InvalidArchiveError: it is no tar, or breaks off.
        """
        extended: dict[bytes, bytes] = {}
        long: dict[bytes, bytes] = {}
        while block := self._next_block():
            try:
                check_sum(block)
                kind = block[156:157]
                size = _size(block)
                if kind in (PAX, GLOBAL, LONG_NAME, LONG_LINK):
                    data = self._header_data(size)
                    if kind in (PAX, GLOBAL):
                        extended = _records(data)
                    else:
                        long[kind] = data.partition(b"\0")[0]
                    if kind == GLOBAL:  # which the daemon passes over, with what came before it
                        extended, long = {}, {}
                    continue
                member = _member(block, kind, size, extended, long)
            except HeaderError as error:
                raise _invalid() from error
            extended, long = {}, {}
            self._left = 0 if member.kind in WITHOUT_DATA else member.size
            self._padding = padded(self._left) - self._left
            yield member

    def read(self, size: int) -> bytes:
        """The next bytes of the member's data, at most so many; none at its end.

        Raises:
            InvalidArchiveError: the tar breaks off.
        """
        wanted = min(size, self._left)
        if not wanted:
            return b""
        data = self._stream.read(wanted)
        if not data:
            raise unexpected_end()
        self._left -= len(data)
        self.position += len(data)
        return data

    def _next_block(self) -> bytes:
        """The next header; none at the end of the tar."""
        self._pass_over()
        block = self._read_up_to(BLOCK)
        is_end = block == _ZEROS
        if is_end:
            block = self._read_up_to(BLOCK)
        if 0 < len(block) < BLOCK:
            raise unexpected_end()
        if is_end and block.strip(b"\0"):
            raise _invalid()
        return b"" if is_end else block

    def _pass_over(self) -> None:
        if self._is_seekable and self._left:
            try:
                self._stream.seek(self._left - 1, 1)
            except (OSError, OverflowError) as error:  # further than any file goes
                raise unexpected_end() from error
            self.position += self._left - 1
            self._left = 1  # to be read, which shows that it is there
        while self._left:
            self.read(_SKIPPED)
        self._read_up_to(self._padding)  # which need not be there
        self._padding = 0

    def _header_data(self, size: int) -> bytes:
        if size > LARGEST_HEADER:
            raise unpacking("no-tar", "archive/tar: header field too long")
        data = self._read_up_to(padded(size))
        if len(data) < size:
            raise unexpected_end()
        return data[:size]

    def _read_up_to(self, size: int) -> bytes:
        data = read_up_to(self._stream, size)
        self.position += len(data)
        return data


def unexpected_end() -> InvalidArchiveError:
    """What is said of an archive that breaks off."""
    return InvalidArchiveError("truncated", f"{_UNPACKING}unexpected EOF")


def unpacking(reason: str, message: str) -> InvalidArchiveError:
    """What is said of a member that the daemon could not have unpacked."""
    return InvalidArchiveError(reason, _UNPACKING + message)


def _invalid() -> InvalidArchiveError:
    return InvalidArchiveError("no-tar", f"{_UNPACKING}archive/tar: invalid tar header")


def _size(block: bytes) -> int:
    """The size in a header, the other numbers of which are numbers too."""
    for field in _NUMBERS if block[257:262] == b"ustar" else _NUMBERS[:4]:
        if not block[field][0] & 0x80:  # else it may be negative
            number(block[field])
    size = number(block[124:136])
    if size > LARGEST_NUMBER:
        raise HeaderError("a size is too large")
    return size


def _records(data: bytes) -> dict[bytes, bytes]:
    """PAX records by their keys; of two with one key the later."""
    found = dict(records(data))
    if any(b"\0" in (value if key in _NAMES else key) for key, value in found.items()):
        raise HeaderError("a PAX record has a NUL")
    return found


def _member(block: bytes, kind: bytes, size: int, extended: dict[bytes, bytes], long: dict[bytes, bytes]) -> Member:
    for key in _TIMES:
        if not _TIME.fullmatch(extended.get(key, b"")):
            raise HeaderError(f"a PAX record has no {key!r}")
    sizes = [stated(extended.get(key, b"")) for key in _WHOLE_NUMBERS]
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0":
        end = 476 if block[508:512] == b"tar\0" else 500
        if prefix := block[345:end].partition(b"\0")[0]:
            name = prefix + b"/" + name
    name = long.get(LONG_NAME) or extended.get(b"path") or name
    target = long.get(LONG_LINK) or extended.get(b"linkpath") or block[157:257].partition(b"\0")[0]
    if sizes[0] is not None:
        size = sizes[0]
    if kind == b"\0":
        kind = FOLDER if name.endswith(b"/") else REGULAR
    if size < 0 and kind not in WITHOUT_DATA:
        raise HeaderError("a size is negative")
    if kind == SPARSE and block[257:265] != b"ustar  \0":
        raise HeaderError("this kind is GNU's alone")
    is_sparse = any(key.startswith(b"GNU.sparse.") for key in extended)
    return Member(kind, _text(extended.get(b"GNU.sparse.name") or name), _text(target), size, is_sparse)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
