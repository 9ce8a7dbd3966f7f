"""Probes: what one read of an index tells a statement, as an expression, whatever the planner knows of the tables."""

from __future__ import annotations

from typing import Any

from sqlalchemy import FromClause, Select, func, literal_column, select

from imagestore.sql.schema import layers


def no_row(table: FromClause, condition: Any) -> Any:
    """Whether no row is like that. As NOT EXISTS, PostgreSQL may read all of the index instead."""
    found: Select[Any] = select(literal_column("FALSE")).select_from(table).where(condition).limit(literal_column("1"))
    return func.coalesce(found.scalar_subquery(), literal_column("TRUE"))


def of_layer(name: str, chain: Any) -> Any:
    """What the row of a layer has in the column of this name, or NULL."""
    layer = layers.alias("lower")
    return select(layer.c[name]).where(layer.c.chain_id == chain).correlate_except(layer).scalar_subquery()
