"""The bytes of an archive's files: where they are, and what has become of those that passed in a pipe or may not be read."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, cast

from imagestore.errors import InvalidArchiveError, InvalidLayerError, LayerTooLargeError
from imagestore.gojson import shortened
from imagestore.layers import WrittenLayer

_CHUNK: Final = 1 << 20


class Slice:
    """A part of a file that can be sought in."""

    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        self._file = file
        self._offset = offset
        self.size = size

    def open(self) -> BinaryIO:
        """The bytes; each read seeks before, so that several may be open in turn."""
        return cast("BinaryIO", _Part(self._file, self._offset, self.size))


class OnDisk:
    """A file in a folder, which is opened without following a link."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self.size = size

    def open(self) -> BinaryIO:
        """The bytes.

        Raises:
            InvalidArchiveError: something else has taken its place.
            OSError: it cannot be opened.
        """
        descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise InvalidArchiveError("unsafe-path", f"open {self._path.name}: not a regular file")
        return os.fdopen(descriptor, "rb")


class Passed(NamedTuple):
    """What has become of bytes that were handed on.

    Attributes:
        outcome: the layer that they are, or why they are none.
        digests: of them, by algorithm.
    """

    outcome: WrittenLayer | InvalidLayerError | LayerTooLargeError
    digests: Mapping[str, str]


class Kept:
    """What has passed in a pipe, whose bytes are not here any more.

    Attributes:
        size: bytes that it had.
        compression: with what it was compressed; None: it was plain.
        passed: what has become of it.
    """

    def __init__(self, name: str, size: int, compression: str | None, passed: Passed) -> None:
        self._name = name
        self.size = size
        self.compression = compression
        self.passed = passed

    def open(self) -> BinaryIO:
        """Refuse.

        Raises:
            InvalidArchiveError: always.
        """
        raise InvalidArchiveError(
            "schema",
            f"{shortened(self._name)}, a file of {self.size} bytes, is not the document that another one says it is: "
            "the archive was made wrongly; save or fetch the image again",
        )


class Unreadable:
    """What has no bytes: who opens it is told why."""

    def __init__(self, reason: str, message: str, size: int = 0) -> None:
        self.error = InvalidArchiveError(reason, message)
        self.size = size

    def open(self) -> BinaryIO:
        """Refuse.

        Raises:
            InvalidArchiveError: always.
        """
        raise self.error


def pass_on(
    stream: BinaryIO, write: Callable[[BinaryIO], WrittenLayer], algorithms: Iterable[str], *, is_plain: bool
) -> Passed:
    """Hand on what may be a layer, and hash its bytes meanwhile.

    Args:
        stream: the bytes, from their beginning.
        write: reads them, as far as they are a layer.
        algorithms: of the digests that are wanted.
        is_plain: whether they are not compressed: then the diff ID tells their sha256, and what is no layer has none.
    """
    hashed = _HashedStream(stream, [each for each in algorithms if not (is_plain and each == "sha256")])
    try:
        outcome = write(cast("BinaryIO", hashed))
    except (InvalidLayerError, LayerTooLargeError) as error:  # which matters if an image names it
        return Passed(error, hashed.drain())
    digests = hashed.drain()
    return Passed(outcome, {"sha256": outcome.diff_id.partition(":")[2], **digests} if is_plain else digests)


class _HashedStream:
    """A stream that is hashed as it is read, by each of some algorithms."""

    def __init__(self, stream: BinaryIO, algorithms: Iterable[str]) -> None:
        self._stream = stream
        self._hashes: dict[str, Any] = {algorithm: hashlib.new(algorithm) for algorithm in algorithms}

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        for digest in self._hashes.values():
            digest.update(data)
        return data

    def drain(self) -> dict[str, str]:
        """The digests of all bytes, by algorithm: those that nobody has wanted are read for them."""
        while self._hashes and self.read(_CHUNK):
            pass
        return {algorithm: digest.hexdigest() for algorithm, digest in self._hashes.items()}


class _Part(io.RawIOBase):
    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        self._file = file
        self._at = offset
        self._end = offset + size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        left = self._end - self._at
        wanted = left if size < 0 else min(size, left)
        if not wanted:
            return b""
        self._file.seek(self._at)
        data = self._file.read(wanted)
        self._at += len(data)
        return data
