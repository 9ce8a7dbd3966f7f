"""An archive as a tree of files: from a file that can be sought in, from a pipe, or from a folder.

Of a file only the headers are read, and then what is asked for. A pipe is read once, from its beginning to its end: what may be a layer
is handed on while it passes, and only what is small or is JSON is set aside on disk, in a file without a name.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Final, cast

from imagestore.archive.bodies import Kept, OnDisk, Passed, Slice, Unreadable, pass_on
from imagestore.archive.limits import Limits
from imagestore.archive.tar import FOLDER, REGULAR, SYMLINK, Member, Members
from imagestore.archive.tree import Body, File, Folder, Tree
from imagestore.archive.whole_file import telling_of
from imagestore.content.reading import compression, plain, read_up_to
from imagestore.content.tar import BLOCK, HeaderError, check_sum
from imagestore.errors import (
    ArchiveLimitError,
    InvalidArchiveError,
    InvalidError,
    InvalidLayerError,
    LayerTooLargeError,
)
from imagestore.gojson import shortened
from imagestore.layers import WrittenLayer

Keep = Callable[[BinaryIO, str, int], WrittenLayer]
"""What a pipe's layers are handed to while they pass, with their names and sizes. It raises `InvalidLayerError` for what is none."""

_SMALL: Final = 64 << 10
_CHUNK: Final = 1 << 20
_ALGORITHMS: Final = ("sha256", "sha384", "sha512")
_NO_LAYER: Final = "it is no layer: neither a tar nor compressed with gzip, bzip2, xz or zstd"
_NAMES: Final = 10_000  # that are looked up once, though they are met again


class Archive:
    """The files of an archive.

    Attributes:
        tree: where their names lead.
        limits: how much it may ask for.
    """

    def __init__(self, tree: Tree, limits: Limits) -> None:
        self.tree = tree
        self.limits = limits
        self._find = lru_cache(_NAMES)(tree.find)
        self._read = 0

    def __contains__(self, path: str) -> bool:
        """Whether a name leads to anything."""
        return self._find(path)[1] is not None

    def file(self, path: str) -> Body:
        """The file that a name leads to.

        Raises:
            InvalidArchiveError: there is none; in the daemon's words, but for the folder into which that unpacks.
        """
        body = self.named(path)
        if isinstance(body, Unreadable):
            raise body.error
        return body

    def named(self, path: str) -> Body:
        """The file that a name leads to; where there is none, who opens it is told so.

        Raises:
            InvalidArchiveError: the name leads out of the archive, or through a file.
        """
        found, node = self._find(path)
        if isinstance(node, File):
            return node.body
        if node is None:
            return Unreadable("missing-blob", f"open {shortened(found)}: no such file or directory")
        if isinstance(node, Folder):
            return Unreadable("unsafe-path", f"read {shortened(found) or '.'}: is a directory")
        return Unreadable("unsafe-path", f"open {shortened(found)}: not a regular file")

    def read(self, path: str) -> bytes:
        """The document that a name leads to, whole.

        Raises:
            InvalidArchiveError: there is none.
            ArchiveLimitError: it is larger than ``limits.document``, or with all that were read so far than ``limits.documents``.
        """
        body = self.file(path)
        if body.size > self.limits.document:
            raise ArchiveLimitError("document", self.limits.document, f"{shortened(path)} has {body.size} bytes")
        self._read += body.size
        if self._read > self.limits.documents:
            raise ArchiveLimitError(
                "documents", self.limits.documents, f"the documents up to {shortened(path)} have {self._read} bytes"
            )
        with body.open() as stream:
            data = read_up_to(stream, body.size)
        if len(data) != body.size:
            raise InvalidArchiveError(
                "truncated", f"{shortened(path)} breaks off after {len(data)} bytes: unexpected EOF"
            )
        return data


@contextmanager
def opened(
    source: BinaryIO | str | os.PathLike[str],
    limits: Limits,
    keep: Keep,
    alive: Callable[[], None] = lambda: None,
) -> Iterator[Archive]:
    """An archive, to be read within the block.

    Args:
        source: a tar, plain or compressed with gzip, bzip2, xz or zstd, open at its beginning; or the path of one, or of a folder.
        limits: how much it may ask for.
        keep: what takes the layers of a pipe.
        alive: is called often while a pipe is read, which may take long.

    Raises:
        InvalidError: the source is neither a path nor open for reading bytes.
        InvalidArchiveError: it is no tar, breaks off, or could not be unpacked.
        ArchiveLimitError: it asks for more than a limit.
        OSError: it cannot be read.
    """
    if not (isinstance(source, str | os.PathLike) and os.fspath(source)) and not _is_binary(source):
        raise InvalidError(f"an archive is a path, or a stream that is open for reading bytes, not {source!r}")
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.is_dir():
            yield Archive(_folder_tree(path, limits), limits)
            return
        with path.open("rb") as stream, opened(stream, limits, keep, alive) as archive:
            yield archive
        return
    start = _tell(source)
    if start is not None:
        first = read_up_to(source, BLOCK)
        source.seek(start)
        if compression(first) is None:
            yield Archive(_file_tree(source, limits), limits)
            return
    with tempfile.TemporaryFile(buffering=0) as aside:  # so that no close tries again to write what found no room
        yield Archive(_pipe_tree(source, limits, keep, alive, aside), limits)


def _file_tree(file: BinaryIO, limits: Limits) -> Tree:
    tree = Tree(limits)
    start = file.tell()
    file.seek(0, os.SEEK_END)
    _check_size(file.tell() - start, limits)
    file.seek(start)
    members = Members(file, is_seekable=True)
    for member in members:
        body: Body | None = None
        if member.kind == REGULAR:
            body = _sparse(member) if member.is_sparse else Slice(file, start + members.position, member.size)
        tree.add(member, body)
    return tree


