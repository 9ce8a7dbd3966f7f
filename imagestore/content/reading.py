"""A layer's stream as the chunks of its plain tar, and stored bytes that are verified as they are read."""

from __future__ import annotations

import bz2
import hashlib
import io
import lzma
import re
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, Final, Protocol, cast

from imagestore.content.tar import TarSizes
from imagestore.digest import DiffID
from imagestore.errors import CorruptContentError, InvalidLayerError, LayerTooLargeError

LIMIT: Final = 1 << 40
"""Bytes that a layer's plain tar has at most, unless `imagestore.layers.Layers.register` is told another limit."""

WINDOW: Final = 128 << 20
"""Bytes of memory that a compressed stream may ask for to be decompressed, unless another window is given."""

_CHUNK: Final = 1 << 20
_PIECE: Final = 1 << 16  # each member of a stream of many small ones copies what is left of it
_LARGER_PIECE: Final = 1 << 18  # of a member that goes on
_INPUT: Final = 2 << 20
_BATCH: Final = 8 << 20  # bytes that are worth a change of threads
_BESIDE: Final = 1 << 15  # bytes from which it pays to decompress the next in another thread
_MAGIC: Final = (
    ("gzip", re.compile(rb"\x1f\x8b\x08")),
    ("bzip2", re.compile(b"BZh")),
    ("xz", re.compile(rb"\xfd7zXZ\0")),
    ("zstd", re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18....", re.DOTALL)),  # a frame, or one to be skipped
)
_MAGIC_LENGTH: Final = 8
_TOO_MUCH: Final = ("requires too much memory", "Memory usage limit")  # in the words of zstd and of lzma


class Registered:
    """The chunks of a layer's plain tar, once: while they are taken, they are hashed, measured and checked.

    Args:
        stream: the tar, plain or compressed.
        limit: bytes that it has at most, once plain.
        window: bytes of memory that it may ask for to be decompressed.

    Attributes:
        diff_id: the digest of the plain tar, once all chunks are taken.
        size: its bytes.
        files_size: what its headers say is in it.
    """

    diff_id: DiffID

    def __init__(self, stream: BinaryIO, limit: int = LIMIT, window: int = WINDOW) -> None:
        self._stream = stream
        self._limit = limit
        self._window = window
        self.size = 0
        self.files_size = 0

    def __iter__(self) -> Iterator[bytes]:
        """The chunks.

        Raises:
            InvalidLayerError: it is no tar, or breaks off.
            LayerTooLargeError: it has more bytes than the limit, or asks for more memory than the window.
        """
        digest = hashlib.sha256()
        tar = TarSizes()
        for chunk in plain(self._stream, self._window):
            self.size += len(chunk)
            if self.size > self._limit:
                raise LayerTooLargeError("limit", self._limit, f"the layer's tar has at least {self.size} bytes")
            digest.update(chunk)
            tar.feed(chunk)
            yield chunk
        tar.finish()
        self.files_size = tar.size
        self.diff_id = DiffID("sha256:" + digest.hexdigest())


def plain(stream: BinaryIO, window: int = WINDOW, *, subject: str = "layer") -> Iterator[bytes]:
    """The bytes of a stream, decompressed if it is compressed with gzip, bzip2, xz or zstd, in chunks of a megabyte at most.

    Args:
        stream: what is read, to its end.
        window: bytes of memory that it may ask for.
        subject: what it is, for messages.

    Raises:
        InvalidLayerError: what is compressed is damaged, or breaks off.
        LayerTooLargeError: it asks for more memory.

    Source: moby's ``archive.DecompressStream``.
    """
    first = read_up_to(stream, _MAGIC_LENGTH)
    first += _read(stream, _PIECE)
    kind = compression(first)
    if kind is None:
        while first:
            yield first
            first = _read(stream, _CHUNK)
        return
    yield from _decompressed(kind, first, stream, window, subject)


def read_up_to(stream: BinaryIO, size: int) -> bytes:
    """So many bytes of a stream that may give less at once; fewer at its end alone."""
    data = _read(stream, size)
    if len(data) in (0, size):
        return data
    pieces = bytearray(data)
    while len(pieces) < size and (more := _read(stream, size - len(pieces))):
        pieces += more
    return bytes(pieces)


def compression(data: bytes) -> str | None:
    """With what a stream is compressed that begins with these eight bytes or more; None where it is plain."""
    return next((kind for kind, magic in _MAGIC if magic.match(data)), None)


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _decompressed(kind: str, data: bytes, stream: BinaryIO, window: int, subject: str) -> Iterator[bytes]:
    """The chunks; while some are used, another thread decompresses the next, and reads nothing."""
    chunks: list[bytes] = []
    decompressing = _Decompressing(kind, window)
    with ThreadPoolExecutor(1) as beside:
        ahead = b""
        while data or not decompressing.needs_input:
            is_worth_it = sum(map(len, chunks)) >= _BESIDE
            begun = beside.submit(decompressing.go_on, data) if is_worth_it else None
            yield from chunks
            ahead = ahead or _read(stream, _INPUT)
            try:
                chunks = decompressing.go_on(data) if begun is None else begun.result()
            except MemoryError:
                raise
            except Exception as error:  # each of the four has errors of its own
                raise _refusal(kind, subject, window, str(error)) from error
            data, ahead = (ahead, b"") if decompressing.needs_input else (b"", ahead)
    yield from chunks
    if not decompressing.eof:
        raise InvalidLayerError(
            f"the {subject} breaks off within what {kind} has compressed: unexpected EOF", reason="truncated"
        )


class _Decompressing:
    """Member after member; what follows the last one and is no other is an error, as in Go."""

    def __init__(self, kind: str, window: int) -> None:
        self._kind = kind
        self._window = window
        self._member = _decompressor(kind, window)
        self._data = b""
        self._used = 0
        self._piece = _PIECE

    @property
    def eof(self) -> bool:
        """Whether a member has ended."""
        return self._member.eof

    @property
    def needs_input(self) -> bool:
        """Whether all that was given is used."""
        return self._used == len(self._data) and (self._member.eof or self._member.needs_input)

    def go_on(self, data: bytes) -> list[bytes]:
        """The next chunks; ``data`` is more input, if that is needed."""
        if data:
            self._data, self._used = data, 0
        chunks: list[bytes] = []
        size = 0
        while size < _BATCH and not self.needs_input:
            if self._member.eof:
                self._member = _decompressor(self._kind, self._window)
                self._piece = _PIECE
            piece = b""
            if self._member.needs_input:
                piece = self._data[self._used : self._used + self._piece]
                self._piece = _LARGER_PIECE
            self._used += len(piece)
            chunk = self._member.decompress(piece, _CHUNK)
            self._used -= len(self._member.unused_data)
            if chunk:
                chunks.append(chunk)
                size += len(chunk)
        return chunks


def _refusal(kind: str, subject: str, window: int, said: str) -> InvalidLayerError | LayerTooLargeError:
    if any(words in said for words in _TOO_MUCH):
        return LayerTooLargeError(
            "window", window, f"the {subject} asks for too many bytes of memory to be decompressed with {kind}"
        )
    return InvalidLayerError(f"{kind} cannot decompress the {subject}, which is damaged: {said}")


def _decompressor(kind: str, window: int) -> _Decompressor:
    if kind == "gzip":
        return _Gzip()
    if kind == "bzip2":
        return bz2.BZ2Decompressor()
    if kind == "xz":
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=window)
    made: _Decompressor = _zstd(window)
    return made


