"""What a layer's tar says about itself, as its bytes pass: that it is one, and how large its files are.

The rules are those of Go's ``archive/tar``, by which the daemon reads layers: a header has a checksum; a size is octal or, with the
first bit set, a number of 95 bits; a PAX record "size" takes the place of the header's; long names and PAX records come as members of
their own; two blocks of zeros end it, and so does the end of the stream between two members, whether the last one is padded or not.
What follows the end is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from zlib import adler32

from imagestore.errors import InvalidLayerError

BLOCK: Final = 512
LARGEST_HEADER: Final = 1 << 20
"""Bytes of PAX records or of a long name that one member may have; they are held in memory."""

LARGEST_NUMBER: Final = 2**63 - 1
"""What numbers in a header are not larger than."""

_ZEROS: Final = bytes(BLOCK)
PAX, GLOBAL, LONG_NAME, LONG_LINK, SPARSE = b"x", b"g", b"L", b"K", b"S"
_REAL_SIZES: Final = (b"GNU.sparse.realsize", b"GNU.sparse.size")
WITHOUT_DATA: Final = frozenset(
    b"1 2 3 4 5 6".split()
)  # links, devices, folders, pipes: their size, if any, is no data
_OCTAL: Final = re.compile(b"[0-7]*")
_DECIMAL: Final = re.compile(b"[+-]?[0-9]+")


class HeaderError(ValueError):
    """What is wrong with a header; whoever reads the tar says which."""


class TarSizes:
    """Reads along as the bytes of a tar pass: `feed` each chunk, then `finish`.

    Attributes:
        size: the sum of what the headers say, which is what docker shows as the size of a layer.

    Source: moby's ``archive.UnpackLayer``.
    """

    def __init__(self) -> None:
        self.size = 0
        self._skip = 0  # bytes that are to pass unread
        self._padding = 0  # of them, which need not come
        self._wanted = BLOCK  # bytes that are to be read next
        self._read = bytearray()
        self._sizes: dict[bytes, int] = {}  # that PAX records give the next member
        self._kind = b""  # of what is being read, where that is no header
        self._length = 0  # of its bytes, without padding
        self._position = 0
        self._zeros = 0
        self._ended = False

    def feed(self, chunk: bytes) -> None:
        """Look at the next bytes; what is neither a header nor PAX records is passed over.

        Raises:
            InvalidLayerError: they do not go on as a tar.
        """
        at, end = 0, len(chunk)
        while at < end and not self._ended:
            if self._skip:
                passed = min(self._skip, end - at)
                self._skip -= passed
            elif not self._read and end - at >= self._wanted:
                passed = self._wanted
                self._take(chunk[at : at + passed])
            else:
                passed = min(self._wanted - len(self._read), end - at)
                self._read += chunk[at : at + passed]
                if len(self._read) == self._wanted:
                    block = bytes(self._read)
                    self._read.clear()
                    self._take(block)
            at += passed
            self._position += passed

    def finish(self) -> None:
        """Say that the bytes have ended.

        Raises:
            InvalidLayerError: they end within a member.
        """
        if self._skip > self._padding or self._read or self._kind:
            raise InvalidLayerError(
                f"the layer's tar breaks off after {self._position} bytes: unexpected EOF", reason="truncated"
            )

    def _take(self, block: bytes) -> None:
        try:
            self._take_block(block)
        except HeaderError as error:
            raise InvalidLayerError(
                f"the layer is no tar: {error}, near byte {self._position}: invalid tar header"
            ) from error

    def _take_block(self, block: bytes) -> None:
        if self._kind:
            self._take_records(block)
        elif block == _ZEROS:
            self._zeros += 1
            self._ended = self._zeros == 2
        elif self._zeros:
            raise HeaderError("something follows a block of zeros")
        else:
            self._take_header(block)

    def _take_header(self, block: bytes) -> None:
        check_sum(block)
        kind = block[156:157]
        size = number(block[124:136])
        if kind in (PAX, GLOBAL, LONG_NAME, LONG_LINK):
            if size > LARGEST_HEADER:
                raise HeaderError(f"a header has {size} bytes, more than {LARGEST_HEADER}")
            self._kind, self._length, self._wanted = kind, size, padded(size)
            if not size:
                self._take_records(b"")
            return
        sizes, self._sizes = self._sizes, {}
        stored = real = sizes.get(b"size", size)
        if kind == SPARSE:
            real = number(block[483:495])
            if block[482]:
                self._kind = kind  # the map of the holes goes on in the next block
        for key in _REAL_SIZES:
            real = sizes.get(key, real)
        self.size += real
        is_old_folder = kind == b"\0" and block[:100].partition(b"\0")[0].endswith(b"/")
        data = 0 if kind in WITHOUT_DATA or is_old_folder else stored
        if max(stored, self.size) > LARGEST_NUMBER:
            raise HeaderError("a size is too large")
        if min(data, self.size) < 0:
            raise HeaderError("a size is negative")
        self._padding = padded(data) - data
        if self._kind:
            self._length = padded(data)
        else:
            self._skip = padded(data)

    def _take_records(self, data: bytes) -> None:
        if self._kind == SPARSE:
            if data[504]:
                return
            self._skip = self._length
        elif self._kind in (PAX, GLOBAL):
            found = self._parse(data[: self._length])
            self._sizes = found if self._kind == PAX else {}
        self._kind, self._wanted = b"", BLOCK

    def _parse(self, data: bytes) -> dict[bytes, int]:
        found = {}
        for key, value in records(data):
            size = stated(value) if key == b"size" or key in _REAL_SIZES else None
            if size is not None:
                found[key] = size
        return found


def records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a member of PAX records.

    Raises:
        HeaderError: they are damaged.
    """
    start = 0
    while start < len(data):
        space = data.find(b" ", start, start + 11)
        if space < 0 or not data[start:space].isdigit():
            raise HeaderError("a PAX record has no length")
        end = start + int(data[start:space])
        key, equals, value = data[space + 1 : end].partition(b"=")
        if end > len(data) or not key or not equals or not value.endswith(b"\n"):
            raise HeaderError("a PAX record is damaged")
        yield key, value[:-1]
        start = end


