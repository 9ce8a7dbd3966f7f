"""Docker's own directory as a backend: ``image/<driver>/imagedb`` of a data root, byte for byte.

    <root>/                                 0700
    ├── content/sha256/<64 hex digits>      0600   a blob
    └── metadata/sha256/<64 hex digits>/    0700   what is kept beside that blob
        └── <key>                           0600   a value

A daemon that is started on such a directory reads it, and what a daemon has written is read here. A file is written under another
name, ``.tmp-<name><random>``, and renamed when it is whole: names that begin so are what a killed process has left, and no content.

Source: moby's ``image/fs.go``, ``pkg/ioutils/fswriters.go``.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Final

from imagestore.backend import check_blob, check_digest, check_key
from imagestore.digest import Digest
from imagestore.errors import BlobNotFoundError, CorruptBlobError, MetadataNotFoundError

_TEMPORARY: Final = ".tmp-"
_HEX: Final = re.compile("[0-9a-f]{64}", re.ASCII)
_PAGE: Final = 1 << 16  # names: some 12 MB


class FSBackend:
    """Blobs and metadata as files; see `imagestore.backend.StoreBackend` for what each method does.

    A write is on the disk when its call returns: file and folder have been synced. Threads may share one; several processes may
    write to one directory, and what each has written is whole. Errors of the disk are `OSError`, and leave nothing half.

    Args:
        root: the directory. It is made where it is missing, with its parents.
        create: False: the directory is there already, and may be one that nobody may write to.

    Raises:
        OSError: the directory cannot be made, or is not there.

    Source: moby's ``NewFSStoreBackend``.
    """

    def __init__(self, root: str | os.PathLike[str], *, create: bool = True) -> None:
        self._root = os.path.abspath(root)
        self._content = os.path.join(self._root, "content", "sha256")
        self._metadata = os.path.join(self._root, "metadata", "sha256")
        self._lock = threading.Lock()  # of writers: no metadata is written beside a blob that is being deleted
        if create:
            _make_folder(self._content)
            _make_folder(self._metadata)
        elif not stat.S_ISDIR(os.stat(self._content).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), self._content)

    def __repr__(self) -> str:
        return f"FSBackend({self._root!r})"

    def walk(self) -> Iterator[Digest]:
        """Every blob's digest, in order, whether its bytes are sound or not; other names are passed over.

        Memory is constant. The folder is listed once for every 65,536 blobs.
        """
        last = ""
        while True:
            with os.scandir(self._content) as entries:
                names = (entry.name for entry in entries if entry.name > last and _HEX.fullmatch(entry.name))
                page = heapq.nsmallest(_PAGE, names)
            for name in page:
                yield Digest.trusted(f"sha256:{name}")
            if len(page) < _PAGE:
                return
            last = page[-1]

    def get(self, digest: str) -> bytes:
        """The bytes of a blob, verified. Symbolic links are followed, as moby does.

        Raises:
            BlobNotFoundError: there is none.
            CorruptBlobError: the file has other bytes, or is no regular file.
        """
        blob = check_digest(digest)
        try:
            data = read_file(os.path.join(self._content, blob.hex))
        except FileNotFoundError:
            raise BlobNotFoundError(blob) from None
        if data is None or Digest.from_bytes(data) != blob:
            raise CorruptBlobError(blob)
        return data

    def set(self, data: bytes) -> Digest:
        """Store a blob and return its digest. What lies under its name already is replaced: damaged bytes, another mode, a link.

        Raises:
            InvalidBlobError: it has no bytes.
        """
        blob = check_blob(data)
        with self._lock:
            write_file(self._content, blob.hex, data)
        return blob

    def delete(self, digest: str) -> None:
        """Remove a blob and all of its metadata, or on an error neither.

        Raises:
            BlobNotFoundError: there is no such blob; metadata that was left under its digest is removed all the same.
        """
        blob = check_digest(digest)
        with self._lock, _set_aside(self._metadata, blob.hex):
            try:
                _remove(os.path.join(self._content, blob.hex))
            except FileNotFoundError:
                missing = True
            else:
                missing = False
        _sync(self._content)
        if missing:
            raise BlobNotFoundError(blob)

    def set_metadata(self, digest: str, key: str, data: bytes) -> None:
        """Store a value beside a blob, in place of an earlier one.

        Raises:
            BlobNotFoundError: there is no such blob.
            CorruptBlobError: the blob is damaged.
        """
        blob, name = check_digest(digest), _file_name(key)
        with self._lock:
            self.get(blob)
            folder = os.path.join(self._metadata, blob.hex)
            _make_folder(folder)
            write_file(folder, name, data)

    def get_metadata(self, digest: str, key: str) -> bytes:
        """The value under a key.

        Raises:
            BlobNotFoundError: there is no such blob.
            MetadataNotFoundError: the blob has no such key.
            CorruptBlobError: the blob is damaged.
        """
        blob, name = check_digest(digest), _file_name(key)
        self.get(blob)
        try:
            data = read_file(os.path.join(self._metadata, blob.hex, name))
        except FileNotFoundError:
            data = None
        if data is None:
            raise MetadataNotFoundError(blob, key)
        return data

    def delete_metadata(self, digest: str, key: str) -> None:
        """Remove a key; a missing key or blob is no error, and the blob may be damaged."""
        blob, name = check_digest(digest), _file_name(key)
        folder = os.path.join(self._metadata, blob.hex)
        with self._lock, contextlib.suppress(FileNotFoundError):
            _remove_all(os.path.join(folder, name))
            _sync(folder)

    def metadata_keys(self, digest: str) -> list[str]:
        """All keys of a blob, in the order of their bytes. One that begins with ``.tmp-`` is left out: an interrupted write looks so.

        Raises:
            BlobNotFoundError: there is no such blob.
            CorruptBlobError: the blob is damaged.
        """
        blob = check_digest(digest)
        self.get(blob)
        try:
            with os.scandir(os.path.join(self._metadata, blob.hex)) as entries:
                names = [
                    os.fsencode(entry.name)
                    for entry in entries
                    if entry.is_file() and not entry.name.startswith(_TEMPORARY)
                ]
        except FileNotFoundError:
            return []
        return [name.decode("utf-8", "surrogateescape") for name in sorted(names)]


def _file_name(key: str) -> str:
    return os.fsdecode(check_key(key))


def read_file(path: str, limit: int = sys.maxsize) -> bytes | None:
    """The bytes of a regular file; None for one of more bytes than the limit, and for anything else: a FIFO would never open."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
            return None
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def write_file(folder: str, name: str, data: bytes) -> None:
    """Write a file in one step that is seen: under another name, synced, renamed, and the folder synced."""
    descriptor, temporary = tempfile.mkstemp(prefix=_TEMPORARY + name, dir=folder)
    try:
        try:
            os.fchmod(descriptor, 0o600)  # whatever the umask is
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, os.path.join(folder, name))
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync(folder)


