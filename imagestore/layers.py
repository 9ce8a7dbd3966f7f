"""Layers: `Store.layers`, moby's ``layer.Store`` over the trie in SQL and the content of layers elsewhere."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from sqlalchemy import URL, Connection

from imagestore.arguments import check_bytes, check_chain_id, check_limit
from imagestore.bind import Bind, ConnectionBind, EngineBind, SnapshotBind
from imagestore.content.local import LocalContent
from imagestore.content.place import Content, delete
from imagestore.content.reading import LIMIT, WINDOW, Registered, verified
from imagestore.digest import ChainID, DiffID, chain_id
from imagestore.errors import (
    ContentLostError,
    ImageStoreError,
    InvalidError,
    LayerNotFoundError,
    LeaseExpiredError,
    UnusableContentError,
)
from imagestore.layer import LayerMetadata, Link, StoredLayer
from imagestore.leases import TTL, HeldLease
from imagestore.sql import contents, layers, leases
from imagestore.sql.engine import parse_url

if TYPE_CHECKING:
    from imagestore.lease import Lease

_PAGE: Final = 1000
_HALF: Final = 16  # digits of an identity
_NO_CONTENT: Final = (
    "this store has no place for content: open it with content=, which may be a folder's path, or content_beside(url) for the folder "
    "beside an SQLite file"
)


class Layers:
    """The layers of a store. A chain ID is a `ChainID` or its text; one that is malformed raises `InvalidDigestError`.

    A layer stays while an image has it, a lease holds it, or another layer lies on it.
    """

    def __init__(self, bind: Bind, content: Content | None) -> None:
        self._bind = bind
        self._content = content

    def register(
        self,
        stream: BinaryIO,
        parent: str | None = None,
        *,
        lease: HeldLease | Lease | None = None,
        limit: int = LIMIT,
    ) -> StoredLayer:
        """Store a layer's tar on top of another layer, and hold it: until `release`, or by the lease that is given.

        The bytes are written first, in constant memory and in no transaction; then a transaction of a few statements by key adds the
        rows, and commits unless the store has joined. The content of a layer that is there already is not kept twice; where
        it is gone or cut, it is healed.

        Args:
            stream: the tar, plain or compressed with gzip, bzip2, xz or zstd; it is read to its end.
            parent: the chain ID of the layer below; None for the lowest.
            lease: what holds the layer; None: one of its own, an hour long. A joined store wants one, that was taken before the
                caller's transaction began.
            limit: bytes that the plain tar has at most.

        Raises:
            InvalidLayerError: it is no tar, or breaks off.
            LayerTooLargeError: it has more bytes than ``limit``, or asks for more than 128 MiB of memory to be decompressed.
            LayerNotFoundError: there is no such parent.
            LeaseExpiredError: the lease has expired meanwhile.
            UnusableContentError: the store has no place for content.
            InvalidError: the store has joined, and no lease is given; or ``limit`` is no number of bytes.
            ReadOnlyError: the store is a snapshot.
            OSError: the bytes cannot be written.

        Source: moby's ``layer.Store.Register``.
        """
        below = None if parent is None else check_chain_id(parent)
        self.require_content()
        check_bytes(limit)
        with self._leased(lease) as (lease_id, own):
            if below is not None:
                self._bind.read(layers.get, below)  # before the bytes are read
            written = self._write(stream, lease_id, limit, WINDOW)
            try:
                return self._link(written, below, lease_id, own=own)
            except ImageStoreError:  # of any other, a commit may have succeeded: that is left to collect
                delete(self.require_content(), [written.name])
                raise

    def write(
        self, stream: BinaryIO, *, lease: HeldLease | Lease, limit: int = LIMIT, window: int = WINDOW
    ) -> WrittenLayer:
        """Write a layer's tar, for who learns of its place only afterwards; `link` then adds the row, before the lease ends.

        What is never linked is garbage, which `Store.collect` takes once the lease has ended.

        Args:
            stream, limit: as for `register`.
            lease: what keeps it meanwhile.
            window: bytes of memory that a compressed tar may ask for.

        Raises:
            InvalidLayerError, LayerTooLargeError, LeaseExpiredError, UnusableContentError, InvalidError, OSError: as `register`.
        """
        check_bytes(limit)
        self._check(lease.id)
        return self._write(stream, lease.id, limit, window)

    def link(self, written: WrittenLayer, parent: str | None = None, *, lease: HeldLease | Lease) -> StoredLayer:
        """Give what `write` has written its place in the trie, held by the lease; a second place may be given to the same bytes.

        A transaction of a few statements by key, which commits unless the store has joined.

        Raises:
            LayerNotFoundError: there is no such parent.
            LeaseExpiredError: the lease has expired meanwhile.
            ReadOnlyError: the store is a snapshot.
            UnusableContentError: the store has no place for content.
        """
        return self._link(written, None if parent is None else check_chain_id(parent), lease.id, own=False)

    def hold_stack(self, links: Sequence[Link], *, lease: HeldLease | Lease) -> int:
        """Let a lease hold a stack from the lowest layer as far up as all are there, whole; how many are.

        One read where none is, else a transaction of a few statements too, whatever their number, which commits unless the store has
        joined; and a look at the size of each content.

        Args:
            links: the stack, the lowest first (`imagestore.layer.links`).
            lease: what holds them.

        Raises:
            LeaseExpiredError, ReadOnlyError, UnusableContentError: as `link`.
        """
        content = self.require_content()
        if not self._bind.read(layers.find_content, links):
            return 0
        kept = self._bind.write(_lease_stack, links, lease.id)
        return sum(1 for _ in takewhile(lambda each: _is_whole(content, *each), kept))

    def hold_content(self, diff_id: DiffID, *, lease: HeldLease | Lease) -> WrittenLayer | None:
        """Let a lease hold a layer with this tar that is there, whole, in whichever stack it is; None where there is none.

        Commits unless the store has joined. A few statements by key.

        Returns:
            What `link` takes to give the same bytes another place.

        Raises:
            LeaseExpiredError, ReadOnlyError, UnusableContentError: as `link`.
        """
        content = self.require_content()
        chain = self._bind.read(contents.any_chain, diff_id)
        if chain is None:
            return None
        try:
            layer, name = self._bind.write(_lease_content, chain, lease.id)
        except LayerNotFoundError:
            return None  # it went meanwhile
        size = layer.content_size or 0
        return WrittenLayer(name, diff_id, layer.size or 0, size) if _is_whole(content, name, size) else None

    def require_content(self) -> Content:
        """The place that keeps the bytes.

        Raises:
            UnusableContentError: the store has none.
        """
        if self._content is None:
            raise UnusableContentError(_NO_CONTENT)
        return self._content

    def get(self, chain: str) -> StoredLayer:
        """One layer. A pure read, by key: it holds nothing.

        Raises:
            LayerNotFoundError: there is none.

        Source: moby's ``layer.Store.Get``.
        """
        return self._bind.read(layers.get, check_chain_id(chain))

    def __contains__(self, chain: str) -> bool:
        """Whether there is such a layer. One read by key."""
        try:
            self.get(chain)
        except LookupError:
            return False
        return True

    def open(self, chain: str) -> BinaryIO:
        """The tar of a layer, byte for byte as it was registered (decompressed); the caller closes it.

        It is verified as it is read: the read that reaches the end raises if they are not the bytes of the diff ID.

        Raises:
            LayerNotFoundError: there is no such layer, or no content of it.
            ContentLostError: the content is gone.
            CorruptContentError: from a read: the content is damaged.
            UnusableContentError: the store has no place for content, or there is something else than a file in it.

        Source: moby's ``Layer.TarStream``.
        """
        content = self.require_content()
        name, size, diff_id = self._bind.read(contents.find, check_chain_id(chain))
        try:
            stream = content.open(name)
        except FileNotFoundError as error:
            raise ContentLostError(diff_id, name) from error
        return verified(stream, name, size, diff_id)

    def release(self, layer: StoredLayer) -> list[LayerMetadata]:
        """End the lease that `register` took for a layer, and remove what nothing else holds. Commits. A handful of statements by key.

        In a caller's REPEATABLE READ or SERIALIZABLE the layers are left to `Store.collect`.

        Returns:
            What was removed, from the top down.

        Raises:
            InvalidError: the layer was not registered with a lease of its own.
            LeaseExpiredError: that lease has expired, or was ended.

        Source: moby's ``layer.Store.Release``.
        """
        if layer.lease is None:
            raise InvalidError(
                f"layer {layer.chain_id} has no lease of its own: it was looked up, or another one holds it"
            )
        freed = self._bind.write(_release, layer.lease, layer.chain_id)
        delete_contents(self._bind, self._content, freed)
        return freed.layers

    def map(self) -> dict[ChainID, StoredLayer]:
        """All layers, in the order of their chain IDs. Grows with the store: for a large one use `page`.

        Source: moby's ``layer.Store.Map``.
        """
        return {layer.chain_id: layer for layer in self._all()}

    def page(self, after: str | None = None, limit: int = 100) -> list[StoredLayer]:
        """The next layers in the order of their chain IDs. Costs what it returns, wherever it is."""
        return self._bind.read(layers.page, None if after is None else check_chain_id(after), check_limit(limit))

    def _all(self) -> Iterator[StoredLayer]:
        after: ChainID | None = None
        while found := self._bind.read(layers.page, after, _PAGE):
            yield from found
            after = found[-1].chain_id

    def _write(self, stream: BinaryIO, lease: str, limit: int, window: int) -> WrittenLayer:
        name = f"{lease}-{secrets.token_hex(8)}"
        registered = Registered(stream, limit, window)
        self.require_content().write(name, registered)
        return WrittenLayer(name, registered.diff_id, registered.files_size, registered.size)

    def _link(self, written: WrittenLayer, parent: ChainID | None, lease: str, *, own: bool) -> StoredLayer:
        content = self.require_content()
        layer = StoredLayer(
            chain_id([written.diff_id] if parent is None else [parent, written.diff_id]),
            written.diff_id,
            parent,
            written.size,
            written.content_size,
            lease if own else None,
        )
        standing = self._bind.write(_register, layer, written.name, lease)
        is_kept = standing == written.name or self._heal(content, written, standing)
        if not is_kept and isinstance(self._bind, EngineBind):
            delete(content, [written.name])
        return layer

    def _heal(self, content: Content, written: WrittenLayer, standing: str) -> bool:
        """Where the bytes that the database has are gone or cut, let it have those that were just written; whether it does."""
        if _is_whole(content, standing, written.content_size):
            return False
        return _is_whole(content, written.name, written.content_size) and self._bind.write(
            contents.move, written.diff_id, standing, written.name
        )

    def _check(self, lease: str) -> None:
        """Before any byte is read: that the lease lasts, and the store is no snapshot."""
        if isinstance(self._bind, SnapshotBind):
            self._bind.write(leases.check, lease)  # which says itself that it writes nothing
        self._bind.read(leases.check, lease)

    @contextmanager
    def _leased(self, lease: HeldLease | Lease | None) -> Iterator[tuple[str, bool]]:
        """The lease to write under, and whether it is one that was taken here, which an exception ends."""
        if lease is not None:
            self._check(lease.id)
            yield lease.id, False
            return
        if isinstance(self._bind, ConnectionBind):
            raise InvalidError(
                "a joined store registers a layer under a lease that was taken before its transaction began: pass lease="
            )
        own = HeldLease(self._bind, TTL, {})
        try:
            yield own.id, True
        except BaseException:
            self._bind.write(leases.remove, own.id)
            raise


class WrittenLayer(NamedTuple):
    """A layer's tar that `Layers.write` has written, or `Layers.hold_content` found, under a name; what `Layers.link` gives a place.

    ``size`` is of its files, ``content_size`` of the tar, both in bytes.
    """

    name: str
    diff_id: DiffID
    size: int
    content_size: int


def open_content(bind: Bind, place: Content | str | os.PathLike[str]) -> Content:
    """The place that keeps the bytes of a store's layers; the first that a database is given is its own from then on.

    An identity is 16 digits of who claims the place, which are committed before it is claimed, and 16 of the claim. So what a crash has
    interrupted is taken up again, no place of another store is ever adopted, and of two that are claimed at once one is refused.

    Raises:
        UnusableContentError: it belongs to another store; or it is new, and the database has a place already, or the store has joined.
    """
    content = LocalContent(place) if isinstance(place, str | os.PathLike) else place
    found = content.identity
    known = bind.read(contents.find_location)
    if known is None or len(known) == _HALF:
        if not isinstance(bind, EngineBind):
            raise UnusableContentError(
                f"a store that has joined claims no place, as a rollback would not undo that: open the store itself with {content} first"
            )
        if found is not None and (known is None or not found.startswith(known)):
            raise UnusableContentError(f"{content} belongs to another store: name a new place for this one")
        known, found = _claim(bind, content)
    if found is None:
        raise UnusableContentError(
            f"{content} is new, and the database has its layers in place {known}: name that place, or restore it from a backup"
        )
    if found != known:
        raise UnusableContentError(
            f"{content} is place {found}, and the database has its layers in place {known}: name that one, or a new one for a new store"
        )
    return content


def _claim(bind: Bind, content: Content) -> tuple[str, str | None]:
    """Let a place be the database's; what the database says then, and what the place says."""
    owner = bind.write(contents.begin_location, secrets.token_hex(_HALF // 2))
    if len(owner) > _HALF:  # another process was quicker
        return owner, content.identity
    found = content.claim(owner + secrets.token_hex(_HALF // 2))
    return bind.write(contents.set_location, owner, found if found.startswith(owner) else owner), found


def content_beside(url: str | URL) -> LocalContent:
    """The folder beside an SQLite file: ``images.db-content`` beside ``images.db``.

    Raises:
        UnusableContentError: the URL is of no file.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.query.get("uri"):
        raise UnusableContentError(
            "there is no file beside which a folder for content could be: name one, as LocalContent('/srv/layers')"
        )
    return LocalContent(f"{parsed.database}-content")


def delete_contents(bind: Bind, content: Content | None, freed: layers.Freed) -> None:
    """After the commit: remove the bytes whose rows are gone. Of a joined store that is left to `Store.collect`, and so is what fails."""
    if content is not None and isinstance(bind, EngineBind):
        delete(content, freed.names)


def _is_whole(content: Content, name: str, size: int) -> bool:
    try:
        return content.size(name) == size
    except (FileNotFoundError, UnusableContentError):
        return False


def _lease_stack(connection: Connection, links: Sequence[Link], lease: str) -> list[tuple[str, int]]:
    leases.hold(connection, lease)
    return layers.lease_stack(connection, links, lease)


def _lease_content(connection: Connection, chain: ChainID, lease: str) -> tuple[StoredLayer, str]:
    leases.hold(connection, lease)
    layers.lease_many(connection, [chain], lease)
    return layers.get(connection, chain), contents.find(connection, chain)[0]


def _register(connection: Connection, layer: StoredLayer, name: str, lease: str) -> str:
    leases.hold(connection, lease)
    layers.register(connection, Link(layer.chain_id, layer.diff_id, layer.parent), layer.size or 0, lease)
    return contents.keep(connection, layer.diff_id, name, layer.content_size or 0)


def _release(connection: Connection, lease: str, chain: ChainID) -> layers.Freed:
    ended = leases.remove(connection, lease)
    if not ended.was_alive:
        raise LeaseExpiredError(lease)
    # In a snapshot, whoever came to rely on the layer since is not seen: `imagestore.collect` frees it later.
    return layers.NOTHING if ended.sees_snapshot else layers.free(connection, chain)
