"""A tar as the daemon writes one, in one pass: each header, the bytes of its file as they come, and the end.

Every member belongs to root, has the daemon's modes and a time in whole seconds. The format is POSIX's ustar, with PAX records before a
member that does not fit: a name, a size or a time. So the same members are the same bytes, and those of the daemon.

Source: Go's ``archive/tar`` as moby's ``archive.Tar`` uses it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import BinaryIO, Final

from imagestore.content.tar import BLOCK, padded

_FOLDER: Final = (b"5", 0o040755)
_FILE: Final = (b"0", 0o100644)
_LINK: Final = (b"2", 0o120777)
_RECORDS: Final = (b"x", 0)
_LARGEST: Final = 8**11 - 1  # in the eleven octal digits of a size and of a time
_NAME: Final = 100  # bytes that a header has for a name


class TarWriter:
    """Writes members to a stream as they are given; `finish` ends the archive, and closes nothing.

    Names are of ASCII letters and have no folder that leads out.

    Args:
        out: a stream of bytes; where it takes less than it is given, it is given the rest.
    """

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def folder(self, name: str, time: int) -> None:
        """Write a folder; ``time`` is in seconds of Unix."""
        self._header(f"{name}/", _FOLDER, time)

    def link(self, name: str, target: str, time: int) -> None:
        """Write a symbolic link."""
        self._header(name, _LINK, time, target=target)

    def file(self, name: str, size: int, chunks: Iterable[bytes], time: int) -> None:
        """Write a file of so many bytes, in chunks.

        Raises:
            ValueError: there are more bytes, or fewer.
        """
        self._header(name, _FILE, time, size=size)
        left = size
        for chunk in chunks:
            left -= len(chunk)
            if left < 0:
                break
            self._write(chunk)
        if left:
            raise ValueError(f"{name} is to have {size} bytes, and has {'more' if left < 0 else size - left}")
        self._write(bytes(padded(size) - size))

    def finish(self) -> None:
        """Write the end: two blocks of zeros."""
        self._write(bytes(2 * BLOCK))

    def _header(self, name: str, kind: tuple[bytes, int], time: int, *, size: int = 0, target: str = "") -> None:
        records = {
            "linkpath": target if len(target) > _NAME else "",
            "mtime": "" if 0 <= time <= _LARGEST else str(time),
            "path": name if len(name) > _NAME else "",
            "size": "" if size <= _LARGEST else str(size),
        }
        if any(records.values()):
            data = b"".join(_record(key, value) for key, value in records.items() if value)
            folder, _, last = name.rpartition("/")
            self._write(_raw_block(f"{folder}/PaxHeaders.0/{last}".strip("/"), _RECORDS, size=len(data)))
            self._write(data.ljust(padded(len(data)), b"\0"))
        self._write(_block(name, kind, size, time, target))

    def _write(self, data: bytes) -> None:
        written = self._out.write(data) if data else 0
        if written is None and isinstance(self._out, io.RawIOBase):
            raise BlockingIOError("the stream does not block, and takes no more: give a stream that waits")
        if written is not None and written < len(data):  # a stream without a buffer
            self._write(data[written:])


def _block(name: str, kind: tuple[bytes, int], size: int, time: int, target: str) -> bytes:
    owner = b"root".ljust(32, b"\0")
    device = b"0000000\0"
    return _raw_block(name, kind, size=size, time=time, target=target, owner=owner + owner + device + device)


def _raw_block(
    name: str, kind: tuple[bytes, int], *, size: int, time: int = 0, target: str = "", owner: bytes = b""
) -> bytes:
    type_, mode = kind
    numbers = _octal(mode, 8) + _octal(0, 8) + _octal(0, 8) + _octal(size, 12) + _octal(time, 12)
    before = name.encode("ascii")[:_NAME].ljust(_NAME, b"\0") + numbers
    after = (type_ + target.encode("ascii")[:_NAME].ljust(_NAME, b"\0") + b"ustar\00000" + owner).ljust(
        BLOCK - 156, b"\0"
    )
    return b"%s%06o\0 %s" % (before, sum(before) + sum(after) + 8 * 32, after)


def _octal(number: int, width: int) -> bytes:
    """A number in octal; what does not fit is in a record, and 0 here."""
    return b"%0*o\0" % (width - 1, number if 0 <= number < 8 ** (width - 1) else 0)


def _record(key: str, value: str) -> bytes:
    """A PAX record, which begins with its own length."""
    rest = f" {key}={value}\n"
    length = len(rest)
    while length != len(f"{length}{rest}"):
        length = len(f"{length}{rest}")
    return f"{length}{rest}".encode("ascii")
