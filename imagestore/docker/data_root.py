"""A Docker daemon's data root: its images are read from there, and written as its directory has them.

    /var/lib/docker                         the data root
    └── image/<driver>                      one of these for each storage driver that the daemon has had
        ├── imagedb                         the image database: `imagestore.backends.filesystem`
        ├── layerdb                         the layers: `imagestore.docker.layer_database`
        └── repositories.json               the tags: `imagestore.docker.repositories`

Any of the folders will do, and so will a tar of any of them, compressed or not. Nothing is ever written to where images are read.
An image database without the others has images only.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self, TypeVar

from imagestore.backend import Copied, Progress, StoreBackend, check_key, copy
from imagestore.backends.filesystem import FSBackend
from imagestore.batches import batched
from imagestore.docker import layer_database, repositories
from imagestore.errors import ImageNotFoundError, IncompleteCopyError, InvalidError, UnusableDataRootError
from imagestore.restore import RestoredStore
from imagestore.sql import references, sizes
from imagestore.store import Store

T = TypeVar("T")

_IMAGES: Final = "imagedb"
_CONTENT: Final = ("content", "sha256")
_METADATA: Final = ("metadata", "sha256")
_PAGE: Final = 1000  # tags or layers of one transaction
_BESIDE: Final = re.compile(
    "(?P<root>(?:[^/]+/)*)(?P<file>repositories[.]json|layerdb/sha256/[0-9a-f]{64}/(?:diff|parent|size))", re.ASCII
)
_NAME: Final = re.compile(
    "(?P<database>(?:(?:[^/]+/)*imagedb/)?)"
    "(?:content/sha256(?:/(?P<blob>[0-9a-f]{64}))?|metadata/sha256/(?P<owner>[0-9a-f]{64})/(?P<key>[^/]+))",
    re.ASCII,
)
_LARGEST_FILE: Final = 64 << 20  # bytes of a configuration or a value in a tar; real ones have some thousand
_LARGEST_HEADER: Final = 1 << 18  # bytes of what a tar says about one member beside its fixed header
_HEADERS: Final = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
_MOST_DATABASES: Final = 100  # in one tar, before it is clear which is the daemon's


class HasBackend(Protocol):
    """A store of images, which stands for its backend: `imagestore.store.Store`, `imagestore.restore.RestoredStore`."""

    @property
    def backend(self) -> StoreBackend:
        """What holds its blobs and metadata."""
        ...


@dataclass(frozen=True, slots=True)
class Imported(Copied):
    """What one run of `import_data_root` has written.

    Attributes:
        references: tags and digests that stood for another image before, or for none.
        sizes: layers whose size was not known.
        left_out: what was not taken over, a line each: a tag of an image that is not there, damaged entries.
    """

    references: int = 0
    sizes: int = 0
    left_out: tuple[str, ...] = ()


def import_data_root(
    path: str | os.PathLike[str], target: StoreBackend | HasBackend, progress: Progress | None = None
) -> Imported:
    """Copy all images of a data root with their parents and times, and all other blobs and metadata of its image database.

    A store also gets the tags, each in place of one that it has under the same name, and the sizes of layers that it did not know.

    Args:
        path: see `open_image_database`.
        target: where to; each page is committed by itself. Run again after an interruption, it goes on where it was.
        progress: see `imagestore.backend.copy`.

    Raises:
        UnusableDataRootError: there is no image database, or more than one.
        IncompleteCopyError: some of its blobs are damaged; all else has been copied, and ``__notes__`` has what else was left out.
        OSError: it cannot be read.
    """
    with _open(path) as database:
        beside = database.parent if database.name == _IMAGES else None
        try:
            copied = copy(FSBackend(database, create=False), _backend(target), progress=progress)
        except IncompleteCopyError as error:
            for line in _import_beside(beside, target).left_out:
                error.add_note(line)
            raise
        found = _import_beside(beside, target)
    return Imported(copied.blobs, copied.metadata, found.references, found.sizes, found.left_out)


def export_data_root(
    source: StoreBackend | HasBackend, directory: str | os.PathLike[str], progress: Progress | None = None
) -> Copied:
    """Write all blobs and metadata to ``directory/imagedb``, as a daemon has them in ``image/<driver>``, and a store's tags beside it.

    What the daemon wrote comes back byte for byte. The key "lastUsed", which is ours, is written too: a daemon passes over it, and
    an import of the export has all that was exported. The daemon's layers are its storage driver's, and are not written.

    Args:
        source: where from.
        directory: is made where it is missing. Images and tags that it has already stay, but for those of the same name. A running daemon
            sees new ones when it is restarted.
        progress: see `imagestore.backend.copy`.

    Raises:
        IncompleteCopyError: some blobs of the source are damaged; all others have been copied, and all tags.
        UnusableDataRootError: the directory has a ``repositories.json`` that cannot be understood, which stays as it is.
        OSError: it cannot be written.
    """
    folder = Path(directory)
    try:
        copied = copy(_backend(source), FSBackend(folder / _IMAGES), progress=progress)
    except IncompleteCopyError:
        _export_beside(source, folder)
        raise
    _export_beside(source, folder)
    return copied


@contextlib.contextmanager
def open_image_database(path: str | os.PathLike[str]) -> Iterator[FSBackend]:
    """The image database at a path, for reading.

    Args:
        path: a data root, its folder ``image`` or ``image/<driver>``, an image database, or a tar of one of these. Of a tar, the
            database and what is read beside it are unpacked into a temporary folder, in one pass and constant memory; its other members
            may be anything.

    Raises:
        UnusableDataRootError: there is no image database, or more than one.
        OSError: it cannot be read.
    """
    with _open(path) as database:
        yield FSBackend(database, create=False)


def find_image_database(path: str | os.PathLike[str]) -> Path:
    """The folder of the image database: the path itself, or what is below it.

    Raises:
        UnusableDataRootError: there is none, or there is one for each of several storage drivers.
        OSError: a folder cannot be read.
    """
    root = Path(path)
    for candidates in ([root], [root / "imagedb"], _of_drivers(root), _of_drivers(root / "image")):
        found = [candidate for candidate in candidates if _is_folder(candidate.joinpath(*_CONTENT))]
        if found:
            return _only(root, [(str(each.parent), each) for each in found])
    raise _none(root)


def _backend(of: StoreBackend | HasBackend) -> StoreBackend:
    return of if isinstance(of, StoreBackend) else of.backend


@contextlib.contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The folder of the image database; its name is "imagedb" where something may lie beside it."""
    if stat.S_ISDIR(Path(path).stat().st_mode):
        yield find_image_database(path)
        return
    with tempfile.TemporaryDirectory(prefix="imagestore-") as folder:
        yield _unpack(Path(path), Path(folder))


