"""What `imagestore.verify` reads: the facts beside the index over them, in pages; and the repairs that no other call makes."""

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
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from imagestore.digest import ChainID, DiffID, Digest, ImageID
from imagestore.layer import Link
from imagestore.reference import Reference
from imagestore.sql import edges, metadata
from imagestore.sql.probes import ONE, is_there
from imagestore.sql.schema import (
    blobs,
    contents,
    images,
    layers,
    lease_layers,
    leases,
    metadata_keys,
    references,
)
from imagestore.sql.types import ByteOrdered, ChainIDType, DiffIDType, ImageIDType

_after: Final = bindparam("after", type_=LargeBinary)
_limit: Final = bindparam("limit", type_=Integer)
_image_id: Final = bindparam("image_id", type_=ImageIDType)
_after_lease: Final = bindparam("after_lease", type_=ByteOrdered)


class StoredBlob(NamedTuple):
    """A blob as it is stored, and what the index has of an image of its digest: a row, its top, and names."""

    digest: Digest
    data: bytes
    has_row: bool
    top: ChainID | None
    top_is_there: bool
    has_names: bool


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


class LayerRow(NamedTuple):
    """A layer's row, and whether its parent is there, which the lowest layer has none of."""

    chain_id: ChainID
    diff_id: DiffID
    parent: ChainID | None
    parent_is_there: bool

    @property
    def raw(self) -> bytes:
        """The key, after which the next page begins."""
        return Digest(self.chain_id).raw


class NameRow(NamedTuple):
    """A reference's row, and whether its image is there."""

    name: str
    repository: str
    image: ImageID
    image_is_there: bool


class LeaseRow(NamedTuple):
    """A lease's row, unparsed."""

    lease: str
    expires: str
    labels: str


class ContentRow(NamedTuple):
    """What is kept of a layer: under which name, and how many bytes."""

    diff_id: DiffID
    name: str
    size: int

    @property
    def raw(self) -> bytes:
        """The key, after which the next page begins."""
        return Digest(self.diff_id).raw


# A probe of the index for each row. As joins, PostgreSQL reads those indexes from their beginning for every page.
def _value(key: bytes) -> ScalarSelect[bytes]:
    of_key = metadata_keys.c.key == bindparam(f"key_{key.decode()}", key, type_=LargeBinary)
    return select(metadata_keys.c.value).where(metadata_keys.c.digest == images.c.id, of_key).scalar_subquery()


_entry: Final = images.alias("entry")
_lower: Final = layers.alias("lower")
_top: Final = select(_entry.c.top).where(_entry.c.id == blobs.c.digest).correlate(blobs).scalar_subquery()
_top_is_there: Final = (
    select(ONE)
    .join_from(_entry, _lower, _lower.c.chain_id == _entry.c.top)
    .where(_entry.c.id == blobs.c.digest)
    .scalar_subquery()
    .is_not(None)
)


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
    select(
        blobs.c.digest,
        blobs.c.data,
        is_there(_entry.c.id, blobs.c.digest),
        _top,
        _top_is_there,
        is_there(references.c.image, blobs.c.digest),
    )
    .where(blobs.c.digest > _after)
    .order_by(blobs.c.digest)
    .limit(_limit)
)
_ROWS_ALONE: Final = (
    select(images.c.id, is_there(references.c.image, images.c.id))
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
        is_there(_entry.c.id, images.c.parent),
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
    .limit(ONE)
)
_LAYERS: Final = (
    select(
        layers.c.chain_id,
        layers.c.diff_id,
        layers.c.parent,
        or_(layers.c.parent.is_(None), is_there(_lower.c.chain_id, layers.c.parent)),
    )
    .where(layers.c.chain_id > _after)
    .order_by(layers.c.chain_id)
    .limit(_limit)
)
_NAMES: Final = (
    select(references.c.name, references.c.repository, references.c.image, is_there(_entry.c.id, references.c.image))
    .where(references.c.name > bindparam("after", type_=ByteOrdered))
    .order_by(references.c.name)
    .limit(_limit)
)
_LEASES: Final = select(leases.c.id, leases.c.expires, leases.c.labels).order_by(leases.c.id).limit(_limit)
_LEASES_AFTER: Final = _LEASES.where(leases.c.id > bindparam("after", type_=ByteOrdered))
_LEASES_GONE: Final = (
    select(lease_layers.c.lease)
    .distinct()
    .outerjoin(leases, leases.c.id == lease_layers.c.lease)
    .where(leases.c.id.is_(None), lease_layers.c.lease > bindparam("after", type_=ByteOrdered))
    .order_by(lease_layers.c.lease)
    .limit(_limit)
)
_LEASED_GONE: Final = (
    select(lease_layers.c.lease, lease_layers.c.chain_id)
    .join(leases, leases.c.id == lease_layers.c.lease)
    .outerjoin(layers, layers.c.chain_id == lease_layers.c.chain_id)
    .where(layers.c.chain_id.is_(None))
    .where(tuple_(lease_layers.c.lease, lease_layers.c.chain_id) > tuple_(_after_lease, _after))
    .order_by(lease_layers.c.lease, lease_layers.c.chain_id)
    .limit(_limit)
)
_CONTENTS: Final = (
    select(contents.c.diff_id, contents.c.name, contents.c.size)
    .where(contents.c.diff_id > _after)
    .order_by(contents.c.diff_id)
    .limit(_limit)
)
# A row with names stays: they would go with it.
_DELETE_ROW: Final = delete(images).where(images.c.id == _image_id, ~exists().where(references.c.image == _image_id))
_DELETE_ROW_ALONE: Final = _DELETE_ROW.where(~exists().where(blobs.c.digest == _image_id))
_DELETE_LEASED: Final = delete(lease_layers).where(
    lease_layers.c.lease == bindparam("gone", type_=ByteOrdered),
    ~exists().where(leases.c.id == lease_layers.c.lease),
)
_INSERT_LAYERS: Final = insert(layers).on_conflict_do_nothing()
_SET_LAYER: Final = (
    update(layers)
    .where(layers.c.chain_id == bindparam("chain", type_=ChainIDType))
    .values(diff_id=bindparam("new_diff_id", type_=DiffIDType), parent=bindparam("new_parent", type_=ChainIDType))
)
_SET_REPOSITORY: Final = (
    update(references)
    .where(references.c.name == bindparam("reference", type_=ByteOrdered))
    .values(repository=bindparam("new_repository", type_=ByteOrdered))
)


