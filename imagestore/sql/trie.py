"""Lineage over the trie of layers: what is built on which stack, whoever recorded it or not.

The trie is walked by recursive queries that are told where to go next by one probe of an index a step: to the next image of a stack, to
the next layer on it, or down. So a walk reads what it passes, stops where its reader stops, and reads the same with and without the
planner's statistics. PostgreSQL and SQLite take the rows of a recursive query in the order in which they are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    CTE,
    BigInteger,
    Connection,
    Integer,
    LargeBinary,
    Select,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    not_,
    null,
    or_,
    select,
)

from imagestore.digest import ChainID, DiffID, Digest, ImageID
from imagestore.errors import ImageNotFoundError, InvalidError
from imagestore.gojson import GoTime
from imagestore.layer import StoredLayer
from imagestore.sql import schema
from imagestore.sql.driver import Read
from imagestore.sql.given import digest_at
from imagestore.sql.probes import FALSE, FIRST, ONE, TRUE, ZERO, column_of_layer, is_there, next_image, next_layer
from imagestore.sql.schema import images, layers
from imagestore.sql.types import ImageIDType

_WIDTH: Final = 32  # bytes of a chain ID

_image_id: Final = bindparam("image_id", type_=ImageIDType)
_after_id: Final = bindparam("after_id", type_=LargeBinary)


class Base(NamedTuple):
    """An image that another is built on.

    Attributes:
        image_id: its ID.
        layers: how many layers it has, which are the lowest of the other's.
        chain_id: of all its layers.
    """

    image_id: ImageID
    layers: int
    chain_id: ChainID


class Derived(NamedTuple):
    """An image that is built on another.

    Attributes:
        image_id: its ID.
        last_used: when it was last touched, in UTC; None where it never was.
        place: where the next page goes on: of the last image of a page alone.
    """

    image_id: ImageID
    last_used: GoTime | None
    place: bytes = b""


def _bases() -> Select[Any]:
    """From the top of the image's stack down to its bottom, and aside to the images that each layer is on top of, while they are wanted.

    Rows are these images, and at last the bottom of the stack, whose distance tells how many layers there are. None is wanted until the
    walk has come to ``:after_chain``.
    """
    limit = bindparam("limit", type_=BigInteger)
    after_chain = bindparam("after_chain", type_=LargeBinary)
    is_first_page = func.length(after_chain) == ZERO

    begins = or_(is_first_page, images.c.top == after_chain)
    walk = (
        select(
            images.c.top.label("chain"),
            column_of_layer("parent", images.c.top).label("parent"),
            ZERO.label("distance"),
            case((begins, limit), else_=literal_column("0", BigInteger)).label("wanted"),
            case((begins, next_image(images.c.top, _after_id, _image_id))).label("image"),
        )
        .where(images.c.id == _image_id)
        .cte("walk", recursive=True)
    )
    at_image = walk.c.image.is_not(None)
    resumes = and_(not_(at_image), walk.c.parent == after_chain)
    chain = case((at_image, walk.c.chain), else_=walk.c.parent)
    wanted = case((resumes, limit), (at_image, walk.c.wanted - ONE), else_=walk.c.wanted)
    after = case((resumes, _after_id), (at_image, walk.c.image), else_=FIRST)
    walk = walk.union_all(
        select(
            chain,
            case((at_image, walk.c.parent), else_=column_of_layer("parent", walk.c.parent)),
            walk.c.distance + case((at_image, ZERO), else_=ONE),
            wanted,
            case((wanted > ZERO, next_image(chain, after, _image_id))),
        ).where(or_(at_image, walk.c.parent.is_not(None)))
    )
    shown = or_(walk.c.image.is_not(None), walk.c.parent.is_(None))
    return select(walk.c.image, walk.c.distance, walk.c.chain, walk.c.wanted).where(shown)


def _derived(*, first_page: bool) -> Select[Any]:
    """The stacks on top of the image's own in the order of their chain IDs, each before those on it, and the images that have them.

    A row of the walk is where it stands. It goes on to ``image``, the next one here; else to ``found``, which is the next layer: on top of
    this one, or beside it where ``up`` is set; else it comes back up to where it came from. ``parent`` is NULL where it began.

    Behind the images come the stacks below the last of them, down to the image's own. SQLite makes the rows of a walk as they are asked
    for only if one place asks.
    """
    own = images.alias("own")
    root = select(own.c.top).where(own.c.id == _image_id).correlate_except(own).scalar_subquery()
    walk = (_start() if first_page else _start_after()).cte("walk", recursive=True)
    at_image, onward, back = walk.c.image.is_not(None), walk.c.found.is_not(None), walk.c.up
    below = column_of_layer("parent", walk.c.parent)
    walk = walk.union_all(
        select(
            walk.c.step + ONE,
            case((at_image, walk.c.chain), (onward, walk.c.found), (back, walk.c.parent), else_=walk.c.chain),
            case(
                (at_image, walk.c.parent),
                (and_(onward, not_(back)), walk.c.chain),
                (or_(onward, not_(back)), walk.c.parent),
                else_=below,
            ),
            and_(not_(at_image), not_(onward)),
            case(
                (at_image, next_image(walk.c.chain, walk.c.image)),
                (onward, next_image(walk.c.found, FIRST)),
            ),
            case(
                (at_image, walk.c.found),
                (onward, next_layer(walk.c.found, FIRST)),
                (back, next_layer(below, walk.c.parent)),
                else_=next_layer(walk.c.parent, walk.c.chain),
            ),
        ).where(or_(at_image, onward, and_(not_(back), walk.c.parent.is_not(None)), and_(back, walk.c.parent != root)))
    )
    page = (
        select(walk.c.step, walk.c.image, walk.c.chain)
        .where(walk.c.image.is_not(None), walk.c.image != _image_id)
        .limit(bindparam("limit"))
        .subquery("page")
    )
    following = func.lead(page.c.step).over(order_by=page.c.step)
    found = select(page.c.step, page.c.image, page.c.chain, following.is_(None).label("last")).cte(
        "found", recursive=True
    )
    found = found.union_all(
        select(found.c.step + ONE, cast(null(), LargeBinary), column_of_layer("parent", found.c.chain), TRUE).where(
            found.c.last, found.c.chain != root
        )
    )
    used = images.alias("used")
    last_used = select(used.c.last_used).where(used.c.id == found.c.image).correlate_except(used).scalar_subquery()
    return select(found.c.image, last_used, found.c.chain).order_by(found.c.step)


def _start() -> Select[Any]:
    return select(
        ONE.label("step"),
        images.c.top.label("chain"),
        cast(null(), LargeBinary).label("parent"),
        FALSE.label("up"),
        next_image(images.c.top, FIRST).label("image"),
        next_layer(images.c.top, FIRST).label("found"),
    ).where(images.c.id == _image_id, images.c.top.is_not(None))


def _start_after() -> Select[Any]:
    """Where the page before has ended, given as the stacks from there down to the image's own; of those that are gone, beside them."""
    count = bindparam("count", type_=Integer)

    def given(number: Any) -> Any:
        return digest_at(number, "places")

    def stands(number: Any) -> Any:
        return is_there(layers.c.chain_id, given(number))

    gone = select(ZERO.label("number"), stands(ZERO).label("stands")).cte("gone", recursive=True)
    following = gone.c.number + ONE
    gone = gone.union_all(select(following, stands(following)).where(not_(gone.c.stands), following < count))
    chain = given(gone.c.number)
    start = and_(images.c.id == _image_id, images.c.top == given(count - ONE))
    rows = select(
        ONE.label("step"),
        chain.label("chain"),
        case((chain != images.c.top, column_of_layer("parent", chain))).label("parent"),
        FALSE.label("up"),
        case((gone.c.number == ZERO, next_image(chain, _after_id))).label("image"),
        next_layer(chain, case((gone.c.number == ZERO, FIRST), else_=given(gone.c.number - ONE))).label("found"),
    )
    return rows.join_from(gone, images, start).where(gone.c.stands)