def _import_beside(folder: Path | None, target: StoreBackend | HasBackend) -> Imported:
    if folder is None or not isinstance(target, Store) or isinstance(target, RestoredStore):
        return Imported(0, 0)
    left_out: list[str] = []
    changed = sized = 0
    for tags in batched(repositories.read(folder, left_out), _PAGE):
        more, missing = target.bind.write(references.set_many, tags)
        changed += more
        left_out += [f"{reference.familiar}: {ImageNotFoundError(image_id)}" for reference, image_id in missing]
    for layers in batched(((link.chain_id, size) for link, size in layer_database.read(folder, left_out)), _PAGE):
        sized += target.bind.write(sizes.set_many, layers)
    return Imported(0, 0, changed, sized, tuple(left_out))


def _export_beside(source: StoreBackend | HasBackend, folder: Path) -> None:
    if isinstance(source, Store) and not isinstance(source, RestoredStore):
        repositories.write(folder, source.references.stream())


def _of_drivers(image: Path) -> list[Path]:
    return [driver / "imagedb" for driver in sorted(image.iterdir())] if _is_folder(image) else []


def _is_folder(path: Path) -> bool:
    """Whether it is; Path.is_dir answers no where the truth is that it may not be looked at."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _only(path: Path, found: list[tuple[str, Path]]) -> Path:
    if len(found) > 1:
        names = ", ".join(name for name, _ in found[:10])
        raise UnusableDataRootError(
            f"{path} has the images of {len(found)} storage drivers, {names}: name one of these folders"
        )
    return found[0][1]


def _none(path: Path) -> UnusableDataRootError:
    return UnusableDataRootError(
        f"{path} has no image database of Docker: it is looked for as content/sha256, imagedb, <driver>/imagedb and "
        "image/<driver>/imagedb (a daemon that keeps its images in containerd has none)"
    )


class _Member(tarfile.TarInfo):
    """A member of a tar, from a header that is sound and bounded.

    tarfile takes a damaged header, and the end of the file, for the end of the tar, and reads long names and PAX records into memory,
    however long they are. All of that is an error here.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        if len(buf) < tarfile.BLOCKSIZE:
            raise tarfile.ReadError("it ends before its end mark")
        try:
            member = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if any(buf):
                raise tarfile.ReadError(f"a header is damaged: {error}") from error
            raise  # the end mark
        if member.type in _HEADERS and member.size > _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header has {member.size} bytes; at most {_LARGEST_HEADER} are read")
        return member


