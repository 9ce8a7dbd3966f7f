"""The store of images: moby's ``image.Store`` as a table of contents over the functions of `imagestore.sql`.

A `Store` on an Engine commits each call itself. One that has joined a Connection never commits. Neither keeps anything of the
database in memory, so many processes on many hosts share one.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final, Self

from sqlalchemy import URL, Connection, Engine

from imagestore.arguments import check_limit, creatable, possible_id
from imagestore.backend import StoreBackend
from imagestore.backends.sql import SQLBackend
from imagestore.bind import Bind, ConnectionBind, EngineBind, bind_to
from imagestore.collect import BATCH, Collected, collect
from imagestore.content.place import Content
from imagestore.digest import ImageID
from imagestore.errors import InvalidDigestError, InvalidError, UnusableBindError
from imagestore.held_layers import HeldLayers
from imagestore.image import Image
from imagestore.layer import LayerGetReleaser, LayerMetadata
from imagestore.layers import Layers, delete_contents, open_content
from imagestore.leases import TTL, HeldLease, Leases
from imagestore.lineage import Lineage
from imagestore.metadata import ImageMetadata
from imagestore.references import References
from imagestore.sql import images
from imagestore.sql.engine import TIMEOUT
from imagestore.sql.layers import Freed

if TYPE_CHECKING:
    from imagestore.restore import RestoredStore

_PAGE: Final = 1000


class Store(ImageMetadata):
    """Images under the digest of their configuration, their parents, and when they were last used.

    Usable from several threads, except one that has joined a connection. An ID is an `ImageID` or its text; one that is malformed
    raises `InvalidDigestError`, one that names no image `ImageNotFoundError`. Where moby answers a question about either with "none",
    so does this: `children`, `get_last_updated`, `last_used` and `is_built_locally`.

    Args:
        bind: the host's own Engine, used as it is, on SQLite one that `imagestore.configure` has seen; or the host's Connection, which
            this store then joins, as `joined` tells.
        schema: the PostgreSQL schema that has the tables; None for the first of the connection's search path.
        content: the place that keeps the bytes of layers (a path is a folder, `imagestore.content.local.LocalContent`). `create` then
            wants all layers of an image to be there with their content. None: layers are facts, and need not be present.
        layer_stores: what `create` asks instead for an image's topmost layer, by operating system.

    Raises:
        SchemaError: the tables are missing, or of another revision. This never changes a database but for the identity of ``content``.
        UnusableContentError: the place belongs to another store, or has lost what was in it.
        UnusableBindError: the bind is of another database, does not enforce foreign keys, or cannot be joined.
        InvalidError: both ``content`` and ``layer_stores`` are given.
    """

    def __init__(
        self,
        bind: Engine | Connection | Bind,
        *,
        schema: str | None = None,
        content: Content | str | os.PathLike[str] | None = None,
        layer_stores: Mapping[str, LayerGetReleaser] | None = None,
    ) -> None:
        self._schema = schema
        self._layers = None if layer_stores is None else HeldLayers(layer_stores)
        if content is not None and layer_stores is not None:
            raise InvalidError("layers are either in content= or in layer_stores=: name one of them")
        if isinstance(bind, Connection):
            self.require_transactions()
        self._bind = bind_to(bind, schema=schema)
        self._content = None if content is None else open_content(self._bind, content)  # last: it writes an identity

    @classmethod
    def open(
        cls,
        url: str | URL,
        *,
        schema: str | None = None,
        create_schema: bool = True,
        content: Content | str | os.PathLike[str] | None = None,
        layer_stores: Mapping[str, LayerGetReleaser] | None = None,
        timeout: float = TIMEOUT,
    ) -> Self:
        """Open the store at a URL; its tables are made where the database has none of ours.

        Costs one statement, and another with ``content``, at any size: nothing is read at start.

        Args:
            url: "sqlite:///images.db", "sqlite://" (in memory) or "postgresql+psycopg://user@host/database". In memory nobody writes
                while somebody reads, so a write within `reading` of the same store waits for itself, and fails.
            schema: the PostgreSQL schema that has the tables, made where it is missing.
            create_schema: False: raise `SchemaMissingError` rather than make tables; for a role without that right.
            content, layer_stores: as for the class.
            timeout: seconds that SQLite waits for another connection's write, at each of a write's five attempts.

        Raises:
            UnusableBindError: the URL is wrong, or its driver is not there.
            SchemaError: the tables are missing, older (the message names the command) or newer than this release.
            sqlalchemy.exc.OperationalError: the database cannot be opened or reached; a note has the remedy.
        """
        bind = EngineBind.open(url, schema=schema, create_schema=create_schema, timeout=timeout)
        try:
            return cls(bind, schema=schema, content=content, layer_stores=layer_stores)
        except BaseException:
            bind.close()
            raise

    @staticmethod
    def restore(backend: StoreBackend, *, layer_stores: Mapping[str, LayerGetReleaser] | None = None) -> RestoredStore:
        """A store over any backend, for one process: moby's ``NewImageStore``. See `imagestore.restore.RestoredStore`."""
        from imagestore.restore import RestoredStore

        return RestoredStore(backend, layer_stores=layer_stores)

    def joined(self, connection: Connection) -> Self:
        """This store in the caller's transaction: writes are savepoints in it, and commit or roll back with it.

        Nothing is retried. On PostgreSQL, in REPEATABLE READ or SERIALIZABLE, a call may fail with SQLSTATE 40001 or 40P01; the
        caller then runs its whole transaction again.

        Raises:
            UnusableBindError: the connection is in no transaction, does not enforce foreign keys, or is of another database; or this
                store has layer stores, whose work a rollback would not undo.
        """
        self.require_transactions()
        return self._at(ConnectionBind(connection, schema=self._schema))

    def require_transactions(self) -> None:
        """Check that a rollback undoes all that this store does.

        Raises:
            UnusableBindError: it does not: the store has layer stores.
        """
        if self._layers is not None:
            raise UnusableBindError(
                "a store with layer stores cannot be joined: a rollback would not undo what they hold"
            )

    @contextmanager
    def begin(self) -> Iterator[Self]:
        """One transaction for several calls: ``with store.begin() as joined: ...`` commits at the end, or rolls back on an exception.

        It is not retried: after a deadlock (a note on the error tells of it) the caller runs the block again. Of a store that has
        joined a transaction it is a savepoint in that one.

        Raises:
            UnusableBindError: this store has layer stores, whose work a rollback would not undo.
        """
        self.require_transactions()
        with self._bind.begin() as bind:
            yield self._at(bind)

    @contextmanager
    def reading(self) -> Iterator[Self]:
        """One connection for many reads that see one state: ``with store.reading() as snapshot: ...``; writes raise `ReadOnlyError`."""
        with self._bind.reading() as bind:
            yield self._at(bind)

    @property
    def engine(self) -> Engine:
        """The engine that this store writes through: its own, or the host's."""
        return self._bind.engine

    @property
    def backend(self) -> SQLBackend:
        """The blobs and metadata of this store, on the same bind."""
        return SQLBackend(self._bind)

    @property
    def lineage(self) -> Lineage:
        """What is built on what: by recorded parents, and by layers."""
        return Lineage(self._bind)

    @property
    def layers(self) -> Layers:
        """The layers: a trie in the database, with their bytes where ``content`` is."""
        return Layers(self._bind, self._content)

    @property
    def references(self) -> References:
        """The names of images."""
        return References(self._bind)

    @property
    def content(self) -> Content | None:
        """The place that keeps the bytes of layers; None where the store was given none."""
        return self._content

    @property
    def leases(self) -> Leases:
        """The leases of all processes."""
        return Leases(self._bind)

    def lease(self, ttl: float = TTL, labels: Mapping[str, str] | None = None) -> HeldLease:
        """Keep what is being written until an image refers to it: ``with store.lease() as lease: ...``. Commits by itself, at once.

        Args:
            ttl: seconds that it lasts by the database's clock, unless it is renewed.
            labels: texts that `leases` shows with it.

        Raises:
            UnusableBindError: this store has joined a transaction, before whose commit nobody else would see the lease.
            ReadOnlyError: it is a snapshot of `reading`.
        """
        return HeldLease(self._bind, ttl, labels or {})

    def collect(self, *, dry_run: bool = False, batch: int = BATCH) -> Collected:
        """Remove expired leases, and the layers and contents that no image and no lease reaches. Images are never removed.

        Safe from many processes at once, beside any other call. Commits each batch by itself. Looks at every layer and every content
        once, and lists the place of the contents.

        Args:
            dry_run: only tell what there is to remove.
            batch: rows that one transaction removes at most; others wait as long as one takes.

        Raises:
            UnusableBindError: this store has joined a transaction, or is a snapshot of `reading`.
        """
        return collect(self._bind, self._content, dry_run=dry_run, batch=batch)

    def create(self, config: bytes) -> ImageID:
        """Store an image configuration, byte for byte, and return its ID. The same bytes twice are one image.

        Commits. With layer stores, the image's topmost layer is got from one and held until the image is deleted. A handful of
        statements by key, at any size.

        Raises:
            InvalidImageError: the bytes are no image configuration, or its history has more layers than its rootfs.
            UnsupportedPlatformError: there is no layer store for the image's operating system.
            LayerNotFoundError: a layer is not there with its content, where this store has ``content``; or a layer store has none such.

        Source: moby's ``Store.Create``.
        """
        image = creatable(config)
        with self._holding_layers([image]):
            self._bind.write(
                images.create, image.image_id, image.raw_json, image.stack, with_content=self._content is not None
            )
        return image.image_id

    def create_many(self, configs: Iterable[bytes]) -> list[ImageID]:
        """Store many image configurations in one transaction, all of them or none; their IDs, in the same order.

        Commits. A few statements for each thousand.

        Raises:
            InvalidImageError, UnsupportedPlatformError, LayerNotFoundError: as `create`.
        """
        new = [creatable(config) for config in configs]
        with self._holding_layers(new):
            self._bind.write(
                images.create_many,
                {image.image_id: image.raw_json for image in new},
                {image.image_id: image.stack for image in new},
                with_content=self._content is not None,
            )
        return [image.image_id for image in new]

    def get(self, image_id: str) -> Image:
        """One image. Its bytes are verified; they are parsed when a field is first touched. One read by key.

        Raises:
            CorruptBlobError: the stored bytes have another digest.

        Source: moby's ``Store.Get``.
        """
        return self._bind.read(images.get, ImageID(image_id))

    def get_many(self, image_ids: Iterable[str]) -> dict[ImageID, Image]:
        """Those of the images that are there, in the order of the arguments; one query for every ten thousand.

        Raises:
            CorruptBlobError: the stored bytes of one have another digest.
        """
        return self._bind.read(images.get_many, [ImageID(image_id) for image_id in image_ids])

    def __contains__(self, image_id: str) -> bool:
        """Whether there is such an image. One read by key."""
        return self._bind.read(images.exists, ImageID(image_id))

    def __len__(self) -> int:
        """How many images there are (moby's ``Store.Len``). Counts the rows of an index: grows with the store."""
        return self._bind.read(images.count)

    def __bool__(self) -> bool:
        return True  # an empty store is a store, and need not count to know it

    def search(self, term: str) -> ImageID:
        """The one image whose ID begins with the term, with or without "sha256:". One range scan.

        Raises:
            ImageNotFoundError: there is none.
            AmbiguousIDError: there are several; ``candidates`` has at most ten.

        Source: moby's ``Store.Search``.
        """
        if not isinstance(term, str):
            raise InvalidDigestError(term, f"expected a str, not {type(term).__name__}")
        return self._bind.read(images.search, term)

    def delete(self, image_id: str) -> list[LayerMetadata]:
        """Remove an image with its metadata and references; its children stay, without a parent. Layers that it alone has had go too.

        Commits. A few statements, which cost as much as there are children and layers. The bytes of layers go after the commit; where
        this store has joined they are left to `collect`, and so are the layers in a caller's REPEATABLE READ or SERIALIZABLE.

        Returns:
            The layers that were removed because nothing holds them any more, from the top down; with layer stores, what these removed.

        Raises:
            UnsupportedPlatformError: there are layer stores, but none for the image's operating system.

        Source: moby's ``Store.Delete``.
        """
        if self._layers is None:
            freed = self._delete(ImageID(image_id))
            delete_contents(self._bind, self._content, freed)
            return freed.layers
        return self._layers.release_after(self._delete, self.get(image_id))

    def set_parent(self, image_id: str, parent: str) -> None:
        """Make an image the child of another, in place of an earlier parent. Commits.

        A few statements by key where the image has no children; else a walk up from the parent, which costs its depth.

        Raises:
            ParentNotFoundError: there is no such parent.
            ParentCycleError: the parent is the image itself or one of its descendants (moby accepts that, and then hangs).

        Source: moby's ``Store.SetParent``.
        """
        self._bind.write(images.set_parent, ImageID(image_id), ImageID(parent))

    def get_parent(self, image_id: str) -> ImageID | None:
        """What the metadata says is the parent, whether it exists or not; None where it says nothing. One read by key.

        Source: moby's ``Store.GetParent``.
        """
        return self._bind.read(images.get_parent, ImageID(image_id))

    def children(self, image_id: str) -> list[ImageID]:
        """The images whose parent is this one, in order; none for an unknown image, as in moby. Costs what it returns.

        Source: moby's ``Store.Children``.
        """
        known = possible_id(image_id)
        return [] if known is None else self._bind.read(images.children, known)

    def map(self) -> dict[ImageID, Image]:
        """All images, in the order of their IDs. One query; grows with the store: for a large one use `page` or `stream`.

        A damaged image is left out and logged.

        Source: moby's ``Store.Map``.
        """
        return self._find_all(heads=False)

    def heads(self) -> dict[ImageID, Image]:
        """All images that are nobody's parent; else as `map`.

        Source: moby's ``Store.Heads``.
        """
        return self._find_all(heads=True)

    def page(self, after: str | None = None, limit: int = 100, *, heads: bool = False) -> list[Image]:
        """The next images in the order of their IDs. Costs what it returns, wherever it is.

        Args:
            after: the ID that the page follows; it need not exist (any more).
            limit: how many images at most; a damaged one counts, is left out and logged.
            heads: only images that are nobody's parent.
        """
        return self._page(None if after is None else ImageID(after), check_limit(limit), heads)[0]

    def stream(self, *, heads: bool = False) -> Iterator[Image]:
        """All images, or all heads, in the order of their IDs, in constant memory: pages of a thousand, each a read of its own.

        An image that is created or deleted meanwhile may or may not come; for one state, stream a snapshot of `reading`.
        """
        after: ImageID | None = None
        while True:
            found, after = self._page(after, _PAGE, heads)
            yield from found
            if after is None:
                return

    def _delete(self, image_id: ImageID) -> Freed:
        return self._bind.write(images.delete, image_id)

    def _find_all(self, *, heads: bool) -> dict[ImageID, Image]:
        return self._bind.read(images.find_all, heads)

    def _page(self, after: ImageID | None, limit: int, heads: bool) -> tuple[list[Image], ImageID | None]:
        return self._bind.read(images.page, after, limit, heads)

    def _at(self, bind: Bind) -> Self:
        other = copy.copy(self)
        other._bind = bind
        return other

    def _holding_layers(self, new: list[Image]) -> AbstractContextManager[None]:
        if self._layers is None:
            return nullcontext()
        there = self._bind.read(images.find_existing, [image.image_id for image in new])
        return self._layers.holding([image for image in new if image.image_id not in there])
