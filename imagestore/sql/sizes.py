"""Sizes: the bytes of the files in a layer, and in all layers of an image. Of a layer without content here, a daemon may tell it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, case, cast, select

from imagestore.digest import ChainID, ImageID
from imagestore.sql.engine import pieces
from imagestore.sql.layers import SET_SIZE
from imagestore.sql.probes import ZERO, column_of_layer
from imagestore.sql.schema import images, layers
from imagestore.sql.types import Size

_BATCH: Final = 1000

_OF_LAYERS: Final = select(layers.c.chain_id, layers.c.size).where(
    layers.c.chain_id.in_(bindparam("chains", expanding=True))
)


def _of_images() -> Select[Any]:
    """Down the stack of each of ``:image_ids``, adding up: one probe of an index a column and a step, whatever the planner knows."""
    top = images.c.top
    walk = (
        select(
            images.c.id,
            column_of_layer("parent", top).label("parent"),
            case((top.is_(None), cast(ZERO, Size)), else_=column_of_layer("size", top)).label("size"),
        )
        .where(images.c.id.in_(bindparam("image_ids", expanding=True)))
        .cte("walk", recursive=True)
    )
    walk = walk.union_all(
        select(
            walk.c.id, column_of_layer("parent", walk.c.parent), walk.c.size + column_of_layer("size", walk.c.parent)
        ).where(walk.c.parent.is_not(None))
    )
    return select(walk.c.id, walk.c.size).where(walk.c.parent.is_(None))


_OF_IMAGES: Final = _of_images()


def set_many(connection: Connection, sizes: Iterable[tuple[ChainID, int]]) -> int:
    """Note the sizes of those of the layers that are there and have none yet; returns how many that were. One statement a thousand."""
    told = [{"chain": chain_id, "new_size": size} for chain_id, size in sorted(sizes)]
    return sum(connection.execute(SET_SIZE, some).rowcount for some in pieces(told, _BATCH))


def of_images(connection: Connection, image_ids: Sequence[ImageID]) -> dict[ImageID, int | None]:
    """The bytes of the files in all layers of each image that is there, as docker counts them; None while one layer's are not known.

    One query for every thousand images, which costs as much as they have layers.
    """
    found: dict[ImageID, int | None] = {}
    for some in pieces(image_ids, _BATCH):
        found.update((image_id, size) for image_id, size in connection.execute(_OF_IMAGES, {"image_ids": some}))
    return found


def of_layers(connection: Connection, chains: Sequence[ChainID]) -> dict[ChainID, int | None]:
    """The bytes of the files in those of the layers that are there; None while they are not known. One query for every ten thousand."""
    return {
        chain_id: size for some in pieces(chains) for chain_id, size in connection.execute(_OF_LAYERS, {"chains": some})
    }
