"""Garbage: layers that no image and no lease reaches, and contents that no layer has. What `imagestore.collect` removes, in batches.

Nobody waits for a batch longer than it takes, and it waits for nobody: rows that another transaction has locked are left for the next
time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Integer, LargeBinary, bindparam, delete, func, select

from imagestore.digest import ChainID, DiffID, Digest
from imagestore.sql import leases
from imagestore.sql.engine import pieces
from imagestore.sql.layers import is_alone
from imagestore.sql.probes import ONE, ZERO, no_row
from imagestore.sql.schema import contents, images, layers, lease_layers
from imagestore.sql.schema import leases as lease_rows
from imagestore.sql.types import ChainIDType, Size

_after: Final = bindparam("after", type_=LargeBinary)
_limit: Final = bindparam("limit", type_=Integer)
_chains: Final = bindparam("chains", type_=ChainIDType, expanding=True)

_ALONE: Final = (
    select(layers.c.chain_id)
    .where(layers.c.chain_id > _after, is_alone(layers.c.chain_id))
    .order_by(layers.c.chain_id)
    .limit(_limit)
)
# Meets what holds a layer, as `imagestore.sql.layers` does; but who is before us, a create, a register or a delete, is left alone.
# Without it, in the words of tests/concurrency/test_locks.py: "collect and create".
_SKIP_HELD: Final = (
    select(layers.c.chain_id)
    .where(layers.c.chain_id.in_(_chains))
    .order_by(layers.c.chain_id)
    .with_for_update(skip_locked=True)
)
_DELETE: Final = (
    delete(layers).where(layers.c.chain_id.in_(_chains), is_alone(layers.c.chain_id)).returning(layers.c.parent)
)
_has_no_layer: Final = no_row(layers, layers.c.diff_id == contents.c.diff_id)
_UNUSED: Final = (
    select(contents.c.diff_id)
    .where(contents.c.diff_id > _after, _has_no_layer)
    .order_by(contents.c.diff_id)
    .limit(_limit)
)
_in: Final = contents.c.diff_id.in_(bindparam("diff_ids", expanding=True))
# Meets `imagestore.sql.contents` of a register. Without it: "content that is relied on while it is collected is lost".
_SKIP_HELD_CONTENTS: Final = (
    select(contents.c.diff_id).where(_in).order_by(contents.c.diff_id).with_for_update(skip_locked=True)
)
_DELETE_CONTENTS: Final = delete(contents).where(_in, _has_no_layer).returning(contents.c.size)
_LEASES: Final = select(lease_rows.c.id).where(lease_rows.c.id.in_(bindparam("leases", expanding=True)))
_LEASES_ALIVE: Final = _LEASES.where(leases.is_alive)
_NAMED: Final = select(contents.c.name).where(contents.c.name.in_(bindparam("names", expanding=True)))


def _unreached() -> Any:
    held = (
        select(lease_layers.c.chain_id).join(lease_rows, lease_rows.c.id == lease_layers.c.lease).where(leases.is_alive)
    )
    starts = select(images.c.top.label("chain_id")).where(images.c.top.is_not(None)).union(held).subquery("starts")
    reached = select(starts.c.chain_id).cte("reached", recursive=True)
    below = select(layers.c.parent).join_from(reached, layers, layers.c.chain_id == reached.c.chain_id)
    reached = reached.union(below.where(layers.c.parent.is_not(None)))
    return ~select(ONE).select_from(reached).where(reached.c.chain_id == layers.c.chain_id).exists()


_is_unreached: Final = _unreached()
_COUNT: Final = select(func.count()).select_from(layers).where(_is_unreached)

_SIZE: Final = select(func.count(), func.coalesce(func.sum(contents.c.size), ZERO, type_=Size)).where(
    contents.c.diff_id.not_in(select(layers.c.diff_id).where(~_is_unreached))
)


def find_alone(connection: Connection, after: ChainID | None, limit: int) -> list[ChainID]:
    """The next layers, in the order of their chain IDs, that nothing holds. Reads as many rows as lie between, which are others'."""
    start = Digest(after).raw if after else b""
    return list(connection.execute(_ALONE, {"after": start, "limit": limit}).scalars())


def free(connection: Connection, chains: Sequence[ChainID]) -> tuple[int, list[ChainID]]:
    """Remove those of the layers that nothing holds, and that nobody is just using. Two statements.

    Returns:
        How many were removed, and the layers that were below them.
    """
    if connection.dialect.name == "postgresql":
        chains = connection.execute(_SKIP_HELD, {"chains": chains}).scalars().all()
    removed = connection.execute(_DELETE, {"chains": chains}).scalars().all() if chains else []
    return len(removed), sorted({parent for parent in removed if parent is not None})


def find_unused(connection: Connection, after: DiffID | None, limit: int) -> list[DiffID]:
    """The next contents, in the order of their diff IDs, that no layer has. Reads as many rows as lie between."""
    start = Digest(after).raw if after else b""
    return list(connection.execute(_UNUSED, {"after": start, "limit": limit}).scalars())


def free_contents(connection: Connection, diff_ids: Sequence[DiffID]) -> list[int]:
    """Remove those of the contents that no layer has, and that nobody is just using; their sizes. Two statements."""
    if connection.dialect.name == "postgresql":
        diff_ids = connection.execute(_SKIP_HELD_CONTENTS, {"diff_ids": diff_ids}).scalars().all()
    return list(connection.execute(_DELETE_CONTENTS, {"diff_ids": diff_ids}).scalars()) if diff_ids else []


def find_leases(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Those of the leases that are there, expired or not: who registers under one holds its row until the commit."""
    return {lease for some in pieces(ids) for lease in connection.execute(_LEASES, {"leases": some}).scalars()}


def find_leases_alive(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Those of the leases that have not expired."""
    return {lease for some in pieces(ids) for lease in connection.execute(_LEASES_ALIVE, {"leases": some}).scalars()}


def find_named(connection: Connection, names: Sequence[str]) -> set[str]:
    """Those of the names under which a content is kept; one query for every ten thousand."""
    return {name for some in pieces(names) for name in connection.execute(_NAMED, {"names": some}).scalars()}


def count(connection: Connection) -> tuple[int, int, int]:
    """How many layers and contents are garbage, and the bytes of the latter. Reads all layers, and all that reaches them."""
    found, size = connection.execute(_SIZE).one()
    return connection.execute(_COUNT).scalar_one(), found, int(size)  # a sum is NUMERIC in PostgreSQL