def _pipe_tree(pipe: BinaryIO, limits: Limits, keep: Keep, alive: Callable[[], None], aside: BinaryIO) -> Tree:
    tree = Tree(limits)
    stream = _Plain(pipe, limits, alive)
    members = Members(cast("BinaryIO", stream), is_seekable=False)
    for member in members:
        body: Body | None = None
        if member.kind == REGULAR:
            body = _sparse(member) if member.is_sparse else _set_aside(member, members, limits, keep, aside)
        tree.add(member, body)
    stream.finish()
    return tree


def _set_aside(member: Member, members: Members, limits: Limits, keep: Keep, aside: BinaryIO) -> Body:
    first = read_up_to(cast("BinaryIO", members), BLOCK)
    kind = compression(first)
    if member.size > _SMALL and (kind or _begins_tar(first)):
        stream = cast("BinaryIO", _Rest(first, members))
        algorithms = [each for each in _ALGORITHMS if f"/{each}/" in f"/{member.name}"]
        passed = pass_on(stream, lambda layer: keep(layer, member.name, member.size), algorithms, is_plain=kind is None)
        return Kept(member.name, member.size, kind, passed)
    if member.size > max(limits.document, _SMALL):
        return Kept(member.name, member.size, kind, Passed(InvalidLayerError(_NO_LAYER), {}))
    offset = aside.seek(0, os.SEEK_END)
    if offset + member.size > limits.documents:
        raise ArchiveLimitError(
            "documents",
            limits.documents,
            f"{shortened(member.name)} and what came before it have {offset + member.size} bytes",
        )
    while first:
        with telling_of(tempfile.gettempdir()):
            first = first[aside.write(first) :]
        first = first or members.read(_CHUNK)
    return Slice(aside, offset, member.size)


def _sparse(member: Member) -> Body:
    """A file whose holes are left out, which is nothing that an image has."""
    what = f"{shortened(member.name)} is a sparse file: write the archive without tar's --sparse"
    return Unreadable("corrupt-layer", what, member.size)


class _Rest:
    """A member's data from its beginning, though some of it has been read."""

    def __init__(self, first: bytes, members: Members) -> None:
        self._first = first
        self._members = members

    def read(self, size: int) -> bytes:
        data, self._first = self._first, b""
        return data or self._members.read(size)


def _folder_tree(folder: Path, limits: Limits) -> Tree:
    """A folder's files. Its links are followed within it alone, and each file is opened without following any."""
    tree = Tree(limits)
    total = 0
    pending = [(folder, "")]
    while pending:
        at, above = pending.pop()
        with os.scandir(at) as entries:
            for entry in entries:
                name = f"{above}{entry.name}"
                if entry.is_symlink():
                    tree.add(Member(SYMLINK, name, str(Path(entry.path).readlink()), 0, False))
                elif entry.is_dir(follow_symlinks=False):
                    tree.add(Member(FOLDER, name, "", 0, False))
                    pending.append((Path(entry.path), f"{name}/"))
                elif entry.is_file(follow_symlinks=False):
                    size = entry.stat(follow_symlinks=False).st_size
                    total += size
                    _check_size(total, limits)
                    tree.add(Member(REGULAR, name, "", size, False), OnDisk(Path(entry.path), size))
                else:
                    tree.add(Member(b"6", name, "", 0, False))
    return tree


class _Plain:
    """A pipe as the bytes of its tar, up to a limit."""

    def __init__(self, pipe: BinaryIO, limits: Limits, alive: Callable[[], None]) -> None:
        self._alive = alive
        self._chunks = plain(pipe, limits.window, subject="archive")
        self._rest = memoryview(b"")
        self._limits = limits
        self._passed = 0

    def read(self, size: int) -> bytes:
        while not self._rest:
            chunk = self._next()
            if not chunk:
                return b""
            self._rest = memoryview(chunk)
        data = bytes(self._rest[:size])
        self._rest = self._rest[size:]
        return data

    def finish(self) -> None:
        """Read what follows the end of the tar, so that who writes the pipe need not fail."""
        while self._next():
            pass

    def _next(self) -> bytes:
        try:
            chunk = next(self._chunks, b"")
        except LayerTooLargeError as error:
            raise ArchiveLimitError.of(error) from error
        except InvalidLayerError as error:
            breaks_off = error.reason == "truncated"
            raise InvalidArchiveError("truncated" if breaks_off else "corrupt", str(error)) from error
        self._alive()
        self._passed += len(chunk)
        _check_size(self._passed, self._limits)
        return chunk


def _check_size(size: int, limits: Limits) -> None:
    """Refuse an archive of so many bytes or more, if that are too many."""
    if size > limits.archive:
        raise ArchiveLimitError("archive", limits.archive, f"the archive has at least {size} bytes")


def _begins_tar(first: bytes) -> bool:
    """Whether it may be a tar, be it one of zeros, in which nothing is."""
    try:
        check_sum(first)
    except (HeaderError, IndexError):
        return not first.strip(b"\0")
    return len(first) == BLOCK


def _is_binary(source: object) -> bool:
    return hasattr(source, "read") and not isinstance(source, io.TextIOBase)


def _tell(stream: BinaryIO) -> int | None:
    """Where a stream stands that can be sought in; None for a pipe."""
    try:
        return stream.tell() if stream.seekable() else None
    except (AttributeError, OSError):
        return None
