"""A tar as the daemon writes one, in one pass: each header, the bytes of its file as they come, and the end.

Every member belongs to root, has the daemon's modes and a time in whole seconds. The format is POSIX's ustar, with PAX records before a
member that does not fit: a name, a size or a time. So the same members are the same bytes, and those of the daemon.

Source: Go's ``archive/tar`` as moby's ``archive.Tar`` uses it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from typing import BinaryIO, Final, NamedTuple

from imagestore.content.tar import BLOCK, padded

_LARGEST: Final = 8**11 - 1  # in the eleven octal digits of a size and of a time
_NAME: Final = 100  # bytes that a header has for a name
_OWNER: Final = b"root".ljust(32, b"\0")
_DEVICE: Final = b"0000000\0"


class Folder(NamedTuple):
    """A folder, and its time in seconds of Unix."""

    time: int


class Symlink(NamedTuple):
    """A symbolic link."""

    target: str
    time: int


class File(NamedTuple):
    """A file of so many bytes, which come in chunks when it is written."""

    size: int
    chunks: Iterable[bytes]
    time: int

    @classmethod
    def of(cls, data: bytes, time: int) -> File:
        """A file with these bytes."""
        return cls(len(data), [data], time)


def write_tar(out: BinaryIO, members: Mapping[str, Folder | Symlink | File]) -> None:
    """Write members in the order of their names, a folder before what is in it, and the end of the archive. Nothing is closed.

    Args:
        out: where it takes less than it is given, it is given the rest.
        members: by their names, of ASCII letters; none leads out.

    Raises:
        ValueError: a file has other than its size of bytes.
        OSError: from ``out``.
    """
    for name in sorted(members, key=lambda name: name.split("/")):
        member = members[name]
        _write(out, header(name, member))
        if isinstance(member, File):
            _write_file(out, name, member)
    _write(out, bytes(2 * BLOCK))


def header(name: str, member: Folder | Symlink | File) -> bytes:
    """The blocks before a member's bytes."""
    time = member.time
    size, target = 0, ""
    match member:
        case Folder():
            name, kind, mode = f"{name}/", b"5", 0o040755
        case Symlink():
            kind, mode, target = b"2", 0o120777, member.target
        case File():
            kind, mode, size = b"0", 0o100644, member.size
    records = {
        "linkpath": target if len(target) > _NAME else "",
        "mtime": "" if 0 <= time <= _LARGEST else str(time),
        "path": name if len(name) > _NAME else "",
        "size": "" if size <= _LARGEST else str(size),
    }
    block = _block(name, kind, mode, size, time, target, _OWNER + _OWNER + _DEVICE + _DEVICE)
    if not any(records.values()):
        return block
    data = b"".join(_record(key, value) for key, value in records.items() if value)
    folder, _, last = name.rpartition("/")
    before = _block(f"{folder}/PaxHeaders.0/{last}".strip("/"), b"x", 0, len(data), 0)
    return before + data.ljust(padded(len(data)), b"\0") + block


def _write_file(out: BinaryIO, name: str, file: File) -> None:
    left = file.size
    for chunk in file.chunks:
        left -= len(chunk)
        if left < 0:
            break
        _write(out, chunk)
    if left:
        raise ValueError(f"{name} is to have {file.size} bytes, and has {'more' if left < 0 else file.size - left}")
    _write(out, bytes(padded(file.size) - file.size))


def _write(out: BinaryIO, data: bytes) -> None:
    write: Callable[[bytes], int | None] = out.write
    written = write(data)
    while written is not None and written < len(data):  # a stream without a buffer
        if written < 1:
            raise OSError(f"the stream has taken {written} of {len(data)} bytes")
        data = data[written:]
        written = write(data)
    if written is None and isinstance(out, io.RawIOBase):
        raise BlockingIOError("the stream takes no more now, and does not wait: give one that blocks")


def _block(
    name: str, kind: bytes, mode: int, size: int, time: int, target: str = "", owner_and_device: bytes = b""
) -> bytes:
    numbers = _octal(mode, 8) + _octal(0, 8) + _octal(0, 8) + _octal(size, 12) + _octal(time, 12)
    before = _text(name) + numbers
    after = (kind + _text(target) + b"ustar\00000" + owner_and_device).ljust(BLOCK - 156, b"\0")
    return b"%s%06o\0 %s" % (before, sum(before) + sum(after) + 8 * ord(" "), after)


def _text(text: str) -> bytes:
    return text.encode("ascii")[:_NAME].ljust(_NAME, b"\0")


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