def _stack(chosen: Any) -> CTE:
    """Each layer of the stacks of images, with its distance from the top."""
    stack = (
        select(images.c.top.label("chain"), ZERO.label("distance"))
        .where(chosen, images.c.top.is_not(None))
        .cte("stack", recursive=True)
    )
    below = column_of_layer("parent", stack.c.chain)
    return stack.union_all(select(below, stack.c.distance + ONE).where(below.is_not(None)))


def _told(found: Any) -> Select[Any]:
    """What the rows of these layers have, the lowest first."""
    contents, chain = schema.contents, found.c.chain
    kept = (
        select(contents.c.size)
        .where(contents.c.diff_id == column_of_layer("diff_id", chain))
        .correlate_except(contents)
    )
    columns = (column_of_layer(name, chain) for name in ("diff_id", "parent", "size"))
    return select(chain, *columns, kept.scalar_subquery()).order_by(found.c.distance.desc())


def _shared() -> Select[Any]:
    """The layers that two images both have; ``:count`` is 1 where they are the same image."""
    stack = _stack(images.c.id.in_([_image_id, bindparam("other_id", type_=ImageIDType)]))
    both = (
        select(stack.c.chain, func.max(stack.c.distance).label("distance"))
        .group_by(stack.c.chain)
        .having(func.count() == bindparam("count", type_=Integer))
        .subquery("both")
    )
    return _told(both)


