"""Which images an archive is to have: what names mean, and that all of their layers are there and stay until they are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from sqlalchemy import Connection

from imagestore.bind import EngineBind
from imagestore.content.place import Content
from imagestore.digest import ChainID, DiffID, ImageID
from imagestore.docker.rules import whole_id
from imagestore.errors import (
    ConflictError,
    ContentLostError,
    CorruptContentError,
    ImageNotFoundError,
    InvalidError,
    LayerNotFoundError,
)
from imagestore.image import Image
from imagestore.leases import HeldLease
from imagestore.reference import Reference
from imagestore.sql import contents, layers, leases
from imagestore.store import Store

_CHUNK: Final = 1 << 20
_ATTEMPTS: Final = 10  # of which each but the last has met a delete


class SelectedLayer(NamedTuple):
    """A layer of an image: its place in the trie, and the bytes of its tar."""

    chain_id: ChainID
    diff_id: DiffID
    size: int


class SelectedImage(NamedTuple):
    """An image, the tags under which it was named, and its layers, the lowest first."""

    image: Image
    tags: tuple[Reference, ...]
    layers: tuple[SelectedLayer, ...]


class Selection:
    """What `selected` gives.

    Attributes:
        images: in the order in which they were first named. Their layers are there, and stay while the block lasts.
    """

    def __init__(self, store: Store, images: Sequence[SelectedImage], lease: HeldLease | None) -> None:
        self.images = images
        self._store = store
        self._lease = lease

    def chunks(self, layer: SelectedLayer) -> Iterator[bytes]:
        """The tar of a layer, verified while it is read.

        Raises:
            CorruptContentError: with the last chunk: the content is damaged.
            ContentLostError, LayerNotFoundError, LeaseExpiredError: it went meanwhile.
        """
        with self._store.layers.open(layer.chain_id) as stream:
            while chunk := stream.read(_CHUNK):
                self.keep_alive()
                yield chunk

    def keep_alive(self) -> None:
        """Renew the lease in time: for who writes for long what has been read.

        Raises:
            LeaseExpiredError: it has expired already, or was ended.
        """
        if self._lease is not None:
            self._lease.keep_alive()


@contextmanager
def selected(store: Store, names: Iterable[str]) -> Iterator[Selection]:
    """The images that names mean, for the block. A few reads for each name, and one query for each ten thousand layers.

    A lease holds the layers, so that a delete and a collect in another process take nothing. A store that has joined, and a snapshot, hold
    nothing: what another process frees meanwhile ends the read of its layer.

    Args:
        store: has ``content``.
        names: each a name with a tag or a digest, a name alone for all that it has, an ID, or the beginning of one.

    Raises:
        ImageNotFoundError, ReferenceNotFoundError, AmbiguousIDError, InvalidReferenceError: a name means nothing.
        LayerNotFoundError: of an image that is known, a layer's bytes are not there.
        ContentLostError, CorruptContentError: they are gone from where they were kept, or cut.
        UnusableContentError: the store has no place for content.
        InvalidError: there are no names.

    Source: moby's ``tarexporter.parseNames``.
    """
    if isinstance(names, str):
        raise InvalidError(f"several names are wanted: [{names!r}], not {names!r}")
    wanted = list(names)
    if not wanted:
        raise InvalidError("there is nothing to save: name an image")
    if not isinstance(store.bind, EngineBind):
        yield Selection(store, _checked(store, _find(store, wanted)), None)
        return
    with store.lease(labels={"for": "save"}) as lease:
        yield Selection(store, _checked(store, _held(store, wanted, lease)), lease)


class _Found(NamedTuple):
    """What one state of the database says: images with their tags, and the name and size of the content of layers."""

    images: dict[ImageID, tuple[Image, tuple[Reference, ...]]]
    kept: dict[DiffID, tuple[str, int]]


def _held(store: Store, names: Sequence[str], lease: HeldLease) -> _Found:
    """What the names mean, once its layers are held: what is seen first may be another image's, or gone, by then."""
    held: set[ChainID] = set()
    for _ in range(_ATTEMPTS):
        found = _find(store, names)
        tops = {image.stack[-1].chain_id: len(image.stack) for image, _ in found.images.values() if image.stack}
        missing = sorted(tops.keys() - held, key=lambda top: (-tops[top], top))  # locked from the top down
        if not missing:
            return found
        held.update(store.bind.write(_hold, missing, lease.id))
    raise ConflictError(f"what {', '.join(names)} mean has changed {_ATTEMPTS} times while it was looked up: try again")


def _hold(connection: Connection, chains: Sequence[ChainID], lease: str) -> list[ChainID]:
    leases.hold(connection, lease)
    return layers.lease_many(connection, chains, lease)


def _find(store: Store, names: Iterable[str]) -> _Found:
    tags: dict[ImageID, dict[Reference, None]] = {}
    with store.reading() as snapshot:
        for name in names:
            for image_id, reference in _meant(snapshot, name):
                of_image = tags.setdefault(image_id, {})
                if reference is not None and reference.digest is None:
                    of_image[reference.tagged] = None
        images = snapshot.get_many(tags)
        diff_ids = {link.diff_id for image in images.values() for link in image.stack}
        kept = snapshot.bind.read(contents.find_many, sorted(diff_ids))
    return _Found({image_id: (image, tuple(tags[image_id])) for image_id, image in images.items()}, kept)


def _meant(store: Store, name: str) -> Iterable[tuple[ImageID, Reference | None]]:
    image_id = whole_id(name)
    if image_id is not None:
        if image_id not in store:
            raise ImageNotFoundError(image_id)
        return [(image_id, None)]
    reference = Reference.parse(name)
    if reference.familiar_name != "sha256":
        if not reference.is_name_only:
            return [(store.references.get(reference), reference)]
        if of_name := store.references.references_by_name(reference):
            return [(image_id, each) for each, image_id in of_name]
    return [(store.search(name), None)]


def _checked(store: Store, found: _Found) -> list[SelectedImage]:
    """The images, when the bytes of all of their layers are there; the digests are checked as they are read."""
    made = []
    for image, tags in found.images.values():
        diff_ids = image.rootfs.diff_ids if image.rootfs is not None else ()
        if len(image.stack) < len(diff_ids):
            raise _without_content(image, image.chain_id, diff_ids[-1])
        for link in image.stack:
            if link.diff_id not in found.kept:
                raise _without_content(image, link.chain_id, link.diff_id)
        made.append(
            SelectedImage(
                image,
                tags,
                tuple(SelectedLayer(link.chain_id, link.diff_id, found.kept[link.diff_id][1]) for link in image.stack),
            )
        )
    if found.kept:
        content = store.layers.require_content()
        for diff_id, (name, size) in found.kept.items():
            _check_content(content, diff_id, name, size)
    return made


def _check_content(content: Content, diff_id: DiffID, name: str, size: int) -> None:
    try:
        if content.size(name) != size:
            raise CorruptContentError(diff_id, name)
    except FileNotFoundError as error:
        raise ContentLostError(diff_id, name) from error


def _without_content(image: Image, chain: ChainID, diff_id: str) -> LayerNotFoundError:
    error = LayerNotFoundError(chain)
    error.add_note(
        f"image {image.image_id} is known here without the bytes of its layer {diff_id}, so it cannot be saved: load the image from an "
        "archive, or register that layer"
    )
    return error