def stated(value: bytes) -> int | None:
    """The number in a PAX record; None where it is empty.

    Raises:
        HeaderError: it is none of 63 bits and a sign (Go's ``strconv.ParseInt``).
    """
    if not value:
        return None
    digits = value.lstrip(b"+-0")
    if not _DECIMAL.fullmatch(value) or len(digits) > 19 or int(digits or b"0") > LARGEST_NUMBER:
        raise HeaderError("a PAX record has no number")
    return -int(digits or b"0") if value.startswith(b"-") else int(digits or b"0")


def number(field: bytes) -> int:
    """What a field of a header says.

    Raises:
        HeaderError: it is no number, or a negative one.
    """
    if field[0] & 0x80:
        if field[0] & 0x40:
            raise HeaderError("a number is negative")
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    digits = field.strip(b" \0").partition(b"\0")[0]
    if not _OCTAL.fullmatch(digits):
        raise HeaderError(f"{digits!r} is no octal number")
    return int(digits or b"0", 8)


def check_sum(block: bytes) -> None:
    """Compare a header with its checksum: the sum of its bytes, with blanks where that stands; old writers summed them as signed ones.

    Raises:
        HeaderError: it is another one.
    """
    unsigned = _sum(block[:256]) + _sum(block[256:]) - _sum(block[148:156]) + 8 * 32
    found = number(block[148:156])
    if found != unsigned and found != unsigned - 256 * sum(byte > 127 for byte in block[:148] + block[156:]):
        raise HeaderError("a header's checksum is wrong")


def padded(size: int) -> int:
    """The bytes that so many take in a tar."""
    return -(-size // BLOCK) * BLOCK


def _sum(data: bytes) -> int:
    """Of 256 bytes at most: of so many, the lower half of Adler's checksum is the plain sum, and costs a fiftieth of `sum`."""
    return adler32(data, 0) & 0xFFFF
