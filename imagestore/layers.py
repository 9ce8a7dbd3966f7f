"""Layers: `Store.layers`, moby's ``layer.Store`` over the trie in SQL and the content of layers elsewhere."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final

from sqlalchemy import URL, Connection

from imagestore.arguments import check_chain_id, check_limit
from imagestore.bind import Bind, EngineBind
from imagestore.content.local import LocalContent
from imagestore.content.place import Content, delete
from imagestore.content.reading import LIMIT, Registered, verified
from imagestore.digest import ChainID, chain_id
from imagestore.errors import (
    ContentLostError,
    ImageStoreError,
    InvalidError,
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
            LayerTooLargeError: it has more bytes than ``limit``.
            LayerNotFoundError: there is no such parent.
            LeaseExpiredError: the lease has expired meanwhile.
            UnusableContentError: the store has no place for content.
            InvalidError: the store has joined, and no lease is given.
            OSError: the bytes cannot be written.

        Source: moby's ``layer.Store.Register``.
        """
        below = None if parent is None else check_chain_id(parent)
        content = self._require_content()
        with self._leased(lease) as (lease_id, own):
            if below is not None:
                self._bind.read(layers.get, below)  # before the bytes are read
            name = f"{lease_id}-{secrets.token_hex(8)}"
            registered = Registered(stream, limit)
            content.write(name, registered)
            layer = StoredLayer(
                chain_id([registered.diff_id] if below is None else [below, registered.diff_id]),
                registered.diff_id,
                below,
                registered.files_size,
                registered.size,
                lease_id if own else None,
            )
            try:
                standing = self._bind.write(_register, layer, name, lease_id)
                is_kept = standing == name or self._heal(content, layer, standing, name)
            except ImageStoreError:  # of any other, a commit may have succeeded: that is left to collect
                delete(content, [name])
                raise
        if not is_kept and isinstance(self._bind, EngineBind):
            delete(content, [name])
        return layer

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
        content = self._require_content()
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

    def _heal(self, content: Content, layer: StoredLayer, standing: str, name: str) -> bool:
        """Where the bytes that the database has are gone or cut, let it have those that were just written; whether it does."""
        try:
            is_there = content.size(standing) == layer.content_size
        except (FileNotFoundError, UnusableContentError):
            is_there = False
        return not is_there and self._bind.write(contents.move, layer.diff_id, standing, name)

    def _require_content(self) -> Content:
        if self._content is None:
            raise UnusableContentError(_NO_CONTENT)
        return self._content

    @contextmanager
    def _leased(self, lease: HeldLease | Lease | None) -> Iterator[tuple[str, bool]]:
        """The lease to write under, and whether it is one that was taken here, which an exception ends."""
        if lease is not None:
            self._bind.read(leases.check, lease.id)  # before the bytes are read
            yield lease.id, False
            return
        if not isinstance(self._bind, EngineBind):
            raise InvalidError(
                "a joined store registers a layer under a lease that was taken before its transaction began: pass lease="
            )
        own = HeldLease(self._bind, TTL, {})
        try:
            yield own.id, True
        except BaseException:
            self._bind.write(leases.remove, own.id)
            raise


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
