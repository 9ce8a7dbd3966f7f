"""A folder on a local disk that keeps the bytes of layers.

    <folder>
    ├── identity        of the store that it belongs to: 32 hexadecimal digits
    └── data/<name>     what was written under a name, which is never written again

A name appears before its bytes are whole; what makes them count is the row that the database commits afterwards. By then the bytes and
the folder's entry are synced.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from imagestore.errors import InvalidError, UnusableContentError

_NAME: Final = re.compile("[0-9A-Za-z-]{1,200}", re.ASCII)
_IDENTITY: Final = re.compile("[0-9a-f]{32}", re.ASCII)
_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_BEHIND: Final = 16 << 20  # bytes that are written before the disk begins with them
_ADVISE: Final = getattr(os, "posix_fadvise", None)
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LocalContent:
    """`imagestore.content.place.Content` in a folder, which is made, with those above it, when a store first claims it.

    Args:
        folder: where it is.

    Raises:
        UnusableContentError: no folder can have this path.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        if "\0" in os.fsdecode(folder):
            raise UnusableContentError(f"no folder for content can have the path {os.fsdecode(folder)!r}: it has a NUL")
        self._folder = Path(folder).absolute()
        self._data = self._folder / "data"

    def __str__(self) -> str:
        return str(self._folder)

    @property
    def identity(self) -> str | None:
        """The store that the folder belongs to, None before the first `claim`.

        Raises:
            UnusableContentError: what says so is damaged, or the path leads to a file.
        """
        path = self._folder / "identity"
        try:
            with _open_file(path) as file:
                found = file.read(100).decode("ascii", "replace").strip()
        except FileNotFoundError:
            return None
        except NotADirectoryError as error:
            raise UnusableContentError(f"{self._folder} is no folder: name one for the content of layers") from error
        if not _IDENTITY.fullmatch(found):
            raise UnusableContentError(f"{path} holds no identity: restore it from a backup of the folder")
        return found

    def claim(self, identity: str) -> str:
        """Let the folder belong to a store, if it belongs to none yet; returns the identity of the one that it belongs to."""
        self._make_folders()
        draft = self._folder / f"identity-{secrets.token_hex(8)}"
        try:
            _write_file(draft, [f"{identity}\n".encode()])
            with contextlib.suppress(FileExistsError):
                os.link(draft, self._folder / "identity")
        finally:
            _discard(draft)
        _sync_folder(self._folder)
        return self.identity or identity

    def write(self, name: str, chunks: Iterable[bytes]) -> None:
        """Write all chunks under a name that has never been used; see the protocol."""
        path = self._path(name)
        _write_file(path, chunks)
        try:
            _sync_folder(self._data)
        except BaseException:
            _discard(path)
            raise

    def open(self, name: str) -> BinaryIO:
        """What was written under a name, to be read from its beginning.

        Raises:
            FileNotFoundError: there is nothing under it.
            UnusableContentError: there is something else than a file under it.
        """
        return _open_file(self._path(name))

    def size(self, name: str) -> int:
        """How many bytes are under a name; else as `open`."""
        with self.open(name) as file:
            return os.fstat(file.fileno()).st_size

    def delete(self, name: str) -> None:
        """Remove what is under a name; nothing there is no error.

        Raises:
            UnusableContentError: there is a folder under it, and who knows what in it.
        """
        path = self._path(name)
        try:
            path.unlink(missing_ok=True)
        except (IsADirectoryError, PermissionError) as error:
            if not path.is_dir():
                raise
            raise _no_file(path) from error

    def names(self) -> Iterator[str]:
        """All names under which something is, in no order. A folder is none that a store has made, and is left alone."""
        try:
            entries = os.scandir(self._data)
        except FileNotFoundError:
            return
        with entries:
            for entry in entries:
                if _NAME.fullmatch(entry.name) and not entry.is_dir(follow_symlinks=False):
                    yield entry.name

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise InvalidError(f"content has names of letters, digits and dashes, not {name!r}")
        return self._data / name

    def _make_folders(self) -> None:
        missing = []
        folder = self._data
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for folder in reversed(missing):
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
            _sync_folder(folder.parent)


def _write_file(path: Path, chunks: Iterable[bytes]) -> None:
    descriptor = os.open(path, _NEW, 0o600)
    try:
        with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123  of a descriptor
            written = begun = 0
            for chunk in chunks:
                with _named(path):
                    _write_all(file.fileno(), chunk)
                written += len(chunk)
                if written - begun >= _BEHIND:
                    _begin_sync(file.fileno(), begun, written - begun)
                    begun = written
            with _named(path):
                os.fsync(file.fileno())
    except BaseException:
        _discard(path)
        raise


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """What the system says of a descriptor has no name: let it have that of the file, and the remedy where there is no room."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        if error.errno in _NO_ROOM:
            error.add_note(
                "there is no more room for the content of layers; nothing of this one was stored: make room and try again"
            )
        raise


def _open_file(path: Path) -> BinaryIO:
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open(path, "rb", buffering=0, opener=lambda path, _: os.open(path, _READ)))
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):  # a link, a socket, a folder
                raise _no_file(path) from error
            raise
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise _no_file(path)
        stack.pop_all()  # the caller closes it
        return file


def _no_file(path: Path) -> UnusableContentError:
    return UnusableContentError(f"{path} is no file: somebody has put something else there; move it away")


def _discard(path: Path) -> None:
    """Remove what could not be finished; why it could not is the error to be told, not this."""
    with contextlib.suppress(OSError):
        path.unlink()


def _write_all(descriptor: int, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _begin_sync(descriptor: int, start: int, size: int) -> None:
    """Let the disk begin with what is written, so that little is left for fsync: Linux does when it hears that nobody needs it."""
    if _ADVISE is not None:
        _ADVISE(descriptor, start, size, os.POSIX_FADV_DONTNEED)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with _named(folder):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
