"""Contents: under which name the tar of a layer is kept, for all stacks that have the layer; and which place it is that keeps them.

Nothing but the rows of layers holds a content, and no foreign key protects it: who relies on a row locks it, and who frees it looks
again once it has locked it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, and_, bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from imagestore.digest import ChainID, DiffID, Digest
from imagestore.errors import LayerNotFoundError
from imagestore.sql.driver import Read, Write
from imagestore.sql.engine import pieces
from imagestore.sql.given import digest_at, joined, places
from imagestore.sql.probes import ONE, no_row
from imagestore.sql.schema import content_location, contents, layers
from imagestore.sql.types import ChainIDType, DiffIDType

OF_LAYER: Final = Read(
    select(contents.c.name, contents.c.size, contents.c.diff_id)
    .join(layers, layers.c.diff_id == contents.c.diff_id)
    .where(layers.c.chain_id == bindparam("chain", type_=ChainIDType)),
    few=True,
)
_ANY_CHAIN: Final = (
    select(layers.c.chain_id).where(layers.c.diff_id == bindparam("diff_id", type_=DiffIDType)).limit(ONE)
)
_OF_MANY: Final = select(contents.c.diff_id, contents.c.name, contents.c.size).where(
    contents.c.diff_id.in_(bindparam("diff_ids", expanding=True))
)
_given: Final = places()
_unused: Final = and_(
    contents.c.diff_id.in_(select(digest_at(_given.c.place, "diff_ids"))),
    no_row(layers, layers.c.diff_id == contents.c.diff_id),
)
# Meets _HOLD of a register, which relies on the row. Without it, in the words of tests/concurrency/test_locks.py: "content that is relied
# on while it is freed is lost".
_HOLD_UNUSED: Final = Write(
    select(contents.c.diff_id).where(_unused).order_by(contents.c.diff_id).with_for_update(of=contents)
)
_DELETE_UNUSED: Final = Write(delete(contents).where(_unused).returning(contents.c.name))
_INSERT: Final = insert(contents).on_conflict_do_nothing().returning(contents.c.name)
# Meets _HOLD_UNUSED, and _SKIP_HELD_CONTENTS of a collect. Without it: "content that is freed while it is relied on is lost".
_HOLD: Final = (
    select(contents.c.name)
    .where(contents.c.diff_id == bindparam("diff_id", type_=DiffIDType))
    .with_for_update(read=True, key_share=True)
)
_LOCATION: Final = select(content_location.c.identity)
_BEGIN_LOCATION: Final = insert(content_location).on_conflict_do_nothing()
_SET_LOCATION: Final = (
    update(content_location)
    .where(content_location.c.identity == bindparam("owner"))
    .values(identity=bindparam("new_identity"))
)
_MOVE: Final = (
    update(contents)
    .where(contents.c.diff_id == bindparam("content", type_=DiffIDType), contents.c.name == bindparam("old_name"))
    .values(name=bindparam("new_name"))
)
_ANY: Final = select(contents.c.diff_id).limit(ONE)


def keep(connection: Connection, diff_id: DiffID, name: str, size: int) -> str:
    """Note under which name a layer's tar has been written; returns the name under which it is found.

    That is another one where the same tar is kept already. The caller has added a layer of this diff ID in the same transaction.
    """
    row = {"diff_id": diff_id, "name": name, "size": size}
    while True:
        inserted: str | None = connection.execute(_INSERT, row).scalar()
        if inserted is not None:
            return inserted
        standing: str | None = connection.execute(_HOLD, {"diff_id": diff_id}).scalar()
        if standing is not None:
            return standing


def free(connection: Connection, diff_ids: Sequence[DiffID]) -> list[str]:
    """Remove those of the contents that no layer has any more, and return their names, whose bytes go after the commit.

    Of two transactions that at once remove the last two layers with a content, neither may see that: it is left to `imagestore.collect`.
    """
    given = {"diff_ids": joined(diff_ids), "count": len(diff_ids)}
    if connection.dialect.name == "postgresql" and not _HOLD_UNUSED.all(connection, **given):
        return []
    return [name for (name,) in _DELETE_UNUSED.all(connection, **given)]


def find(connection: Connection, chain_id: ChainID) -> tuple[str, int, DiffID]:
    """The name, the size and the diff ID of what is kept of a layer. One read by key.

    Raises:
        LayerNotFoundError: there is no such layer, or no content of it.
    """
    row = OF_LAYER.first(connection, chain=Digest(chain_id).raw)
    if row is None:
        raise LayerNotFoundError(chain_id)
    name, size, raw = row
    return name, size, DiffID.from_raw(raw)


def any_chain(connection: Connection, diff_id: DiffID) -> ChainID | None:
    """A layer with this tar, in whichever stack it is. One read by key."""
    chain: ChainID | None = connection.scalar(_ANY_CHAIN, {"diff_id": diff_id})
    return chain


def find_many(connection: Connection, diff_ids: Sequence[DiffID]) -> dict[DiffID, tuple[str, int]]:
    """The name and the size of what is kept of those of the layers that have content. One query for every ten thousand."""
    return {
        diff_id: (name, size)
        for some in pieces(diff_ids)
        for diff_id, name, size in connection.execute(_OF_MANY, {"diff_ids": some})
    }


def move(connection: Connection, diff_id: DiffID, name: str, to: str) -> bool:
    """Note that a content is found under another name, if it was under the first; returns whether it was. One statement."""
    moved = connection.execute(_MOVE, {"content": diff_id, "old_name": name, "new_name": to})
    return moved.rowcount > 0


def has_any(connection: Connection) -> bool:
    """Whether any content is kept. One read."""
    return connection.execute(_ANY).first() is not None


def find_location(connection: Connection) -> str | None:
    """What is noted of the place that has the contents; None before anything is."""
    identity: str | None = connection.execute(_LOCATION).scalar()
    return identity


def begin_location(connection: Connection, owner: str) -> str:
    """Note who is about to claim a place, if nothing is noted; returns what is."""
    connection.execute(_BEGIN_LOCATION, {"slot": 1, "identity": owner})
    return str(connection.execute(_LOCATION).scalar_one())


def set_location(connection: Connection, owner: str, identity: str) -> str:
    """Note the identity of the place that was claimed, if it is the first; returns which is noted."""
    connection.execute(_SET_LOCATION, {"owner": owner, "new_identity": identity})
    return str(connection.execute(_LOCATION).scalar_one())
