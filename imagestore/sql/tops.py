"""The column ``images.top`` made anew from stored configurations: for an upgrade to the trie, and for `imagestore.verify`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Integer, LargeBinary, Row, Select, and_, bindparam, select, update

from imagestore.digest import ImageID
from imagestore.layer import Link
from imagestore.sql import edges, layers
from imagestore.sql.probes import ONE, next_unplaced
from imagestore.sql.schema import blobs, images
from imagestore.sql.types import ChainIDType, ImageIDType

_after: Final = bindparam("after", type_=LargeBinary)
_limit: Final = bindparam("limit", type_=Integer)


def _walk_unfilled() -> Select[Any]:
    """The next images that are in no trie, and their bytes: one probe of an index for each.

    As one range of it PostgreSQL would read all of them for each page: it takes nulls in a new column to be few.
    """
    walk = select(next_unplaced(_after).label("id"), ONE.label("number")).cte("walk", recursive=True)
    goes_on = and_(walk.c.id.is_not(None), walk.c.number < _limit)
    walk = walk.union_all(select(next_unplaced(walk.c.id), walk.c.number + ONE).where(goes_on))
    return select(walk.c.id, blobs.c.data).join(blobs, blobs.c.digest == walk.c.id)


_FILLED: Final = select(images.c.id).where(images.c.top.is_not(None)).order_by(images.c.id.desc()).limit(ONE)
_PAGE: Final = (
    select(images.c.id, blobs.c.data)
    .join(blobs, blobs.c.digest == images.c.id)
    .where(images.c.id > _after)
    .order_by(images.c.id)
    .limit(_limit)
)
_UNFILLED: Final = _walk_unfilled()
_SET: Final = (
    update(images)
    .where(images.c.id == bindparam("image_id", type_=ImageIDType))
    .values(top=bindparam("new_top", type_=ChainIDType))
)


def find_filled(connection: Connection) -> bytes:
    """The raw ID up to which `fill` has come, which goes in the order of the IDs. Reads the rows beyond it."""
    found: ImageID | None = connection.execute(_FILLED).scalar()
    return b"" if found is None else found.raw


def fill(connection: Connection, after: bytes, limit: int, stack_of: Callable[[bytes], Sequence[Link]]) -> bytes | None:
    """Put the next images into the trie, and return the raw ID of the last of them; None where there are no more.

    Args:
        after: the raw ID after which to go on.
        limit: how many images at most, whose configurations are held in memory.
        stack_of: what reads the layers from a configuration.
    """
    return _fill(connection, connection.execute(_PAGE, {"after": after, "limit": limit}), stack_of)


def fill_left(connection: Connection, limit: int, stack_of: Callable[[bytes], Sequence[Link]]) -> None:
    """Put all images into the trie that are not there yet, wherever their IDs are. Reads those that are in none, by the index of tops.

    Args:
        limit: how many configurations at most are held in memory.
        stack_of: as for `fill`.
    """
    after: bytes | None = b""
    while after is not None:
        after = _fill(connection, connection.execute(_UNFILLED, {"after": after, "limit": limit}), stack_of)


def set_top(connection: Connection, image_id: ImageID, stack: Sequence[Link]) -> None:
    """Put one image, if it is there, into the trie, at the place that its configuration has; layers that are missing become known.

    The image is locked first, then its layers, as by a delete.
    """
    if edges.hold(connection, image_id) is not None:
        connection.execute(_SET, {"image_id": image_id, "new_top": layers.hold(connection, stack)})


def _fill(
    connection: Connection, page: Iterable[Row[Any]], stack_of: Callable[[bytes], Sequence[Link]]
) -> bytes | None:
    stacks = {row.id: stack_of(row.data) for row in page}
    layers.hold_many(connection, stacks.values())
    tops = [{"image_id": image_id, "new_top": layers.top_of(stack)} for image_id, stack in stacks.items() if stack]
    if tops:
        connection.execute(_SET, tops)
    return max(stacks).raw if stacks else None
