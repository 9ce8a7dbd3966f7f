"""Sharing: what an image's layers weigh, which of them others have too, and what a delete would free.

As in `imagestore.sql.trie`, each step of a walk is one probe of an index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    CTE,
    Connection,
    LargeBinary,
    Select,
    and_,
    bindparam,
    case,
    cast,
    func,
    not_,
    null,
    or_,
    select,
    tuple_,
)

from imagestore.digest import ImageID
from imagestore.errors import ImageNotFoundError
from imagestore.sql.driver import Read
from imagestore.sql.engine import pieces
from imagestore.sql.images import page_ids
from imagestore.sql.probes import FALSE, FIRST, ONE, ZERO, column_of_layer, next_image, next_layer, no_row
from imagestore.sql.schema import contents, images, layers, lease_layers
from imagestore.sql.types import ImageIDType, Size

# One probe of its index, whatever the planners know.
_any_content: Final = (
    select(contents.c.diff_id)
    .where(contents.c.diff_id > FIRST)
    .order_by(contents.c.diff_id)
    .limit(ONE)
    .scalar_subquery()
)


class Sizes(NamedTuple):
    """What an image weighs, in bytes.

    Attributes:
        total: of the files in all its layers, as docker counts them; a layer whose size nobody has told counts 0.
        shared: of those of its layers that another image has too.
        own: of the others.
        freed: of the content that deleting it would take off the disk: tars of the layers that no other image, no lease and no layer
            holds, if no other layer has the same tar.
    """

    total: int
    shared: int
    own: int
    freed: int


class Totals(NamedTuple):
    """What all layers weigh, in bytes.

    Attributes:
        size: of the files in them, each layer once; a layer whose size nobody has told counts 0.
        content: of all tars on the disk.
    """

    size: int
    content: int


def _is_its_own(owner: Any, chain: Any, above: Any) -> Any:
    upper, other = layers.alias("upper"), images.alias("other")
    return and_(
        no_row(other, and_(other.c.top == chain, other.c.id != owner)),
        no_row(lease_layers, lease_layers.c.chain_id == chain),
        no_row(upper, and_(upper.c.parent == chain, upper.c.chain_id != above)),
    )


def _nearest(chosen: Any) -> CTE:
    """From the top of each image's stack through what lies on it, and then down layer by layer, as far as the first other image.

    It goes as that of `imagestore.sql.trie.derived`, but where that ends, this one goes on with the layer below ``base``, on which it
    leaves out ``base``, where it has been.
    """
    walk = (
        select(
            images.c.id.label("owner"),
            images.c.top.label("base"),
            column_of_layer("parent", images.c.top).label("below"),
            FIRST.label("known"),
            images.c.top.label("chain"),
            cast(null(), LargeBinary).label("parent"),
            FALSE.label("up"),
            next_image(images.c.top, FIRST, images.c.id).label("image"),
            next_layer(images.c.top, FIRST).label("found"),
        )
        .where(chosen, images.c.top.is_not(None))
        .cte("walk", recursive=True)
    )
    onward, back = walk.c.found.is_not(None), walk.c.up
    done = and_(not_(onward), or_(and_(not_(back), walk.c.parent.is_(None)), and_(back, walk.c.parent == walk.c.base)))
    under = column_of_layer("parent", walk.c.parent)

    return walk.union_all(
        select(
            walk.c.owner,
            case((done, walk.c.below), else_=walk.c.base),
            case((done, column_of_layer("parent", walk.c.below)), else_=walk.c.below),
            case((done, walk.c.base), else_=walk.c.known),
            case((onward, walk.c.found), (done, walk.c.below), (back, walk.c.parent), else_=walk.c.chain),
            case(
                (and_(onward, not_(back)), walk.c.chain),
                (done, cast(null(), LargeBinary)),
                (or_(onward, not_(back)), walk.c.parent),
                else_=under,
            ),
            not_(or_(onward, done)),
            case(
                (onward, next_image(walk.c.found, FIRST, walk.c.owner)),
                (done, next_image(walk.c.below, FIRST, walk.c.owner)),
            ),
            case(
                (onward, next_layer(walk.c.found, FIRST)),
                (done, next_layer(walk.c.below, FIRST, walk.c.base)),
                (back, next_layer(under, walk.c.parent, walk.c.known)),
                else_=next_layer(walk.c.parent, walk.c.chain, walk.c.known),
            ),
        ).where(walk.c.image.is_(None), or_(not_(done), walk.c.below.is_not(None)))
    )


def _sizes(chosen: Any) -> Select[Any]:
    """Down the stack of each image, with what the layers above weigh, of which those from ``base`` on are shared; and what is freed."""
    walk = _nearest(chosen)
    nearest = select(walk.c.owner, walk.c.base).where(walk.c.image.is_not(None)).subquery("nearest")
    none = cast(ZERO, Size)
    stack = (
        select(
            images.c.id.label("owner"),
            nearest.c.base,
            column_of_layer("parent", images.c.top).label("parent"),
            func.coalesce(column_of_layer("size", images.c.top), none).label("size"),
            func.coalesce(images.c.top == nearest.c.base, FALSE).label("is_shared"),
            none.label("total"),
            none.label("shared"),
        )
        .select_from(images.outerjoin(nearest, nearest.c.owner == images.c.id))
        .where(chosen)
        .cte("stack", recursive=True)
    )
    total = stack.c.total + stack.c.size
    shared = stack.c.shared + case((stack.c.is_shared, stack.c.size), else_=none)
    stack = stack.union_all(
        select(
            stack.c.owner,
            stack.c.base,
            column_of_layer("parent", stack.c.parent),
            func.coalesce(column_of_layer("size", stack.c.parent), none),
            or_(stack.c.is_shared, func.coalesce(stack.c.parent == stack.c.base, FALSE)),
            total,
            shared,
        ).where(stack.c.parent.is_not(None))
    )
    freed = _freed(chosen)
    total = stack.c.total + stack.c.size
    shared = stack.c.shared + case((stack.c.is_shared, stack.c.size), else_=none)
    return (
        select(stack.c.owner, total, shared, cast(func.coalesce(freed.c.size, ZERO), Size))
        .select_from(stack.outerjoin(freed, freed.c.owner == stack.c.owner))
        .where(stack.c.parent.is_(None))
    )


def _freed(chosen: Any) -> Any:
    """For each image the bytes of the contents that would go with it: each once, though several of the layers may have it.

    Where nothing is kept at all, no stack is walked for it.
    """
    alone = (
        select(
            images.c.id.label("owner"),
            images.c.top.label("chain"),
            column_of_layer("parent", images.c.top).label("parent"),
            column_of_layer("diff_id", images.c.top).label("diff_id"),
        )
        .where(
            chosen,
            images.c.top.is_not(None),
            _any_content.is_not(None),
            _is_its_own(images.c.id, images.c.top, FIRST),
        )
        .cte("alone", recursive=True)
    )
    alone = alone.union_all(
        select(
            alone.c.owner,
            alone.c.parent,
            column_of_layer("parent", alone.c.parent),
            column_of_layer("diff_id", alone.c.parent),
        ).where(alone.c.parent.is_not(None), _is_its_own(alone.c.owner, alone.c.parent, alone.c.chain))
    )
    another = layers.alias("another")
    stays = and_(
        another.c.diff_id == alone.c.diff_id,
        tuple_(alone.c.owner, another.c.chain_id).not_in(select(alone.c.owner, alone.c.chain).correlate(None)),
    )
    kept = select(contents.c.size).where(contents.c.diff_id == alone.c.diff_id).correlate_except(contents)
    goes = (
        select(alone.c.owner, alone.c.diff_id, kept.scalar_subquery().label("size"))
        .where(no_row(another, stays))
        .distinct()
        .subquery("goes")
    )
    return select(goes.c.owner, func.sum(goes.c.size).label("size")).group_by(goes.c.owner).subquery("freed")


SIZES: Final = Read(_sizes(images.c.id == bindparam("image_id", type_=ImageIDType)), few=True)
_SIZES_OF_MANY: Final = _sizes(images.c.id.in_(bindparam("image_ids", expanding=True)))

_TOTALS: Final = select(
    *(
        cast(func.coalesce(select(func.sum(size)).scalar_subquery(), ZERO), Size)
        for size in (layers.c.size, contents.c.size)
    )
)


def sizes(connection: Connection, image_id: ImageID) -> Sizes:
    """What one image weighs. One query: a few probes of indexes for each layer.

    Raises:
        ImageNotFoundError: there is no such image.
    """
    row = SIZES.first(connection, image_id=image_id.raw)
    if row is None:
        raise ImageNotFoundError(image_id)
    return _told(row)


def sizes_of(connection: Connection, image_ids: Sequence[ImageID]) -> dict[ImageID, Sizes]:
    """What each of the images weighs that are there. One query for every ten thousand, else as `sizes`."""
    return {
        row[0]: _told(row)
        for some in pieces(image_ids)
        for row in connection.execute(_SIZES_OF_MANY, {"image_ids": some})
    }


def page(connection: Connection, after: ImageID | None, limit: int) -> dict[ImageID, Sizes]:
    """What each of the next images weighs, in the order of their IDs. Two queries for up to ten thousand, else as `sizes`."""
    image_ids = page_ids(connection, after, limit, heads=False)
    found = sizes_of(connection, image_ids)
    return {image_id: found[image_id] for image_id in image_ids if image_id in found}


def totals(connection: Connection) -> Totals:
    """What all layers weigh. One query, which reads all rows of layers and of contents."""
    row = connection.execute(_TOTALS).one()
    return Totals(row[0], row[1])


def _told(row: Any) -> Sizes:
    _, total, shared, freed = row
    return Sizes(total, shared, total - shared, freed)