@contextlib.contextmanager
def _set_aside(folder: str, name: str) -> Iterator[None]:
    """Take what has this name out of sight in one step; remove it after the block, or put it back if the block fails."""
    path = os.path.join(folder, name)
    aside = os.path.join(folder, f"{_TEMPORARY}{name}{secrets.token_hex(4)}")
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        yield
        return
    try:
        yield
    except BaseException:
        os.rename(aside, path)
        raise
    _remove_all(aside)
    _sync(folder)


def _remove(path: str) -> None:
    """Go's ``os.Remove``: a file, a link, or an empty folder."""
    try:
        os.unlink(path)
    except (IsADirectoryError, PermissionError):
        if not os.path.isdir(path):
            raise
        os.rmdir(path)


def _remove_all(path: str) -> None:
    """Go's ``os.RemoveAll``, except that a missing path is an error."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _make_folder(path: str) -> None:
    """Go's ``os.MkdirAll``, with mode 0700 whatever the umask is, and synced."""
    try:
        try:
            os.mkdir(path, 0o700)
        except FileNotFoundError:
            _make_folder(os.path.dirname(path))
            os.mkdir(path, 0o700)
    except FileExistsError:
        if not os.path.isdir(path):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None
        return
    os.chmod(path, 0o700)
    _sync(os.path.dirname(path))


def _sync(folder: str) -> None:
    """Make what was renamed or removed in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
