"""Metadata: values under keys beside each blob, as `imagestore.backend.StoreBackend` has them.

`put` and `remove` keep the index columns of ``images`` in step: "parent" through `imagestore.sql.edges`, the two times here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, cast

from sqlalchemy import Connection, LargeBinary, bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from imagestore.digest import Digest, ImageID
from imagestore.errors import BlobNotFoundError, InvalidTimeError
from imagestore.gojson import GoTime
from imagestore.sql import edges
from imagestore.sql.blobs import verified
from imagestore.sql.driver import Read, Write
from imagestore.sql.driver_errors import is_foreign_key_violation
from imagestore.sql.engine import pieces
from imagestore.sql.schema import blobs, images, metadata_keys
from imagestore.sql.types import SHA256

LAST_UPDATED: Final = b"lastUpdated"
LAST_USED: Final = b"lastUsed"
BUILT_LOCALLY: Final = b"builtLocally"

_TIMES: Final = {LAST_UPDATED: images.c.last_updated, LAST_USED: images.c.last_used}

_blob: Final = bindparam("blob", type_=SHA256)
_key: Final = bindparam("metadata_key", type_=LargeBinary)
_row: Final = (metadata_keys.c.digest == _blob, metadata_keys.c.key == _key)

_insert: Final = insert(metadata_keys).values(
    digest=_blob, key=_key, value=bindparam("metadata_value", type_=LargeBinary)
)
_UPSERT: Final = Write(
    _insert.on_conflict_do_update(
        index_elements=[metadata_keys.c.digest, metadata_keys.c.key], set_={"value": _insert.excluded.value}
    ),
    few=True,
)
_DELETE: Final = Write(delete(metadata_keys).where(*_row), few=True)
_DELETE_OF_MANY: Final = delete(metadata_keys).where(
    metadata_keys.c.digest.in_(bindparam("blobs", expanding=True)), metadata_keys.c.key == _key
)
SELECT: Final = Read(
    select(blobs.c.data, metadata_keys.c.value)
    .outerjoin(metadata_keys, (metadata_keys.c.digest == blobs.c.digest) & (metadata_keys.c.key == _key))
    .where(blobs.c.digest == _blob),
    few=True,
)
KEYS: Final = Read(
    select(metadata_keys.c.key)
    .select_from(blobs)
    .outerjoin(metadata_keys, metadata_keys.c.digest == blobs.c.digest)
    .where(blobs.c.digest == _blob)
    .order_by(metadata_keys.c.key),
    few=True,
)
_SELECT_OF_MANY: Final = (
    select(metadata_keys.c.digest, metadata_keys.c.key, metadata_keys.c.value)
    .where(metadata_keys.c.digest.in_(bindparam("blobs", expanding=True)))
    .order_by(metadata_keys.c.digest, metadata_keys.c.key)
)
_SELECT_ALL: Final = select(metadata_keys.c.key, metadata_keys.c.value).where(metadata_keys.c.digest == _blob)
_SET_TIME: Final = {
    key: Write(update(images).where(images.c.id == _blob).values({column: bindparam("time")}), few=True)
    for key, column in _TIMES.items()
}


def get(connection: Connection, digest: Digest, key: bytes) -> bytes | None:
    """The value under a key, or None where there is no such key. One read by key; the blob is verified, as moby does.

    Raises:
        BlobNotFoundError: there is no such blob.
        CorruptBlobError: the blob is damaged.
    """
    row = SELECT.first(connection, blob=digest.raw, metadata_key=key)
    if row is None:
        raise BlobNotFoundError(digest)
    data, value = row
    verified(digest, data)
    return cast("bytes | None", value)


def keys(connection: Connection, digest: Digest) -> list[bytes]:
    """All keys of a blob, in order. One read by key.

    Raises:
        BlobNotFoundError: there is no such blob.
    """
    found = KEYS.all(connection, blob=digest.raw)
    if not found:
        raise BlobNotFoundError(digest)
    return [key for (key,) in found if key is not None]


def get_many(connection: Connection, digests: Sequence[Digest]) -> dict[Digest, dict[bytes, bytes]]:
    """All metadata of those of the blobs that have any; one query for every ten thousand."""
    found: dict[Digest, dict[bytes, bytes]] = {}
    for some in pieces(digests):
        for digest, key, value in connection.execute(_SELECT_OF_MANY, {"blobs": some}):
            found.setdefault(digest, {})[key] = value
    return found


def put_many(connection: Connection, values: Sequence[tuple[Digest, bytes, bytes]]) -> None:
    """`put` each of them: (blob, key, value). An edge depends on those before it, so they go one by one.

    Raises:
        BlobNotFoundError: there is no such blob.
    """
    for digest, key, value in values:
        put(connection, digest, key, value)


def put(connection: Connection, digest: Digest, key: bytes, value: bytes) -> None:
    """Store a value under a key in place of an earlier one, and bring the index that stands for it in step.

    Raises:
        BlobNotFoundError: there is no such blob.
    """
    _write(connection, digest, key, value, _upsert)


def remove(connection: Connection, digest: Digest, key: bytes) -> None:
    """Remove a key, and what the index made of it; a missing key or blob is no error."""
    _write(connection, digest, key, None, _delete)


def remove_parents(connection: Connection, children: Sequence[ImageID]) -> None:
    """Remove the key "parent" of many, whose edges the caller has taken away."""
    for some in pieces(children):
        connection.execute(_DELETE_OF_MANY, {"blobs": some, "metadata_key": edges.KEY})


def name_parent(connection: Connection, child: ImageID, parent: ImageID) -> None:
    """Write the key "parent" of a child whose edge the caller has made."""
    _upsert(connection, child, edges.KEY, parent.encode())


def put_time(connection: Connection, image_id: ImageID, key: bytes, value: bytes) -> bool:
    """Write one of the two times of an image, `LAST_UPDATED` or `LAST_USED`; returns whether there is such an image."""
    if not _index_time(connection, image_id, key, value):
        return False
    _upsert(connection, image_id, key, value)
    return True


def reindex(connection: Connection, image_id: Digest) -> None:
    """Make the index columns of one image anew from its metadata."""
    child = edges.hold(connection, image_id)
    if child is None:
        return
    rows = dict(connection.execute(_SELECT_ALL, {"blob": image_id}).all())
    edges.follow(connection, child, rows.get(edges.KEY, b""))  # first: an edge to nothing lets no column be written
    for key in _TIMES:
        _index_time(connection, image_id, key, rows.get(key))


def indexed_time(value: bytes | None) -> str | None:
    """What ``images.last_updated`` and ``images.last_used`` have for a metadata value; None where it is no time. Pure."""
    if value is None:
        return None
    try:
        return GoTime.parse(value.decode()).utc_text
    except (InvalidTimeError, UnicodeDecodeError):
        return None


def _write(
    connection: Connection,
    digest: Digest,
    key: bytes,
    value: bytes | None,
    write: Callable[[Connection, Digest, bytes, bytes | None], None],
) -> None:
    """The image first, then its metadata; and both again where there was no image yet, and there is one now."""
    index = _index_parent if key == edges.KEY else _index_time if key in _TIMES else None
    found = index is None or index(connection, digest, key, value)
    write(connection, digest, key, value)
    if index is not None and not found and index(connection, digest, key, value):
        write(connection, digest, key, value)


def _upsert(connection: Connection, digest: Digest, key: bytes, value: bytes | None) -> None:
    try:
        _UPSERT.run(connection, blob=digest.raw, metadata_key=key, metadata_value=value)
    except IntegrityError as error:
        if is_foreign_key_violation(error):
            raise BlobNotFoundError(digest) from error
        raise


def _delete(connection: Connection, digest: Digest, key: bytes, _value: bytes | None) -> None:
    _DELETE.run(connection, blob=digest.raw, metadata_key=key)


def _index_parent(connection: Connection, digest: Digest, _key: bytes, value: bytes | None) -> bool:
    child = edges.hold(connection, digest)
    if child is not None:
        edges.follow(connection, child, value or b"")
    return child is not None


def _index_time(connection: Connection, digest: Digest, key: bytes, value: bytes | None) -> bool:
    return _SET_TIME[key].run(connection, blob=digest.raw, time=indexed_time(value)) > 0