class _Gzip:
    """zlib's decompressor with the names of the others."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)

    @property
    def eof(self) -> bool:
        return self._member.eof

    @property
    def needs_input(self) -> bool:
        return not self._member.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._member.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self._member.decompress(self._member.unconsumed_tail + data, max_length)


def _zstd(window: int) -> Any:
    from imagestore.content.zstd import zstd

    least, most = zstd.DecompressionParameter.window_log_max.bounds()
    log = min(max(window.bit_length() - 1, least), most)
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: log})


def _read(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"a layer's stream is opened for reading bytes; read() gave {type(data).__name__}")
    return bytes(data)


def verified(stream: BinaryIO, name: str, size: int, diff_id: DiffID) -> BinaryIO:
    """A stream that raises `imagestore.errors.CorruptContentError` from the read that reaches its end, if it was not what it should be.

    The end is the last byte that it should have, or the last that it has. Who stops before that gets what has not been verified.

    Args:
        stream: what is stored; it is closed with the one that is returned.
        name: under which it is stored, for the message.
        size: the bytes that it should have.
        diff_id: the digest that they should have.
    """
    return cast("BinaryIO", _Verified(stream, name, size, diff_id))


class _Verified(io.BufferedIOBase):
    def __init__(self, stream: BinaryIO, name: str, size: int, diff_id: DiffID) -> None:
        self._stream = stream
        self._left = size
        self._digest = hashlib.sha256()
        self._name = name
        self._diff_id = diff_id

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """So many bytes, fewer at the end alone; all that are left for none or a negative number."""
        wanted = self._left + 1 if size is None or size < 0 else size
        chunks = []
        while wanted > 0 and (chunk := self.read1(wanted)):
            chunks.append(chunk)
            wanted -= len(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def read1(self, size: int = -1, /) -> bytes:
        """Some bytes, none at the end alone."""
        if not size:
            return b""
        chunk = self._stream.read(_CHUNK if size < 0 else min(size, _CHUNK))
        self._left -= len(chunk)
        self._digest.update(chunk)
        ends = not chunk or self._left <= 0
        if ends and (self._left or "sha256:" + self._digest.hexdigest() != self._diff_id):
            raise CorruptContentError(self._diff_id, self._name)
        return chunk

    def close(self) -> None:
        """Close what is read from, too."""
        self._stream.close()
        super().close()
