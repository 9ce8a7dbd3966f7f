"""Digests that a statement is given as one value, one behind the other, in their order: any number, and the statement stays the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import CTE, Integer, LargeBinary, bindparam, func, literal_column, select

_WIDTH: Final = literal_column("32", Integer)  # bytes


def places() -> CTE:
    """The numbers of the digests, from 0 on; there are ``:count`` of them, and one at least."""
    place = select(literal_column("0", Integer).label("place")).cte("given", recursive=True)
    following = place.c.place + literal_column("1")
    return place.union_all(select(following).where(following < bindparam("count", type_=Integer)))


def digest_at(place: Any, name: str) -> Any:
    """The raw digest at a place of the value that the parameter of this name has."""
    start = place * _WIDTH + literal_column("1")
    return func.substr(bindparam(name, type_=LargeBinary), start, _WIDTH, type_=LargeBinary)


def joined(digests: Iterable[str]) -> bytes:
    """The value: the raw digests one behind the other. Nothing is checked."""
    return bytes.fromhex("".join(digest[7:] for digest in digests))
