"""What a layer's tar says about itself, as its bytes pass: that it is one, and how large its files are.

The rules are those of Go's ``archive/tar``, by which the daemon reads layers: a header has a checksum; a size is octal or, with the
first bit set, a number of 95 bits; a PAX record "size" takes the place of the header's; long names and PAX records come as members of
their own; two blocks of zeros end it, and so does the end of the stream between two members. What follows the end is not looked at.
"""

from __future__ import annotations

from typing import Final

from imagestore.errors import InvalidLayerError

BLOCK: Final = 512
LARGEST_HEADER: Final = 1 << 20
"""Bytes of PAX records or of a long name that one member may have; they are held in memory."""

_ZEROS: Final = bytes(BLOCK)
_PAX, _GLOBAL, _LONG_NAME, _LONG_LINK, _SPARSE = b"x", b"g", b"L", b"K", b"S"
_REAL_SIZES: Final = (b"GNU.sparse.size", b"GNU.sparse.realsize")
_WITHOUT_DATA: Final = frozenset(
    b"1 2 3 4 5 6".split()
)  # links, devices, folders, pipes: their size, if any, is no data
_LARGEST: Final = 2**63 - 1


class TarSizes:
    """Reads along as the bytes of a tar pass: `feed` each chunk, then `finish`.

    Attributes:
        size: the sum of what the headers say, which is what docker shows as the size of a layer.

    Source: moby's ``archive.UnpackLayer``.
    """

    def __init__(self) -> None:
        self.size = 0
        self._skip = 0  # bytes that are to pass unread
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
        view = memoryview(chunk)
        while view and not self._ended:
            if self._skip:
                passed = min(self._skip, len(view))
                self._skip -= passed
            else:
                passed = min(self._wanted - len(self._read), len(view))
                self._read += view[:passed]
                if len(self._read) == self._wanted:
                    self._take(bytes(self._read))
                    self._read.clear()
            self._position += passed
            view = view[passed:]

    def finish(self) -> None:
        """Say that the bytes have ended.

        Raises:
            InvalidLayerError: they end within a member.
        """
        if self._skip or self._read or self._kind:
            raise InvalidLayerError(f"the layer's tar breaks off after {self._position} bytes: unexpected EOF")

    def _take(self, block: bytes) -> None:
        if self._kind:
            self._take_records(block)
        elif block == _ZEROS:
            self._zeros += 1
            self._ended = self._zeros == 2
        elif self._zeros:
            raise self._invalid("something follows a block of zeros")
        else:
            self._take_header(block)

    def _take_header(self, block: bytes) -> None:
        unsigned = sum(block) - sum(block[148:156]) + 8 * 32
        signed = unsigned - 256 * sum(1 for byte in block[:148] + block[156:] if byte > 127)
        if self._number(block[148:156]) not in (unsigned, signed):
            raise self._invalid("a header's checksum is wrong")
        kind = block[156:157]
        size = self._number(block[124:136])
        if kind in (_PAX, _GLOBAL, _LONG_NAME, _LONG_LINK):
            if size > LARGEST_HEADER:
                raise self._invalid(f"a header has {size} bytes, more than {LARGEST_HEADER}")
            self._kind, self._length, self._wanted = kind, size, _padded(size)
            if not size:
                self._take_records(b"")
            return
        sizes, self._sizes = self._sizes, {}
        stored = real = sizes.get(b"size", size)
        if kind == _SPARSE:
            real = self._number(block[483:495])
            if block[482]:
                self._kind = kind  # the map of the holes goes on in the next block
        for key in _REAL_SIZES:
            real = sizes.get(key, real)
        if max(stored, real) > _LARGEST:
            raise self._invalid("a size is too large")
        self.size += real
        is_old_folder = kind == b"\0" and block[:100].rstrip(b"\0").endswith(b"/")
        data = 0 if kind in _WITHOUT_DATA or is_old_folder else _padded(stored)
        if self._kind:
            self._length = data
        else:
            self._skip = data

    def _take_records(self, data: bytes) -> None:
        if self._kind == _SPARSE:
            if data[504]:
                return
            self._skip = self._length
        elif self._kind == _PAX:
            self._sizes = self._parse(data[: self._length])
        self._kind, self._wanted = b"", BLOCK

    def _parse(self, data: bytes) -> dict[bytes, int]:
        found = {}
        while data:
            digits, space, _ = data.partition(b" ")
            if not space or not digits.isdigit() or len(digits) > 10:
                raise self._invalid("a PAX record has no length")
            length = int(digits)
            record, data = data[len(digits) + 1 : length], data[length:]
            key, equals, value = record.partition(b"=")
            if length <= len(digits) + 1 or not equals or not value.endswith(b"\n"):
                raise self._invalid("a PAX record is damaged")
            if key == b"size" or key in _REAL_SIZES:
                if not value[:-1].isdigit() or len(value) > 20:
                    raise self._invalid("a PAX record has no size")
                found[key] = int(value)
        return found

    def _number(self, field: bytes) -> int:
        if field[0] & 0x80:
            number = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
            if field[0] & 0x40:
                raise self._invalid("a number is negative")
            return number
        digits = field.strip(b" \0")
        digits = digits.split(b"\0")[0]
        try:
            return int(digits, 8) if digits else 0
        except ValueError:
            raise self._invalid(f"{digits!r} is no octal number") from None

    def _invalid(self, what: str) -> InvalidLayerError:
        return InvalidLayerError(f"the layer is no tar: {what}, near byte {self._position}: invalid tar header")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
