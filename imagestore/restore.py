"""A store over any backend, for one process: moby's own store, ``NewImageStore``.

`RestoredStore` reads every blob of a backend once, at the start, and keeps IDs and edges in a database in memory. Bytes and metadata are
read from the backend at each call, and what a call changes is changed there before the memory says so. It is for a directory of Docker's,
or a backend of the host's; `imagestore.store.Store` itself needs no start and shares its database with other processes.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Final, NoReturn

from sqlalchemy import Connection

from imagestore.arguments import creatable, possible_id
from imagestore.backend import StoreBackend
from imagestore.bind import Bind, EngineBind
from imagestore.collect import BATCH
from imagestore.digest import ImageID
from imagestore.errors import (
    BlobNotFoundError,
    CorruptBlobError,
    ImageNotFoundError,
    ImageStoreError,
    InvalidImageError,
    LayerNotFoundError,
    MetadataNotFoundError,
    NotFoundError,
    UnsupportedPlatformError,
    UnusableBindError,
)
from imagestore.gojson import GoTime
from imagestore.image import Image
from imagestore.layer import LayerGetReleaser, LayerMetadata
from imagestore.leases import TTL
from imagestore.lineage import Lineage
from imagestore.sql import edges, images, metadata
from imagestore.sql.layers import NOTHING, Freed
from imagestore.sql.uses import Use
from imagestore.store import Store

_log: Final = logging.getLogger("imagestore")

_NOT_KEPT: Final = b""  # the memory has no bytes, only IDs and edges
_ALL: Final = sys.maxsize


class RestoredStore(Store):
    """The images of a backend, with every method of a Store but those that need a shared database: it cannot be joined.

    Restoring reads and parses every blob. What is no image, is damaged, or lacks its layer is logged and left out.

    Args:
        backend: where blobs and metadata are; from now on changed through this store alone.
        layer_stores: what holds the images' layers, by operating system.

    Source: moby's ``image.NewImageStore`` and ``store.restore``.
    """

    def __init__(self, backend: StoreBackend, *, layer_stores: Mapping[str, LayerGetReleaser] | None = None) -> None:
        super().__init__(EngineBind.open("sqlite://"), layer_stores=layer_stores)
        self._backend = backend
        try:
            self._restore()
        except BaseException:
            self.close()
            raise

    @property
    def backend(self) -> StoreBackend:  # type: ignore[override]  # of any kind here
        """The backend that was given."""
        return self._backend

    def joined(self, connection: Connection) -> NoReturn:
        """Refuse.

        Raises:
            UnusableBindError: always.
        """
        raise _has_no("database to share")

    def begin(self) -> NoReturn:
        """Refuse, as `joined` does."""
        self.require_transactions()

    def require_transactions(self) -> NoReturn:
        """Refuse, as `joined` does."""
        raise _has_no("transactions")

    @property
    def references(self) -> NoReturn:
        """Refuse, as `joined` does."""
        raise _has_no("references")

    @property
    def layers(self) -> NoReturn:
        """Refuse, as `joined` does."""
        raise _has_no("layers of its own")

    @property
    def leases(self) -> NoReturn:
        """Refuse, as `joined` does."""
        raise _has_no("leases")

    def lease(self, ttl: float = TTL, labels: Mapping[str, str] | None = None) -> NoReturn:
        """Refuse, as `joined` does."""
        raise _has_no("leases")

    def collect(self, *, dry_run: bool = False, batch: int = BATCH) -> NoReturn:
        """Refuse, as `joined` does."""
        raise _has_no("garbage")

    def unused_since(self, time: GoTime | datetime, after: Use | None = None, limit: int = 100) -> NoReturn:
        """Refuse, as `joined` does."""
        raise _has_no("order of last use")

    @property
    def lineage(self) -> Lineage:
        """As `Store.lineage`, by recorded parents alone: what asks for layers is refused."""
        return Lineage(self._bind, has_layers=False)

    def create(self, config: bytes) -> ImageID:
        """As `Store.create`; durable as the backend is."""
        image = creatable(config)
        with self._holding_layers([image]), self._changing(image.image_id) as memory:
            memory.write(images.create, image.image_id, _NOT_KEPT)
            self._backend.set(image.raw_json)
        return image.image_id

    def create_many(self, configs: Iterable[bytes]) -> list[ImageID]:
        """`create` for each, once all are known to be images: a backend has no transactions, so an error leaves those that came before."""
        return [self.create(image.raw_json) for image in [creatable(config) for config in configs]]

    def get(self, image_id: str) -> Image:
        """As `Store.get`, of any blob of the backend that is an image."""
        image_id = ImageID(image_id)
        try:
            image = Image.from_json(self._backend.get(image_id))
        except BlobNotFoundError as error:
            raise ImageNotFoundError(image_id) from error
        return Image.stored(image.raw_json, image_id, images.parent_of(self._get_metadata(image_id, edges.KEY)))

    def get_many(self, image_ids: Iterable[str]) -> dict[ImageID, Image]:
        """As `Store.get_many`; one read of the backend for each."""
        wanted = list(dict.fromkeys(map(ImageID, image_ids)))
        there = self._bind.read(images.find_existing, wanted)
        return {image_id: self.get(image_id) for image_id in wanted if image_id in there}

    def delete(self, image_id: str) -> list[LayerMetadata]:
        """As `Store.delete`; a damaged image cannot be deleted, as in moby."""
        if image_id not in self:
            raise ImageNotFoundError(image_id)
        self.get(image_id)
        return super().delete(image_id)

    def set_parent(self, image_id: str, parent: str) -> None:
        """As `Store.set_parent`."""
        with self._changing(ImageID(image_id)) as memory:
            memory.write(images.set_parent, ImageID(image_id), ImageID(parent))
            self._backend.set_metadata(image_id, _text(edges.KEY), parent.encode())

    def get_parent(self, image_id: str) -> ImageID | None:
        """As `Store.get_parent`."""
        try:
            return images.parent_of(self._backend.get_metadata(ImageID(image_id), _text(edges.KEY)))
        except MetadataNotFoundError:
            return None
        except BlobNotFoundError as error:
            raise ImageNotFoundError(image_id) from error

    def _delete(self, image_id: ImageID) -> Freed:
        with self._changing(image_id) as memory:
            orphans = memory.read(images.children, image_id)
            memory.write(images.delete, image_id)
            for orphan in orphans:
                self._backend.delete_metadata(orphan, _text(edges.KEY))
            self._backend.delete(image_id)
        return NOTHING

    def _find_all(self, *, heads: bool) -> dict[ImageID, Image]:
        return {image.image_id: image for image in self.stream(heads=heads)}

    def _page(self, after: ImageID | None, limit: int, heads: bool) -> tuple[list[Image], ImageID | None]:
        page = self._bind.read(images.page_ids, after, limit, heads)
        return list(self._sound(page)), page[-1] if len(page) == limit else None

    def _sound(self, image_ids: Iterable[ImageID]) -> Iterator[Image]:
        for image_id in image_ids:
            try:
                yield self.get(image_id)
            except (NotFoundError, InvalidImageError, CorruptBlobError, OSError) as error:
                _log.error("invalid image access: %s: %s", image_id, error)

    def _get_metadata(self, image_id: str, key: bytes) -> bytes | None:
        known = possible_id(image_id)
        try:
            return None if known is None else self._backend.get_metadata(known, _text(key))
        except NotFoundError:
            return None

    def _set_metadata(self, image_id: str, key: bytes, value: bytes) -> None:
        with self._bind.begin():
            try:
                self._backend.set_metadata(ImageID(image_id), _text(key), value)
            except BlobNotFoundError as error:
                raise ImageNotFoundError(image_id) from error

    @contextmanager
    def _changing(self, image_id: ImageID) -> Iterator[Bind]:
        """A transaction of the memory in which the backend is changed too; if that breaks, the memory takes over what the backend has.

        An error of ours is a refusal, which has changed nothing.
        """
        try:
            with self._bind.begin() as memory:
                yield memory
        except ImageStoreError:
            raise
        except BaseException:
            try:
                self._look_again(image_id)
            except (ImageStoreError, OSError) as error:
                _log.error("image %s and its children may have changed: %s", image_id, error)
            raise

    def _look_again(self, image_id: ImageID) -> None:
        with self._bind.begin() as memory:
            children = memory.read(images.children, image_id)
            if self._is_image(image_id):
                memory.write(images.create, image_id, _NOT_KEPT)
                self._take_parent(memory, image_id)
            elif memory.read(images.exists, image_id):
                memory.write(images.delete, image_id)
            for child in children:
                self._take_parent(memory, child)

    def _is_image(self, image_id: ImageID) -> bool:
        try:
            Image.from_json(self._backend.get(image_id))
        except (NotFoundError, InvalidImageError, CorruptBlobError):
            return False
        return True

    def _take_parent(self, memory: Bind, image_id: ImageID) -> None:
        parent = self._get_metadata(image_id, edges.KEY)
        if parent is None:
            memory.write(metadata.remove, image_id, edges.KEY)
        else:
            memory.write(metadata.put, image_id, edges.KEY, parent)

    def _restore(self) -> None:
        with self._bind.begin() as memory:
            found = (self._restorable(ImageID.from_digest(digest)) for digest in self._backend.walk())
            memory.write(images.create_many, {image.image_id: _NOT_KEPT for image in found if image is not None})
            image_ids = memory.read(images.page_ids, None, _ALL, heads=False)
            parents = {image_id: self._get_metadata(image_id, edges.KEY) for image_id in image_ids}
            known = [(child, edges.KEY, parent) for child, parent in parents.items() if parent is not None]
            memory.write(metadata.put_many, known)

    def _restorable(self, image_id: ImageID) -> Image | None:
        """The image, its layer held; or None where moby does not restore it."""
        try:
            image = Image.from_json(self._backend.get(image_id))
        except (NotFoundError, InvalidImageError, CorruptBlobError, OSError) as error:
            _log.error("not restoring image %s: %s", image_id, error)
            return None
        if self._layers is None:
            return image
        try:
            with self._layers.holding([image]):
                return image
        except (LayerNotFoundError, UnsupportedPlatformError) as error:
            _log.error("not restoring image %s: %s", image_id, error)
            return None


def _has_no(what: str) -> UnusableBindError:
    return UnusableBindError(f"a restored store has no {what}: copy its backend to a database and open a Store there")


def _text(key: bytes) -> str:
    return key.decode()
