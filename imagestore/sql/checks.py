"""What `imagestore.verify` reads: the facts beside the index over them, in pages; and the one repair that no other call makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import (
    CTE,
    Connection,
    Integer,
    LargeBinary,
    ScalarSelect,
    bindparam,
    delete,
    exists,
    literal_column,
    or_,
    select,
)

from imagestore.digest import Digest, ImageID
from imagestore.sql import edges, metadata
from imagestore.sql.schema import blobs, images, metadata_keys
from imagestore.sql.types import ImageIDType

_after: Final = bindparam("after", type_=LargeBinary)
_limit: Final = bindparam("limit", type_=Integer)
_image_id: Final = bindparam("image_id", type_=ImageIDType)


class StoredBlob(NamedTuple):
    """A blob as it is stored, and whether the index has an image of its digest."""

    digest: Digest
    data: bytes
    has_row: bool


class IndexRow(NamedTuple):
    """A row of the index, and beside each column the metadata value that it stands for, None where there is no such key."""

    id: ImageID
    parent: ImageID | None
    parent_is_there: bool
    parent_value: bytes | None
    last_updated: str | None
    last_updated_value: bytes | None
    last_used: str | None
    last_used_value: bytes | None


# A probe of the index for each row. As joins, PostgreSQL reads those indexes from their beginning for every page.
def _value(key: bytes) -> ScalarSelect[bytes]:
    of_key = metadata_keys.c.key == bindparam(f"key_{key.decode()}", key, type_=LargeBinary)
    return select(metadata_keys.c.value).where(metadata_keys.c.digest == images.c.id, of_key).scalar_subquery()


_entry: Final = images.alias("entry")
_has_row: Final = select(_entry.c.id).where(_entry.c.id == blobs.c.digest).scalar_subquery().is_not(None)
_parent_is_there: Final = select(_entry.c.id).where(_entry.c.id == images.c.parent).scalar_subquery().is_not(None)


def _hanging_from_roots() -> CTE:
    """All images whose ancestry ends, and the known ones with what is below them."""
    # Two parameters of one value: SQLAlchemy renders an empty list for the one or for the other of IN and NOT IN.
    starts, met = (bindparam(name, type_=ImageIDType, expanding=True) for name in ("starts", "met"))
    walk = (
        select(images.c.id)
        .where(or_(images.c.parent.is_(None), images.c.id.in_(starts)))
        .cte("hanging", recursive=True)
    )
    down = images.alias("down")
    return walk.union_all(select(down.c.id).join(walk, down.c.parent == walk.c.id).where(down.c.id.not_in(met)))


_hanging: Final = _hanging_from_roots()
_walk: Final = edges.walk_up()

_BLOBS: Final = (
    select(blobs.c.digest, blobs.c.data, _has_row).where(blobs.c.digest > _after).order_by(blobs.c.digest).limit(_limit)
)
_ROWS_ALONE: Final = (
    select(images.c.id)
    .outerjoin(blobs, blobs.c.digest == images.c.id)
    .where(blobs.c.digest.is_(None), images.c.id > _after)
    .order_by(images.c.id)
    .limit(_limit)
)
_METADATA_ALONE: Final = (
    select(metadata_keys.c.digest)
    .distinct()
    .outerjoin(blobs, blobs.c.digest == metadata_keys.c.digest)
    .where(blobs.c.digest.is_(None), metadata_keys.c.digest > _after)
    .order_by(metadata_keys.c.digest)
    .limit(_limit)
)
_INDEX: Final = (
    select(
        images.c.id,
        images.c.parent,
        _parent_is_there,
        _value(edges.KEY),
        images.c.last_updated,
        _value(metadata.LAST_UPDATED),
        images.c.last_used,
        _value(metadata.LAST_USED),
    )
    .where(images.c.id > _after)
    .order_by(images.c.id)
    .limit(_limit)
)
_UNLINKED: Final = (
    select(images.c.id, metadata_keys.c.value)
    .join(metadata_keys, metadata_keys.c.digest == images.c.id)
    .where(images.c.parent.is_(None), metadata_keys.c.key == bindparam("key", edges.KEY, type_=LargeBinary))
    .where(images.c.id > _after)
    .order_by(images.c.id)
    .limit(_limit)
)
_ANCESTRY: Final = select(_walk.c.id, _walk.c.parent)
_ENDLESS: Final = (
    select(images.c.id)
    .outerjoin(_hanging, _hanging.c.id == images.c.id)
    .where(_hanging.c.id.is_(None))
    .order_by(images.c.id)
    .limit(literal_column("1"))
)
_DELETE_ROW: Final = delete(images).where(images.c.id == _image_id)
_DELETE_ROW_ALONE: Final = _DELETE_ROW.where(~exists().where(blobs.c.digest == _image_id))


def find_blobs(connection: Connection, after: bytes, limit: int) -> list[StoredBlob]:
    """The next blobs in order, unverified. Costs what it returns, in memory too."""
    return [StoredBlob(*row) for row in connection.execute(_BLOBS, {"after": after, "limit": limit})]


def find_rows_alone(connection: Connection, after: bytes, limit: int) -> list[ImageID]:
    """The next rows of images whose blob is not there. Reads all keys that follow, to find none in a sound database."""
    return list(connection.execute(_ROWS_ALONE, {"after": after, "limit": limit}).scalars())


def find_metadata_alone(connection: Connection, after: bytes, limit: int) -> list[Digest]:
    """The next digests that have metadata and no blob. Reads all keys that follow, to find none in a sound database."""
    return list(connection.execute(_METADATA_ALONE, {"after": after, "limit": limit}).scalars())


def find_index(connection: Connection, after: bytes, limit: int) -> list[IndexRow]:
    """The next images in order, as the index has them and as their metadata has them. Costs what it returns."""
    return [IndexRow(*row) for row in connection.execute(_INDEX, {"after": after, "limit": limit})]


def find_unlinked(connection: Connection, after: bytes, limit: int) -> list[tuple[ImageID, bytes]]:
    """The next images that have a parent in their metadata and none in the index: those that wait for it, and few others."""
    return [(image_id, value) for image_id, value in connection.execute(_UNLINKED, {"after": after, "limit": limit})]


def find_ancestry(connection: Connection, image_id: ImageID) -> dict[ImageID, ImageID | None]:
    """An image and all its ancestors, each with its parent; ends in a damaged index too. Empty for an unknown image."""
    return dict(connection.execute(_ANCESTRY, {"start": image_id}).all())


def find_endless(connection: Connection, known: Sequence[ImageID]) -> ImageID | None:
    """An image whose ancestry never ends, as the index has a cycle there, or None; one that is not below the known ones.

    One query, which reads all of the index.
    """
    return connection.execute(_ENDLESS, {"starts": list(known), "met": list(known)}).scalar()


def delete_row(connection: Connection, image_id: ImageID) -> None:
    """Remove an image's row and leave its blob; children lose their edge."""
    connection.execute(_DELETE_ROW, {"image_id": image_id})


def delete_row_alone(connection: Connection, image_id: ImageID) -> None:
    """Remove an image's row if its blob is not there; children lose their edge."""
    connection.execute(_DELETE_ROW_ALONE, {"image_id": image_id})
