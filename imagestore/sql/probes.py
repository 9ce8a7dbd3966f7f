"""Probes: what one read of an index tells a statement, as an expression, whatever the planner knows of the tables."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Boolean, FromClause, Integer, LargeBinary, Select, bindparam, func, literal_column, select

from imagestore.sql.schema import images, layers

ZERO: Final = literal_column("0", Integer)
ONE: Final = literal_column("1", Integer)
FALSE: Final = literal_column("FALSE", Boolean)
TRUE: Final = literal_column("TRUE", Boolean)
FIRST: Final = bindparam("first", b"", type_=LargeBinary)
"""What is before every digest."""


def is_there(key: Any, value: Any) -> Any:
    """Whether a table has a row of this key."""
    return select(ONE).where(key == value).limit(ONE).scalar_subquery().is_not(None)


def no_row(table: FromClause, condition: Any) -> Any:
    """Whether no row is like that. As NOT EXISTS, PostgreSQL may read all of the index instead."""
    found: Select[Any] = select(FALSE).select_from(table).where(condition).limit(ONE)
    return func.coalesce(found.scalar_subquery(), TRUE)


def column_of_layer(name: str, chain: Any) -> Any:
    """What the row of a layer has in the column of this name, or NULL."""
    layer = layers.alias("lower")
    return select(layer.c[name]).where(layer.c.chain_id == chain).correlate_except(layer).scalar_subquery()


def next_layer(parent: Any, after: Any, but: Any = FIRST) -> Any:
    """The first layer on a stack whose chain ID is above another, or NULL; but for one."""
    upper = layers.alias("upper")
    chosen = select(upper.c.chain_id).where(upper.c.parent == parent, upper.c.chain_id > after, upper.c.chain_id != but)
    return chosen.order_by(upper.c.chain_id).limit(ONE).correlate_except(upper).scalar_subquery()


def next_image(chain: Any, after: Any, but: Any = FIRST) -> Any:
    """The first image with these layers and no more whose ID is above another, or NULL; but for one."""
    found = images.alias("found")
    chosen = select(found.c.id).where(found.c.top == chain, found.c.id > after, found.c.id != but)
    return chosen.order_by(found.c.id).limit(ONE).correlate_except(found).scalar_subquery()


def next_unplaced(after: Any) -> Any:
    """The first image that is in no trie and whose ID is above another, or NULL."""
    found = images.alias("found")
    chosen = select(found.c.id).where(found.c.top.is_(None), found.c.id > after)
    return chosen.order_by(found.c.top, found.c.id).limit(ONE).correlate_except(found).scalar_subquery()
