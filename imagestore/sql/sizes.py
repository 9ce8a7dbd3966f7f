"""Sizes: of layers that the store knows but whose files it never saw, as a daemon tells them, and of whole images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import CTE, Connection, bindparam, case, cast, func, literal_column, select, update

from imagestore.digest import ChainID, ImageID
from imagestore.sql.engine import pieces
from imagestore.sql.schema import images, layers
from imagestore.sql.types import ChainIDType, Size

_BATCH: Final = 1000

_SET: Final = (
    update(layers)
    .where(layers.c.chain_id == bindparam("chain", type_=ChainIDType), layers.c.size.is_(None))
    .values(size=bindparam("new_size", type_=Size))
)
_OF_LAYERS: Final = select(layers.c.chain_id, layers.c.size).where(
    layers.c.chain_id.in_(bindparam("chains", expanding=True))
)


def _stacks() -> CTE:
    """Each of the images with each layer of its stack, or with none."""
    stack = (
        select(images.c.id, images.c.top.label("chain_id"), layers.c.parent, layers.c.size)
        .outerjoin(layers, layers.c.chain_id == images.c.top)
        .where(images.c.id.in_(bindparam("image_ids", expanding=True)))
        .cte("stack", recursive=True)
    )
    lower = layers.alias("lower")
    return stack.union_all(
        select(stack.c.id, lower.c.chain_id, lower.c.parent, lower.c.size).join_from(
            stack, lower, lower.c.chain_id == stack.c.parent
        )
    )


_STACKS: Final = _stacks()
_unknown: Final = func.count(_STACKS.c.chain_id) > func.count(_STACKS.c.size)
_OF_IMAGES: Final = select(
    _STACKS.c.id,
    case((_unknown, None), else_=cast(func.coalesce(func.sum(_STACKS.c.size), literal_column("0")), Size)),
).group_by(_STACKS.c.id)


def set_many(connection: Connection, sizes: Iterable[tuple[ChainID, int]]) -> int:
    """Note the sizes of those of the layers that are there and have none yet; returns how many that were. One statement a thousand."""
    told = [{"chain": chain_id, "new_size": size} for chain_id, size in sorted(sizes)]
    return sum(connection.execute(_SET, some).rowcount for some in pieces(told, _BATCH))


def of_images(connection: Connection, image_ids: Sequence[ImageID]) -> dict[ImageID, int | None]:
    """The bytes of the files in all layers of each image that is there, as docker counts them; None while one layer's are not known.

    One query for every ten thousand images, which reads their stacks.
    """
    found: dict[ImageID, int | None] = {}
    for some in pieces(image_ids):
        found.update((image_id, size) for image_id, size in connection.execute(_OF_IMAGES, {"image_ids": some}))
    return found


def of_layers(connection: Connection, chains: Sequence[ChainID]) -> dict[ChainID, int | None]:
    """The bytes of the files in those of the layers that are there; None while they are not known. One query for every ten thousand."""
    return {
        chain_id: size for some in pieces(chains) for chain_id, size in connection.execute(_OF_LAYERS, {"chains": some})
    }