def find_blobs(connection: Connection, after: bytes, limit: int) -> list[StoredBlob]:
    """The next blobs in order, unverified. Costs what it returns, in memory too."""
    return [StoredBlob(*row) for row in connection.execute(_BLOBS, {"after": after, "limit": limit})]


def find_rows_alone(connection: Connection, after: bytes, limit: int) -> list[tuple[ImageID, bool]]:
    """The next rows of images whose blob is not there, and whether they have names.

    Reads all keys that follow, to find none in a sound database.
    """
    rows = connection.execute(_ROWS_ALONE, {"after": after, "limit": limit})
    return [(image_id, bool(has_names)) for image_id, has_names in rows]


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


def find_layers(connection: Connection, after: bytes, limit: int) -> list[LayerRow]:
    """The next layers in order. Costs what it returns."""
    return [LayerRow(*row) for row in connection.execute(_LAYERS, {"after": after, "limit": limit})]


def find_names(connection: Connection, after: str, limit: int) -> list[NameRow]:
    """The next names in order, unparsed. Costs what it returns."""
    return [NameRow(*row) for row in connection.execute(_NAMES, {"after": after, "limit": limit})]


def find_leases(connection: Connection, after: str | None, limit: int) -> list[LeaseRow]:
    """The next leases in order, unparsed, the expired among them. Costs what it returns."""
    rows = connection.execute(_LEASES if after is None else _LEASES_AFTER, {"after": after, "limit": limit})
    return [LeaseRow(*row) for row in rows]


def find_leases_gone(connection: Connection, after: str, limit: int) -> list[str]:
    """The next leases that hold layers and are not there.

    Reads all that leases hold, to find none in a sound database.
    """
    return list(connection.execute(_LEASES_GONE, {"after": after, "limit": limit}).scalars())


def find_leased_gone(connection: Connection, after: tuple[str, bytes], limit: int) -> list[tuple[str, ChainID]]:
    """The next leases that hold a layer that is not there, each with the chain ID of that.

    Reads all that leases hold, to find none in a sound database.
    """
    lease, chain = after
    rows = connection.execute(_LEASED_GONE, {"after_lease": lease, "after": chain, "limit": limit})
    return [(lease, chain_id) for lease, chain_id in rows]


def find_contents(connection: Connection, after: bytes, limit: int) -> list[ContentRow]:
    """The next contents in order. Costs what it returns."""
    return [ContentRow(*row) for row in connection.execute(_CONTENTS, {"after": after, "limit": limit})]


def delete_row(connection: Connection, image_id: ImageID) -> None:
    """Remove an image's row, if it has no names, and leave its blob; children lose their edge."""
    connection.execute(_DELETE_ROW, {"image_id": image_id})


def delete_row_alone(connection: Connection, image_id: ImageID) -> None:
    """Remove an image's row if its blob is not there, and it has no names; children lose their edge."""
    connection.execute(_DELETE_ROW_ALONE, {"image_id": image_id})


def delete_leased(connection: Connection, lease: str) -> None:
    """Let go of what a lease holds that is not there."""
    connection.execute(_DELETE_LEASED, {"gone": lease})


def restore_layer(connection: Connection, chain_id: ChainID, stack: Sequence[Link]) -> None:
    """Write a layer's row as the stack has it that ends with it, and those of the stack that are missing below."""
    connection.execute(_INSERT_LAYERS, [link._asdict() for link in stack])
    right = {"chain": chain_id, "new_diff_id": stack[-1].diff_id, "new_parent": stack[-1].parent}
    connection.execute(_SET_LAYER, right)


def set_repository(connection: Connection, name: str) -> None:
    """Write a reference's repository as its name has it.

    Raises:
        InvalidReferenceError: the name is none.
    """
    connection.execute(_SET_REPOSITORY, {"reference": name, "new_repository": Reference.parse(name).name})
