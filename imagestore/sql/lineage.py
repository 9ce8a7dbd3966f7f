"""Lineage over recorded parents: recursive queries on the narrow rows of ``images``."""

from __future__ import annotations

from typing import Final

from sqlalchemy import CTE, Connection, bindparam, literal_column, select

from imagestore.digest import ImageID
from imagestore.errors import ImageNotFoundError
from imagestore.sql.driver import Read
from imagestore.sql.schema import images
from imagestore.sql.types import ImageIDType

_DEEPEST: Final = 100_000  # ends a walk up into a cycle, which only a damaged index has


def _walk(upwards: bool) -> CTE:
    """The image ``:image_id`` and those above or below it, each with its distance."""
    start = bindparam("image_id", type_=ImageIDType)
    walk = (
        select(images.c.id, images.c.parent, literal_column("0").label("depth"))
        .where(images.c.id == start)
        .cte("walk", recursive=True)
    )
    step = images.alias("step")
    joined = step.c.id == walk.c.parent if upwards else step.c.parent == walk.c.id
    # Nothing is said of ``step`` but how it is found: else SQLite, after ANALYZE, reads all images into a filter first.
    is_new = (walk.c.depth == literal_column("0")) | (walk.c.id != start)
    return walk.union_all(
        select(step.c.id, step.c.parent, walk.c.depth + literal_column("1"))
        .select_from(walk)
        .join(step, joined)
        .where(walk.c.depth < literal_column(str(_DEEPEST)), is_new)
    )


def _ordered(walk: CTE) -> Read:
    return Read(select(walk.c.id).order_by(walk.c.depth, walk.c.id))


ANCESTORS: Final = _ordered(_walk(upwards=True))
DESCENDANTS: Final = _ordered(_walk(upwards=False))


def ancestors(connection: Connection, image_id: ImageID) -> list[ImageID]:
    """The parent, its parent and so on, nearest first, at most 100,000. One query, of the depth of the ancestry.

    Raises:
        ImageNotFoundError: there is no such image.
    """
    return _others(connection, ANCESTORS, image_id)


def descendants(connection: Connection, image_id: ImageID) -> list[ImageID]:
    """The children, their children and so on, breadth first, each generation in order. One query; costs what it returns.

    Raises:
        ImageNotFoundError: there is no such image.
    """
    return _others(connection, DESCENDANTS, image_id)


def _others(connection: Connection, walk: Read, image_id: ImageID) -> list[ImageID]:
    found = walk.all(connection, image_id=image_id.raw)
    if not found:
        raise ImageNotFoundError(image_id)
    raws = [*dict.fromkeys([raw for (raw,) in found])]
    return list(map(ImageID.from_raw, raws[1:]))