BASES: Final = Read(_bases())
DERIVED: Final = Read(_derived(first_page=True))
DERIVED_AFTER: Final = Read(_derived(first_page=False))
SHARED: Final = Read(_shared())
STACK: Final = Read(_told(_stack(images.c.id == _image_id)))
TOP: Final = Read(select(images.c.top).where(images.c.id == _image_id), few=True)


def bases(connection: Connection, image_id: ImageID, after: Base | None, limit: int) -> list[Base]:
    """The next images whose layers are the lowest of this one's, or all of them: the longest stack first, then by ID.

    One query; costs what it returns, and the number of the image's layers.

    Raises:
        ImageNotFoundError: there is no such image.
        InvalidError: ``after`` is no base of this image.
    """
    place = {"after_chain": b"", "after_id": b""}
    if after is not None:
        place = {"after_chain": Digest(after.chain_id).raw, "after_id": after.image_id.raw}
    found = BASES.all(connection, image_id=image_id.raw, limit=limit, **place)
    if not found:
        raise ImageNotFoundError(image_id)
    *others, (_, lowest, _, wanted) = found
    if after is not None and not others and not wanted:
        raise InvalidError(f"a page of the bases of {image_id} cannot follow {after.image_id}, which is none of them")
    return [Base(ImageID.from_raw(raw), lowest + 1 - above, ChainID.from_raw(chain)) for raw, above, chain, _ in others]


def derived(connection: Connection, image_id: ImageID, after: Derived | None, limit: int) -> list[Derived]:
    """The next images that have the layers of this one as their lowest, or all of them: in the order of the trie, then by ID.

    One query, which reads the layers that it passes: those of the images that it returns. An image or a layer that comes or goes between
    two pages may or may not be in them; no other is left out or comes twice.

    Raises:
        ImageNotFoundError: there is no such image.
        InvalidError: ``after`` is not the last of a page of this image's.
    """
    if after is None:
        found = DERIVED.all(connection, image_id=image_id.raw, limit=limit)
    else:
        found = DERIVED_AFTER.all(
            connection,
            image_id=image_id.raw,
            limit=limit,
            after_id=after.image_id.raw,
            places=after.place,
            count=len(after.place) // _WIDTH,
        )
    if not found:
        _check_place(connection, image_id, after)
    page = [Derived(ImageID.from_raw(raw), GoTime.parse(used) if used else None) for raw, used, _ in found if raw]
    if page:
        page[-1] = page[-1]._replace(place=b"".join(chain for _, _, chain in found[len(page) - 1 :]))
    return page


def shared_layers(connection: Connection, image_id: ImageID, other: ImageID) -> list[StoredLayer]:
    """The layers that both images have, the lowest first. One query, of the number of their layers.

    Raises:
        ImageNotFoundError: there is no such image.
    """
    found = SHARED.all(connection, image_id=image_id.raw, other_id=other.raw, count=len({image_id, other}))
    return _layers(connection, found, image_id, other)


def stack(connection: Connection, image_id: ImageID) -> list[StoredLayer]:
    """The layers of an image, the lowest first. One query, of their number.

    Raises:
        ImageNotFoundError: there is no such image.
    """
    return _layers(connection, STACK.all(connection, image_id=image_id.raw), image_id)


def _layers(connection: Connection, found: Sequence[Any], *of: ImageID) -> list[StoredLayer]:
    if not found:
        for each in of:
            if TOP.first(connection, image_id=each.raw) is None:
                raise ImageNotFoundError(each)
    return [
        StoredLayer(ChainID.from_raw(chain), DiffID.from_raw(diff_id), parent and ChainID.from_raw(parent), size, kept)
        for chain, diff_id, parent, size, kept in found
    ]


def _check_place(connection: Connection, image_id: ImageID, after: Derived | None) -> None:
    row = TOP.first(connection, image_id=image_id.raw)
    if row is None:
        raise ImageNotFoundError(image_id)
    if after is not None and (not after.place or len(after.place) % _WIDTH or after.place[-_WIDTH:] != row[0]):
        raise InvalidError(
            f"a page of what is derived from {image_id} cannot follow {after.image_id}, which is not the last of one"
        )
