"""Layers: the trie whose paths are the stacks of layers that images have, and the content that is kept of each.

A layer stays while an image has it at the top, a layer lies on it, or a lease holds it: nothing is counted. On PostgreSQL rows are
locked from the top of a stack down, and contents after layers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import starmap, takewhile
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    CTE,
    Connection,
    Integer,
    LargeBinary,
    Select,
    and_,
    bindparam,
    cast,
    delete,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from imagestore.digest import ChainID, DiffID, Digest
from imagestore.errors import LayerNotFoundError
from imagestore.layer import LayerMetadata, Link, StoredLayer
from imagestore.sql import contents, schema
from imagestore.sql.driver import Read, Write
from imagestore.sql.driver_errors import is_foreign_key_violation
from imagestore.sql.given import digest_at, joined, places
from imagestore.sql.probes import no_row
from imagestore.sql.schema import images, layers, lease_layers
from imagestore.sql.types import ChainIDType, Size

_DEEPEST: Final = 1_000_000  # no stack has as many layers

_chain: Final = bindparam("chain", type_=ChainIDType)


def _existing() -> Select[Any]:
    """Those of the ``:count`` layers ``:chains`` that are there."""
    given = places()
    is_given = layers.c.chain_id == digest_at(given.c.place, "chains")
    return select(layers.c.chain_id).join_from(given, layers, is_given).order_by(given.c.place)


def is_alone(chain: Any, above: Any = None) -> Any:
    """Whether nothing holds a layer: no image, no lease, and no layer but the one above that is about to go."""
    upper = layers.alias("upper")
    child = upper.c.parent == chain if above is None else and_(upper.c.parent == chain, upper.c.chain_id != above)
    return and_(
        no_row(images, images.c.top == chain),
        no_row(lease_layers, lease_layers.c.chain_id == chain),
        no_row(upper, child),
    )


def _walk_alone() -> CTE:
    """The stack from ``:chain`` down, as far as nothing else holds it, and the first layer that something does."""
    walk = (
        select(
            layers.c.chain_id,
            layers.c.parent,
            literal_column("0").label("depth"),
            is_alone(layers.c.chain_id).label("alone"),
        )
        .where(layers.c.chain_id == _chain)
        .cte("walk", recursive=True)
    )
    lower = layers.alias("lower")
    return walk.union_all(
        select(
            lower.c.chain_id,
            lower.c.parent,
            walk.c.depth + literal_column("1"),
            is_alone(lower.c.chain_id, walk.c.chain_id),
        )
        .select_from(walk)
        .join(lower, lower.c.chain_id == walk.c.parent)
        .where(walk.c.alone)
    )


def _walk_down(start: Any) -> CTE:
    """All layers of the stacks that these are on top of, each once."""
    stack = select(layers.c.chain_id, layers.c.parent, layers.c.size).where(start).cte("stack", recursive=True)
    lower = layers.alias("lower")
    return stack.union(
        select(lower.c.chain_id, lower.c.parent, lower.c.size).join_from(
            stack, lower, lower.c.chain_id == stack.c.parent
        )
    )


_rows: Final = select(
    layers.c.chain_id, layers.c.diff_id, layers.c.parent, layers.c.size, schema.contents.c.size
).outerjoin(schema.contents, schema.contents.c.diff_id == layers.c.diff_id)
SELECT: Final = _rows.where(layers.c.chain_id == _chain)
PAGE: Final = (
    _rows.where(layers.c.chain_id > bindparam("after", type_=LargeBinary))
    .order_by(layers.c.chain_id)
    .limit(bindparam("limit"))
)
_STACK: Final = _walk_down(layers.c.chain_id == _chain)
_STACKS: Final = _walk_down(layers.c.chain_id.in_(_existing()))
_SIZE: Final = Read(
    select(cast(func.coalesce(func.sum(_STACK.c.size), literal_column("0")), Size)),  # a sum is NUMERIC in PostgreSQL
    few=True,
)
_WITHOUT_CONTENT: Final = Read(
    select(layers.c.chain_id)
    .join_from(_STACKS, layers, layers.c.chain_id == _STACKS.c.chain_id)
    .outerjoin(schema.contents, schema.contents.c.diff_id == layers.c.diff_id)
    .where(schema.contents.c.diff_id.is_(None))
    .limit(literal_column("1")),
    few=True,
)

# Both meet _HOLD_ALONE and _SKIP_HELD: a layer that is relied on is there until this transaction ends, and with it those below, whom
# its foreign key holds. Without them, in the words of tests/concurrency/test_locks.py: "create and free", "register and free"; "load and
# free", "create many and free".
_HOLD_HIGHEST: Final = Write(
    _existing().limit(literal_column("1")).with_for_update(read=True, key_share=True, of=layers), few=True
)
_HOLD_EXISTING: Final = Write(_existing().with_for_update(read=True, key_share=True, of=layers))
_INSERT: Final = Write(insert(layers).on_conflict_do_nothing(), few=True)
SET_SIZE: Final = (
    update(layers)
    .where(layers.c.chain_id == _chain, layers.c.size.is_(None))
    .values(size=bindparam("new_size", type_=Size))
)

_WALK: Final = _walk_alone()
# Meets _HOLD_HIGHEST and what a foreign key locks: the DELETE after it sees who came to rely on a layer meanwhile. Without it: "free
# and create".
_HOLD_ALONE: Final = Write(
    select(layers.c.chain_id)
    .join_from(_WALK, layers, layers.c.chain_id == _WALK.c.chain_id)
    .order_by(_WALK.c.depth)
    .with_for_update(of=layers),
    few=True,
)
_DELETE_ALONE: Final = Write(
    delete(layers)
    .where(
        layers.c.chain_id.in_(
            select(_WALK.c.chain_id).where(_WALK.c.alone, _WALK.c.depth < bindparam("held", type_=Integer))
        )
    )
    .returning(layers.c.chain_id, layers.c.diff_id, layers.c.parent, layers.c.size),
    few=True,
)
_WITH_CONTENT: Final = Read(
    _existing()
    .join(schema.contents, schema.contents.c.diff_id == layers.c.diff_id)
    .add_columns(schema.contents.c.name, schema.contents.c.size)
)
_INSERT_LEASED: Final = insert(lease_layers).on_conflict_do_nothing()


class Freed(NamedTuple):
    """What a delete has freed: the layers, from the top down, and the names of contents, whose bytes go after the commit."""

    layers: list[LayerMetadata]
    names: list[str]


NOTHING: Final = Freed([], [])


def hold(connection: Connection, links: Sequence[Link]) -> ChainID | None:
    """Make sure that a stack of layers is there, and stays to the end of the transaction; what is missing becomes known.

    One statement, two where layers are new, whatever their number.

    Returns:
        `top_of` the stack.
    """
    missing = links
    while missing:
        row = _HOLD_HIGHEST.first(connection, **_chains(reversed(links)))
        highest = None if row is None else ChainID.from_raw(row[0])
        place = next((place for place, link in enumerate(links) if link.chain_id == highest), -1)
        missing = links[place + 1 :]
        if missing and _insert(connection, missing) == len(missing):
            break
    return top_of(links)


def hold_many(connection: Connection, stacks: Iterable[Sequence[Link]]) -> None:
    """`hold` for many stacks, in as many statements as for one and the thousands of layers that are new."""
    depths = {link: depth for links in stacks for depth, link in enumerate(links)}
    missing = sorted(depths, key=lambda link: (depths[link], link.chain_id))
    while missing:
        there = _hold_existing(connection, reversed(missing))
        missing = [link for link in missing if link.chain_id not in there]
        if missing and _insert(connection, missing) == len(missing):
            break


def require(connection: Connection, links: Sequence[Link]) -> ChainID | None:
    """Make sure that a stack of layers is there with its content, and stays to the end of the transaction. Two statements.

    Raises:
        LayerNotFoundError: a layer is not there, or is but known.
    """
    require_many(connection, [links])
    return top_of(links)


def require_many(connection: Connection, stacks: Iterable[Sequence[Link]]) -> None:
    """`require` for many stacks, in two statements.

    Raises:
        LayerNotFoundError: a layer is not there, or is but known.
    """
    tops = sorted(((len(links), links[-1]) for links in stacks if links), reverse=True)
    if not tops:
        return
    highest = list(dict.fromkeys(top for _, top in tops))
    there = _hold_existing(connection, highest)
    for top in highest:
        if top.chain_id not in there:
            raise LayerNotFoundError(top.chain_id)
    lacking = _WITHOUT_CONTENT.first(connection, **_chains(highest))
    if lacking is not None:
        raise LayerNotFoundError(ChainID.from_raw(lacking[0]))


def top_of(links: Sequence[Link]) -> ChainID | None:
    """The topmost chain of a stack, for ``images.top``; None for a stack that is in no trie."""
    return links[-1].chain_id if links else None


def free(connection: Connection, top: ChainID | None) -> Freed:
    """Remove a stack from the top down, as far as no image, no lease and no other layer holds it, and content that no layer has any more.

    Five statements, three on SQLite, whatever the number of layers; two more each time that what held one has gone meanwhile.
    """
    freed: list[StoredLayer] = []
    while top is not None:
        held = _DEEPEST
        if connection.dialect.name == "postgresql":
            held = len(_HOLD_ALONE.all(connection, chain=top.raw))
        rows = _DELETE_ALONE.all(connection, chain=top.raw, held=held)
        removed = {layer.chain_id: layer for layer in starmap(_layer_of, rows)}
        removed_down = []
        while top in removed:
            removed_down.append(removed[top])
            top = removed[top].parent
        freed += removed_down
        if len(removed_down) < held:
            break  # what stays was held, and something else holds it
    if not freed:
        return NOTHING
    return Freed(_told(connection, freed, top), contents.free(connection, [layer.diff_id for layer in freed]))


def register(connection: Connection, link: Link, size: int | None, lease: str) -> None:
    """Add a layer to the trie, held by a lease that the caller has made sure of.

    Args:
        link: its place; the parent must be there.
        size: bytes of its files, None where nobody has told.
        lease: the lease's ID.

    Raises:
        LayerNotFoundError: there is no such parent.
    """
    try:
        # The parent is locked by the foreign key alone, after the layer: as everywhere, from the top down.
        while not _insert(connection, [link], size):
            if _hold_one(connection, link.chain_id):
                connection.execute(SET_SIZE, {"chain": link.chain_id, "new_size": size})
                break
    except IntegrityError as error:
        if link.parent is not None and is_foreign_key_violation(error):
            raise LayerNotFoundError(link.parent) from error
        raise
    connection.execute(_INSERT_LEASED, {"lease": lease, "chain_id": link.chain_id})


def lease_many(connection: Connection, chains: Sequence[ChainID], lease: str) -> list[ChainID]:
    """Let a lease, which the caller has made sure of, hold those of the layers that are there, and with them the layers below.

    Two statements, whatever their number; returns which are there.
    """
    if not chains:
        return []
    there = [
        ChainID.from_raw(raw) for (raw,) in _HOLD_EXISTING.all(connection, chains=joined(chains), count=len(chains))
    ]
    if there:
        connection.execute(_INSERT_LEASED, [{"lease": lease, "chain_id": chain} for chain in there])
    return there


def lease_stack(connection: Connection, links: Sequence[Link], lease: str) -> list[tuple[str, int]]:
    """Let a lease, which the caller has made sure of, hold a stack as far up as it is there with content; what `find_content` says of it.

    A few statements, whatever the number of layers.
    """
    while there := find_content(connection, links):
        links = links[: len(there)]
        if lease_many(connection, [links[-1].chain_id], lease):
            there = find_content(connection, links)  # again: some may have gone before they were held
            if len(there) == len(links):
                return there
    return []


def find_content(connection: Connection, links: Sequence[Link]) -> list[tuple[str, int]]:
    """The names and sizes of the content of a stack, from the lowest layer as far up as all are there with content. One statement."""
    if not links:
        return []
    found = {raw: (name, size) for raw, name, size in _WITH_CONTENT.all(connection, **_chains(links))}
    return [found[raw] for raw in takewhile(found.__contains__, (link.chain_id.raw for link in links))]


def get(connection: Connection, chain_id: ChainID) -> StoredLayer:
    """One layer. One read by key.

    Raises:
        LayerNotFoundError: there is none.
    """
    row = connection.execute(SELECT, {"chain": chain_id}).first()
    if row is None:
        raise LayerNotFoundError(chain_id)
    return StoredLayer(*row)


def page(connection: Connection, after: ChainID | None, limit: int) -> list[StoredLayer]:
    """The next layers in the order of their chain IDs. Costs what it returns."""
    start = Digest(after).raw if after else b""
    return [StoredLayer(*row) for row in connection.execute(PAGE, {"after": start, "limit": limit})]


def _insert(connection: Connection, new: Sequence[Link], size: int | None = None) -> int:
    # Row by row: as one statement, SQLite takes three times as long, to be able to take all of it back.
    return _INSERT.run_many(
        connection,
        [
            {"chain_id": chain.raw, "diff_id": diff_id.raw, "parent": parent and parent.raw, "size": size}
            for chain, diff_id, parent in new
        ],
    )


def _chains(links: Iterable[Link]) -> dict[str, Any]:
    chains = [link.chain_id for link in links]
    return {"chains": joined(chains), "count": len(chains)}


def _hold_one(connection: Connection, chain_id: ChainID) -> bool:
    return _HOLD_HIGHEST.first(connection, chains=chain_id.raw, count=1) is not None


def _hold_existing(connection: Connection, links: Iterable[Link]) -> set[ChainID]:
    return {ChainID.from_raw(raw) for (raw,) in _HOLD_EXISTING.all(connection, **_chains(links))}


def _told(connection: Connection, freed: Sequence[StoredLayer], below: ChainID | None) -> list[LayerMetadata]:
    size = 0 if below is None else _SIZE.first(connection, chain=below.raw)[0]
    told = []
    for layer in reversed(freed):
        size += layer.size or 0
        told.append(LayerMetadata(layer.chain_id, layer.diff_id, size, layer.size or 0))
    return told[::-1]


def _layer_of(chain: bytes, diff_id: bytes, parent: bytes | None, size: int | None) -> StoredLayer:
    below = None if parent is None else ChainID.from_raw(parent)
    return StoredLayer(ChainID.from_raw(chain), DiffID.from_raw(diff_id), below, size)
