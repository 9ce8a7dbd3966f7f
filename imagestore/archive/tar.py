"""The members of an archive's tar, one after the other, by the rules of Go's ``archive/tar``.

Names may be up to a megabyte long here and may be anything: what they lead to is for `imagestore.archive.tree` to say. Nothing is
unpacked, and nothing is held but the headers of one member.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from imagestore.content.tar import (
    BLOCK,
    GLOBAL,
    LARGEST_HEADER,
    LONG_LINK,
    LONG_NAME,
    PAX,
    WITHOUT_DATA,
    HeaderError,
    check_sum,
    number,
    padded,
    records,
)
from imagestore.errors import InvalidArchiveError

REGULAR: Final = b"0"
LINK: Final = b"1"
SYMLINK: Final = b"2"
FOLDER: Final = b"5"

_ZEROS: Final = bytes(BLOCK)
_SKIPPED: Final = 1 << 20
_NAMES: Final = (b"path", b"linkpath")
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
        while block := self._next_block():
            try:
                check_sum(block)
                kind = block[156:157]
                size = number(block[124:136])
                if kind in (PAX, GLOBAL, LONG_NAME, LONG_LINK):
                    data = self._header_data(size)
                    if kind == PAX:
                        extended = dict(records(data))
                        _refuse_nul(extended)
                    elif kind == GLOBAL:
                        extended = {}
                    else:
                        extended[b"path" if kind == LONG_NAME else b"linkpath"] = data.partition(b"\0")[0]
                    continue
                member = _member(block, kind, size, extended)
            except HeaderError as error:
                raise _invalid() from error
            extended = {}
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
        if block == _ZEROS:
            block = self._read_up_to(BLOCK)
            if block.strip(b"\0") and len(block) == BLOCK:
                raise _invalid()
            return b""
        if block and len(block) < BLOCK:
            raise unexpected_end()
        return block

    def _pass_over(self) -> None:
        if self._is_seekable and self._left:
            self._stream.seek(self._left - 1, 1)
            self.position += self._left - 1
            self._left = 1  # to be read, which shows that it is there
        while self._left:
            self.read(_SKIPPED)
        self._read_up_to(self._padding)  # which need not be there
        self._padding = 0

    def _header_data(self, size: int) -> bytes:
        if size > LARGEST_HEADER:
            raise HeaderError(f"a header has {size} bytes, more than {LARGEST_HEADER}")
        data = self._read_up_to(padded(size))
        if len(data) < size:
            raise unexpected_end()
        return data[:size]

    def _read_up_to(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (more := self._stream.read(size - len(data))):
            data += more
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


def _member(block: bytes, kind: bytes, size: int, extended: dict[bytes, bytes]) -> Member:
    name = block[:100].partition(b"\0")[0]
    if block[257:265] == b"ustar\x0000" and (prefix := block[345:500].partition(b"\0")[0]):
        name = prefix + b"/" + name
    name = extended.get(b"path") or name
    target = extended.get(b"linkpath") or block[157:257].partition(b"\0")[0]
    if stored := extended.get(b"size"):
        if not stored.isdigit() or len(stored) > 19:
            raise HeaderError("a PAX record has no size")
        size = int(stored)
    if size >= 2**63:
        raise HeaderError("a size is too large")
    if kind == b"\0":
        kind = FOLDER if name.endswith(b"/") else REGULAR
    is_sparse = any(key.startswith(b"GNU.sparse.") for key in extended)
    return Member(kind, _text(name), _text(target), size, is_sparse)


def _refuse_nul(extended: dict[bytes, bytes]) -> None:
    if any(b"\0" in extended.get(key, b"") for key in _NAMES):
        raise HeaderError("a name has a NUL")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