def _unpack(path: Path, folder: Path) -> Path:
    """Write the image database that is nearest to the tar's root into the folder, with what is read beside it.

    One further down is in a layer or a volume.
    """
    found: dict[str, Path] = {}
    nearest = 0
    try:
        with tarfile.open(path, "r|*", tarinfo=_Member, encoding="utf-8", errors="surrogateescape") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # it would remember them all
                normal = _normal(member.name)
                if beside := _BESIDE.fullmatch(normal):
                    if not found or beside["root"].count("/") < nearest:
                        _write_beside(tar, member, _folder(folder, f"{beside['root']}{_IMAGES}/") / beside["file"])
                    continue
                name = _NAME.fullmatch(normal)
                if name is None or (member.isdir() and name["key"]):
                    continue
                depth = name["database"].count("/")
                if not found or depth < nearest:
                    for further in found.values():
                        shutil.rmtree(further.parent)
                    found, nearest = {}, depth
                if depth == nearest:
                    _write(tar, member, name, _database(name["database"], found, folder))
    except InvalidError:
        raise
    except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
        raise UnusableDataRootError(f"{path} is no folder, and no tar that can be read: {error}") from error
    if not found:
        raise _none(path)
    return _only(path, [(name.removesuffix("/imagedb/"), database) for name, database in found.items()])


def _normal(name: str) -> str:
    parts = [part for part in name.split("/") if part not in {"", "."}]
    return "" if ".." in parts else "/".join(parts)


def _database(name: str, found: dict[str, Path], folder: Path) -> Path:
    if name not in found:
        if len(found) == _MOST_DATABASES:
            raise UnusableDataRootError(f"the tar has more than {_MOST_DATABASES} image databases")
        found[name] = _folder(folder, name) / (_IMAGES if name else "root")
        found[name].joinpath(*_CONTENT).mkdir(parents=True)
    return found[name]


def _folder(folder: Path, database: str) -> Path:
    """Where a database goes, with what is beside it."""
    return folder / hashlib.sha256(os.fsencode(database)).hexdigest()


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, name: re.Match[str], database: Path) -> None:
    if name["blob"]:
        destination = database.joinpath(*_CONTENT, name["blob"])
    elif name["key"]:
        destination = database.joinpath(*_METADATA, name["owner"], os.fsdecode(check_key(name["key"])))
    else:
        return  # the folder of the blobs
    content = tar.extractfile(member) if member.isreg() else None
    if content is None:
        raise UnusableDataRootError(f"{member.name!r} in the tar is no regular file")
    if member.size > _LARGEST_FILE:
        raise UnusableDataRootError(
            f"{member.name!r} in the tar has {member.size} bytes; at most {_LARGEST_FILE} are read"
        )
    destination.parent.mkdir(parents=True, exist_ok=True)
    with destination.open("wb") as file:
        shutil.copyfileobj(content, file)


def _write_beside(tar: tarfile.TarFile, member: tarfile.TarInfo, destination: Path) -> None:
    """Write a file as far as it is not too large for its reader, who also tells what is no file; it may not be the daemon's at all."""
    content = tar.extractfile(member) if member.isreg() else None
    destination.parent.mkdir(parents=True, exist_ok=True)
    with destination.open("wb") as file:
        if content is not None:
            limit = repositories.LARGEST if destination.name == repositories.NAME else layer_database.LARGEST
            file.write(content.read(limit + 1))
