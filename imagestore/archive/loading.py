"""An archive into a store: `load`, and what the readers of each format do it with.

The content of layers is written first, under a lease and in no transaction; then one transaction adds an image with its tags. So an image
is there when all of it is, those before a bad one stay, and what a broken load leaves is garbage that `Store.collect` takes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from itertools import islice, starmap
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple, TypeVar, cast

from sqlalchemy import Connection

from imagestore.archive import formats
from imagestore.archive.limits import Limits
from imagestore.archive.messages import Line, Progress, Report
from imagestore.archive.platforms import Platform
from imagestore.archive.source import opened
from imagestore.archive.taking import LayerFile, check_diff_id, measure, read_layer
from imagestore.archive.tree import Body
from imagestore.content.place import delete
from imagestore.digest import ChainID, DiffID, ImageID, is_sha256
from imagestore.errors import (
    ArchiveLimitError,
    InvalidError,
    InvalidLayerError,
)
from imagestore.image import Image
from imagestore.layers import WrittenLayer
from imagestore.leases import HeldLease
from imagestore.reference import Reference
from imagestore.sql import images, references
from imagestore.sql.references import Association
from imagestore.store import Store

if TYPE_CHECKING:
    from imagestore.lease import Lease

_T = TypeVar("_T")

_LIMITS: Final = Limits()
_BLOB: Final = re.compile(r"(?:\./)?blobs/sha256/([0-9a-f]{64})", re.ASCII)


class LoadedImage(NamedTuple):
    """An image that a load has created, or found to be there already, with the tags that it has given it."""

    id: ImageID
    tags: tuple[Reference, ...]


def load(
    store: Store,
    source: BinaryIO | str | os.PathLike[str],
    *,
    platform: str | None = None,
    limits: Limits = _LIMITS,
    lease: HeldLease | Lease | None = None,
    report: Report | None = None,
) -> list[LoadedImage]:
    """Load the images of an archive: one of docker's, of any age, or an OCI image layout, as a tar or a folder.

    Commits each image with its tags by itself, and the links to parents at the end. Of a file that can be sought in, layers that are there
    are not read (but those of the layout before 1.10, which does not say what they are); a pipe is read once, to its end, in constant
    memory and without a copy of its layers.

    Args:
        store: has ``content``; where it has joined, all rows are the caller's.
        source: the archive, plain or compressed with gzip, bzip2, xz or zstd, open at its beginning; or the path of one or of a folder.
        platform: "linux/arm64" or the like, of an OCI layout that has images for several; None: linux/amd64 where there is a choice.
        limits: how much it may ask for.
        lease: what keeps the layers meanwhile, which must last as long; None: one of its own, renewed as needed. A joined store wants
            one, that was taken before the caller's transaction began.
        report: is called with docker's lines and the progress of layers.

    Returns:
        The images, in the order of the archive.

    Raises:
        InvalidArchiveError: the archive or an image in it cannot be loaded; those before it stay.
        InvalidImageError, InvalidReferenceError, InvalidLayerError: as for `InvalidArchiveError`.
        ArchiveLimitError: it asks for more than ``limits`` allow.
        LeaseExpiredError: the lease has expired meanwhile.
        UnusableBindError: the store has joined, and no lease is given.
        ReadOnlyError: the store is a snapshot.
        InvalidError: no platform is written so, or the source is no stream of bytes.
        UnusableContentError: the store has no place for content.
        OSError: the archive cannot be read, or the content not be written.

    Source: moby's ``tarexport.Load``.
    """
    wanted = None if platform is None else Platform.parse(platform)
    with (
        _loading(store, limits, lease, report) as loading,
        opened(source, limits, loading.keep, loading.keep_alive) as archive,
    ):
        formats.read(archive, loading, wanted)
        return loading.loaded


class Loading:
    """One load: the `imagestore.archive.taking.Taker` that stores what the readers hand it.

    Attributes:
        loaded: the images so far.
    """

    def __init__(
        self,
        store: Store,
        lease: HeldLease | Lease,
        limits: Limits,
        report: Report | None,
        own: HeldLease | None = None,
    ) -> None:
        self._store = store
        self._limits = limits
        self.loaded: list[LoadedImage] = []
        self._lease = lease
        self._own = own
        self._report = report
        self._written: dict[tuple[Body, str], WrittenLayer] = {}
        self._unlinked: set[str] = set()

    def attempt(self) -> AbstractContextManager[None]:
        """Nothing: the first refusal ends a load."""
        return nullcontext()

    def tell(self, text: str) -> None:
        """Report a line."""
        if self._report is not None:
            self._report(Line(text))

    def keep_alive(self) -> None:
        """Renew a lease of our own in time; of one that was given, its owner knows how long it lasts."""
        if self._own is not None:
            self._own.keep_alive()

    def keep(self, stream: BinaryIO, name: str, size: int) -> WrittenLayer:
        """Write what may be a layer and passes in a pipe, before anything is known of it.

        A name that is a digest may be the diff ID of a layer that is there: that is held, and what passes only compared with it.
        """
        told = self._told(stream, _short(name), size)
        blob = _BLOB.fullmatch(name)
        if blob is not None:
            diff_id = DiffID(f"sha256:{blob[1]}")
            standing = self._store.layers.hold_content(diff_id, lease=self._lease)
            if standing is not None:
                if measure(told, self._limits).diff_id != diff_id:
                    raise InvalidLayerError(f"{name} passed with other bytes than its name says")
                return standing
        return self._write(told)

    def add_layers(self, image: Image, files: Iterable[LayerFile]) -> None:
        """Let all layers of an image be there, held by the lease; each is read where it is not."""
        there = self._store.layers.hold_stack(image.stack, lease=self._lease)
        parent: ChainID | None = None
        diff_ids = image.rootfs.diff_ids if image.rootfs else ()
        for place, (diff_id, file) in enumerate(zip(diff_ids, files, strict=True)):
            if place < there:
                parent = image.stack[place].chain_id
                continue
            written = self.layer(file, diff_id)
            check_diff_id(place, diff_id, written)
            parent = self.link(written, parent)

    def layer(self, file: LayerFile, shown: str) -> WrittenLayer:
        """Write a layer of which nothing is known, once."""
        key = file.body, file.digest
        if key not in self._written:
            self._written[key] = read_layer(
                file, lambda stream: self._write(self._told(stream, _short(shown), file.body.size))
            )
        return self._written[key]

    def link(self, written: WrittenLayer, parent: ChainID | None) -> ChainID:
        """Give a layer its place."""
        self._unlinked.discard(written.name)  # first: should the answer to a commit be lost, a row may have it
        return self._store.layers.link(written, parent, lease=self._lease).chain_id

    def add_image(self, image: Image, tags: Iterable[Reference] = ()) -> None:
        """Create an image and give it tags, in one transaction."""
        self._add(image.image_id, image, tags)

    def add_again(self, image_id: ImageID, tags: Iterable[Reference]) -> None:
        """Give an image more tags, and tell them as if it were added again."""
        self._add(image_id, None, tags)

    def add_tags(self, tags: Iterable[tuple[Reference, ImageID]]) -> None:
        """Give images tags, in one transaction, and tell no more than which have moved."""
        taken, failure = self._limited(starmap(Association, tags), "the archive")
        had = self._store.bind.write(references.take_many, taken)
        named: dict[ImageID, list[Reference]] = {}
        for tag, image_id in taken:
            self._tell_moved(tag, image_id, had)
            named.setdefault(image_id, []).append(tag)
        self.loaded = [LoadedImage(each.id, (*each.tags, *named.get(each.id, ()))) for each in self.loaded]
        if failure is not None:
            raise failure

    def get(self, image_id: ImageID) -> Image:
        """An image that was added."""
        return self._store.get(image_id)

    def set_parent(self, image_id: ImageID, parent: ImageID) -> None:
        """Set the parent of an image."""
        self._store.set_parent(image_id, parent)

    def discard(self) -> None:
        """Remove what was written and no row has: what was read of a pipe and is there already, or is no image's."""
        content = self._store.content
        if content is not None:
            delete(content, self._unlinked)

    def _add(self, image_id: ImageID, image: Image | None, tags: Iterable[Reference]) -> None:
        if len(self.loaded) == self._limits.images:
            raise ArchiveLimitError("images", self._limits.images, "the archive has more images")
        taken, failure = self._limited(tags, f"image {image_id}")
        had = self._store.bind.write(_add_image, image_id, image, taken) if image or taken else {}
        self.loaded.append(LoadedImage(image_id, tuple(taken)))
        for tag in taken:
            self._tell_moved(tag, image_id, had)
            self.tell(f"Loaded image: {tag.familiar}\n")
        if failure is not None:
            raise failure

    def _limited(self, tags: Iterable[_T], of: str) -> tuple[list[_T], InvalidError | None]:
        """The tags up to the first that raises, and what it raises."""
        taken: list[_T] = []
        failure = None
        try:
            taken.extend(islice(tags, self._limits.tags + 1))
        except InvalidError as error:
            failure = error
        if len(taken) > self._limits.tags:
            raise ArchiveLimitError("tags", self._limits.tags, f"{of} has more tags")
        return taken, failure

    def _tell_moved(self, tag: Reference, image_id: ImageID, had: dict[Reference, ImageID]) -> None:
        previous = had.pop(tag, image_id)  # once, though a tag may be named twice
        if previous != image_id:
            self.tell(
                f"The image {tag.familiar} already exists, renaming the old one with ID {previous} to empty string\n"
            )

    def _write(self, stream: BinaryIO) -> WrittenLayer:
        written = self._store.layers.write(
            stream, lease=self._lease, limit=self._limits.layer, window=self._limits.window
        )
        self._unlinked.add(written.name)
        return written

    def _told(self, stream: BinaryIO, shown: str, size: int) -> BinaryIO:
        def tell(current: int) -> None:
            self.keep_alive()
            if self._report is not None:
                self._report(Progress(shown, current, size))

        return cast("BinaryIO", _Told(stream, tell))


