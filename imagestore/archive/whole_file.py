"""A file that is there whole or not at all, and errors that say which it is.

What is written has no name, where the system can do that, and so goes when the process is killed; else it is ``.imagestore-<random>``
beside the file.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

from imagestore.errors import InvalidError

_DESCRIPTORS: Final = Path("/proc/self/fd")
_NAMELESS = getattr(os, "O_TMPFILE", 0) if _DESCRIPTORS.is_dir() else 0
_NOT_HERE: Final = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL}
_WRITE: Final = os.O_WRONLY | os.O_CLOEXEC
_MODE: Final = 0o666  # but for what the umask takes


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Write a file in the block: at its end it is synced and has its name, in place of an earlier one; after an error, nothing is left.

    Args:
        path: a link is followed.

    Raises:
        InvalidError: there is something else than a file.
        OSError: it cannot be written; it has the path.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir() or os.fspath(path).endswith("/"):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if _is_descriptor(path) or (target.exists() and not target.is_file()):
        raise InvalidError(f"{os.fspath(path)} is no file, and stays what it is: name a file, or write to a stream")
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        draft = f".imagestore-{secrets.token_hex(8)}"
        descriptor, is_nameless = _create(target, draft, folder)
        try:
            with _File(descriptor, "wb") as file:
                if target.exists():
                    os.fchmod(descriptor, stat.S_IMODE(target.stat().st_mode))  # who may read it stays the same
                file.path = target
                yield cast("BinaryIO", file)
                with telling_of(target):
                    os.fsync(descriptor)
                    if is_nameless:
                        os.link(_DESCRIPTORS / str(descriptor), draft, dst_dir_fd=folder, follow_symlinks=True)
            with telling_of(target):
                os.rename(draft, target.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(draft, dir_fd=folder)
            raise
        with telling_of(target):
            os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def telling_of(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let an OSError of the block say where that was."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = os.fspath(path), None
        raise


class _File(io.FileIO):
    """A file whose errors say which it is."""

    path: Path

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # nothing else comes
        with telling_of(self.path):
            return os.write(self.fileno(), data)


def _is_descriptor(path: str | os.PathLike[str]) -> bool:
    """Whether it is a name of an open file, as /dev/stdout, behind which there may be a file that others write, too."""
    return Path(os.path.realpath(Path(path).parent)).parts[1:2] in [("dev",), ("proc",)]


def _create(target: Path, draft: str, folder: int) -> tuple[int, bool]:
    """A new file, and whether it has no name."""
    with telling_of(target):
        if _NAMELESS:
            try:
                return os.open(target.parent, _WRITE | _NAMELESS, _MODE), True
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
        return os.open(draft, _WRITE | os.O_CREAT | os.O_EXCL, _MODE, dir_fd=folder), False
