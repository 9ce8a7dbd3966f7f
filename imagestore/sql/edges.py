"""Who is whose parent: the column ``images.parent``, an index over the metadata rows "parent", and its only writer.

An edge is there where the named image exists and the edge closes no cycle among the edges that are there. Nothing here writes
metadata: `imagestore.sql.metadata` and `imagestore.sql.images` do, around these functions.

Locks on PostgreSQL come in this order: the child, the parent, the advisory lock of links. In a caller's REPEATABLE READ or SERIALIZABLE
a walk may be stale, so there is no fast path and no advisory lock: all ancestors of the parent are locked instead. On SQLite the write
transaction is the lock.

Each lock names the statement that it meets, and what tests/concurrency/test_locks.py calls the damage that comes without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import CTE, Connection, LargeBinary, bindparam, func, literal_column, select, update
from sqlalchemy.exc import IntegrityError

from imagestore.digest import ChainID, Digest, ImageID
from imagestore.errors import ImageNotFoundError, InvalidDigestError, ParentCycleError, ParentNotFoundError
from imagestore.sql import blobs, schema
from imagestore.sql.driver import Read, Write
from imagestore.sql.driver_errors import is_foreign_key_violation
from imagestore.sql.schema import images, metadata_keys
from imagestore.sql.snapshot import SeesSnapshot
from imagestore.sql.types import ImageIDType

KEY: Final = b"parent"
"""The metadata key that names an image's parent (moby's store.go)."""


def walk_up() -> CTE:
    """The image ``:start`` and all its ancestors, in no order, as a recursive query that ends even on a damaged index."""
    walk = (
        select(images.c.id, images.c.parent)
        .where(images.c.id == bindparam("start", type_=ImageIDType))
        .cte("walk", recursive=True)
    )
    up = images.alias("up")
    return walk.union(select(up.c.id, up.c.parent).join(walk, up.c.id == walk.c.parent))


_WALK: Final = walk_up()
_child_id: Final = bindparam("child", type_=ImageIDType)
_parent_id: Final = bindparam("new_parent", type_=ImageIDType)

# Meets the same statement of another link or of a delete of this child, and the UPDATE of a delete of its parent.
# Without it: "opposite links", "a link to an image that goes"; FOR NO KEY UPDATE would let KEY SHARE by.
_HOLD_CHILD: Final = Write(
    select(images.c.parent, SeesSnapshot(), images.c.top).where(images.c.id == _child_id).with_for_update(), few=True
)
_HAS_CHILDREN: Final = Read(
    select(images.c.id).where(images.c.parent == _child_id).limit(literal_column("1")), few=True
)
# Meets _HOLD_CHILD of a link of the parent on the fast path, or of its delete. Without it: "a cycle of three".
_HOLD_PARENT: Final = Write(
    select(images.c.id).where(images.c.id == _parent_id).with_for_update(read=True, key_share=True), few=True
)
# Meets itself: of two that must walk, the second walks after the first has committed. Without it: "a cycle of four", "a cycle that is
# broken while it is closed".
_LOCK_LINKS: Final = select(
    func.pg_advisory_xact_lock(func.hashtextextended(func.current_schema().op("||")("imagestore.links"), 0))
)
_ANCESTRY: Final = select(_WALK.c.id)
# In a snapshot: meets _HOLD_CHILD of any ancestor. Without it: "a stale walk".
_HOLD_ANCESTRY: Final = select(images.c.id).where(images.c.id.in_(select(_WALK.c.id))).with_for_update(read=True)
_SET_PARENT: Final = Write(update(images).where(images.c.id == _child_id).values(parent=_parent_id), few=True)
_UNLINK_CHILDREN: Final = Write(
    update(images).where(images.c.parent == _parent_id).values(parent=None).returning(images.c.id)
)
_NAMES: Final = select(metadata_keys.c.digest).where(
    literal_column("length(value)") == literal_column("71"),
    metadata_keys.c.value == bindparam("named", type_=LargeBinary),
    metadata_keys.c.key == bindparam("key", KEY, type_=LargeBinary),
)
# Meets _HOLD_CHILD: the UPDATE after it reads the metadata as whoever was changing it has left it. Without it: "a waiting child that is
# linked elsewhere".
_HOLD_WAITING: Final = Write(select(images.c.id).where(images.c.id.in_(_NAMES)).order_by(images.c.id).with_for_update())
_LINK_WAITING: Final = Write(update(images).where(images.c.id.in_(_NAMES)).values(parent=_parent_id), few=True)
_WAITED_FOR: Final = (
    select(metadata_keys.c.value)
    .distinct()
    .where(
        literal_column("length(value)") == literal_column("71"),
        metadata_keys.c.value.in_(bindparam("named", expanding=True)),
        metadata_keys.c.key == bindparam("key", KEY, type_=LargeBinary),
    )
)
_NO_IMAGE: Final = (
    select(schema.blobs.c.digest)
    .outerjoin(images, images.c.id == schema.blobs.c.digest)
    .where(schema.blobs.c.digest == bindparam("blob", type_=ImageIDType), images.c.id.is_(None))
)
_BLOCKED_ROOT: Final = (
    select(_WALK.c.id)
    .join(metadata_keys, metadata_keys.c.digest == _WALK.c.id)
    .where(_WALK.c.parent.is_(None), metadata_keys.c.key == bindparam("key", KEY, type_=LargeBinary))
)
_NAMED: Final = select(metadata_keys.c.value).where(
    metadata_keys.c.digest == _child_id, metadata_keys.c.key == bindparam("key", KEY, type_=LargeBinary)
)


class Child(NamedTuple):
    """An image that is held for a change of its parent, or for its end."""

    id: ImageID
    parent: ImageID | None
    sees_snapshot: bool
    top: ChainID | None


def named(value: bytes) -> ImageID | None:
    """The image that a metadata row "parent" names, or None where the value is no image ID. Pure."""
    try:
        return ImageID(value.decode("ascii"))
    except (InvalidDigestError, UnicodeDecodeError):
        return None


def hold(connection: Connection, image_id: Digest) -> Child | None:
    """Lock an image for a change of its parent; None where it is no image."""
    row = _HOLD_CHILD.first(connection, child=image_id.raw)
    if row is None:
        return None
    parent, sees_snapshot, top = row
    return Child(
        ImageID.trusted(image_id),
        None if parent is None else ImageID.from_raw(parent),
        bool(sees_snapshot),
        None if top is None else ChainID.from_raw(top),
    )


def link(connection: Connection, child_id: ImageID, parent: ImageID) -> None:
    """Make the edge from a child to its parent, for `imagestore.sql.images.set_parent`.

    Costs four statements where the child has no children; else a walk up from the parent, of the depth of its ancestry.

    Raises:
        ImageNotFoundError: there is no such child.
        ParentNotFoundError: there is no such parent.
        ParentCycleError: the parent is the child itself or one of its descendants.
    """
    child = hold(connection, child_id)
    if child is None:
        raise ImageNotFoundError(child_id)
    if _closes_cycle(connection, child, parent):
        raise ParentCycleError(child_id, parent)
    try:
        _set_parent(connection, child, parent)
    except IntegrityError as error:
        if is_foreign_key_violation(error):
            raise ParentNotFoundError(parent) from error
        raise
    _left(connection, child, parent)


def follow(connection: Connection, child: Child, value: bytes) -> None:
    """Make the edge that a metadata row "parent" stands for, or none where it names no image or would close a cycle."""
    parent = named(value)
    if parent is None or not _wait_for(connection, parent) or _closes_cycle(connection, child, parent):
        unlink(connection, child)
    else:
        _set_parent(connection, child, parent)
        _left(connection, child, parent)


def unlink(connection: Connection, child: Child) -> None:
    """Take away a child's edge, if it has one.

    Its row is written in any case: a snapshot that is older must notice that the metadata changes, or "a waiting child that waits
    no longer" is linked.
    """
    _set_parent(connection, child, None)
    _left(connection, child, None)


def unlink_children(connection: Connection, parent: Child) -> list[ImageID]:
    """Take away the edges of all children of an image that is held and about to go, and return who they were."""
    orphans = [ImageID.from_raw(raw) for (raw,) in _UNLINK_CHILDREN.all(connection, new_parent=parent.id.raw)]
    if orphans and parent.parent is not None:
        _relink_root(connection, parent.id, sees_snapshot=parent.sees_snapshot)
    return orphans


def link_waiting(connection: Connection, parent: ImageID) -> None:
    """Make the edges of the images whose metadata already names this one, which has just been created and so closes no cycle."""
    if _HOLD_WAITING.all(connection, named=parent.encode()):
        _LINK_WAITING.run(connection, named=parent.encode(), new_parent=parent.raw)


def link_waiting_many(connection: Connection, parents: Sequence[ImageID]) -> None:
    """`link_waiting` for many images; one query where nothing waits."""
    for value in connection.execute(_WAITED_FOR, {"named": [parent.encode() for parent in parents]}).scalars().all():
        link_waiting(connection, ImageID(value.decode()))


def _set_parent(connection: Connection, child: Child, parent: ImageID | None) -> None:
    _SET_PARENT.run(connection, child=child.id.raw, new_parent=None if parent is None else parent.raw)


def _left(connection: Connection, child: Child, parent: ImageID | None) -> None:
    if child.parent is not None and child.parent != parent:
        _relink_root(connection, child.parent, sees_snapshot=child.sees_snapshot)


def _relink_root(connection: Connection, image_id: ImageID, *, sees_snapshot: bool) -> None:
    """After an edge below an image has gone: make the one that it may have kept from being made, as it would have closed a cycle.

    That can only be the edge of the root above the image: a root that has a parent in its metadata.
    """
    if sees_snapshot:
        connection.execute(_HOLD_ANCESTRY, {"start": image_id})
    elif connection.dialect.name == "postgresql":
        connection.execute(_LOCK_LINKS)
    root_id = connection.execute(_BLOCKED_ROOT, {"start": image_id}).scalar()
    root = None if root_id is None else hold(connection, root_id)
    if root is not None and root.parent is None:
        value = connection.execute(_NAMED, {"child": root.id}).scalar()
        if value is not None:
            follow(connection, root, value)


def _closes_cycle(connection: Connection, child: Child, parent: ImageID) -> bool:
    if parent == child.id:
        return True
    if child.sees_snapshot:
        ancestry = connection.execute(_HOLD_ANCESTRY, {"start": parent}).scalars().all()
    elif _HAS_CHILDREN.first(connection, child=child.id.raw) is None:
        return False  # nothing hangs below the child, and whoever would hang something there must hold it first
    else:
        if _HOLD_PARENT.first(connection, new_parent=parent.raw) is None:
            raise ParentNotFoundError(parent)
        if connection.dialect.name == "postgresql":
            connection.execute(_LOCK_LINKS)
        ancestry = connection.execute(_ANCESTRY, {"start": parent}).scalars().all()
    if not ancestry:
        raise ParentNotFoundError(parent)
    return child.id in ancestry


def _wait_for(connection: Connection, parent: ImageID) -> bool:
    """Whether the image is there, once no transaction that may be creating it is under way any more; if so, it is held.

    Without the wait: "a parent that is being created". What no lock can prevent: a caller's snapshot that is older than this call does not
    see that the child waits, creates the image later, and leaves the child without its edge; `imagestore.verify` tells and mends that.
    """
    while _HOLD_PARENT.first(connection, new_parent=parent.raw) is None:
        if connection.dialect.name == "sqlite":
            return False
        # The insert waits for the transaction that has inserted the same blob, and so for its image.
        if blobs.insert_one(connection, parent, b""):
            blobs.delete_one(connection, parent)
            return False
        if connection.execute(_NO_IMAGE, {"blob": parent}).first() is not None:
            return False
    return True