@contextmanager
def _loading(store: Store, limits: Limits, lease: HeldLease | Lease | None, report: Report | None) -> Iterator[Loading]:
    store.layers.require_content()
    with ExitStack() as stack:
        own = None
        if lease is None:
            lease = own = stack.enter_context(store.lease(labels={"for": "load"}))
        loading = Loading(store, lease, limits, report, own)
        stack.callback(loading.discard)
        yield loading


def _add_image(
    connection: Connection, image_id: ImageID, image: Image | None, tags: Sequence[Reference]
) -> dict[Reference, ImageID]:
    """Create an image unless it is there, and give it tags; returns the images that had these before."""
    if image is not None:
        images.create(connection, image_id, image.raw_json, image.stack, with_content=True)
    return references.take_many(connection, [Association(tag, image_id) for tag in tags])


class _Told:
    """A stream that tells how much of it has been read."""

    def __init__(self, stream: BinaryIO, tell: Callable[[int], None]) -> None:
        self._stream = stream
        self._tell = tell
        self._current = 0

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        if data:
            self._current += len(data)
            self._tell(self._current)
        return data


def _short(shown: str) -> str:
    """What docker shows of an ID; of another name the last twelve characters."""
    return shown.removeprefix("sha256:")[:12] if is_sha256(shown) else shown.removesuffix("/layer.tar")[-12:]
