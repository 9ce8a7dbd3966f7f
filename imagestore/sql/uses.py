"""Uses: which images nobody has used for long, by the index over the metadata "lastUsed"."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Connection,
    LargeBinary,
    Select,
    Text,
    bindparam,
    cast,
    literal_column,
    null,
    select,
    tuple_,
    union_all,
)

from imagestore.digest import ImageID
from imagestore.gojson import GoTime
from imagestore.sql.driver import Read
from imagestore.sql.schema import images

_LAST_ID: Final = b"\xff" * 33  # above every ID

_limit: Final = bindparam("limit", type_=BigInteger)


class Use(NamedTuple):
    """An image and when it was last touched, in UTC; None where it never was."""

    image_id: ImageID
    last_used: GoTime | None


def _unused() -> Select[Any]:
    """Two ranges of one index: what was never used, and what was used before ``:time``."""
    never = select(_next_never_used(bindparam("after_never", type_=LargeBinary)).label("id")).cte(
        "never", recursive=True
    )
    never = never.union_all(select(_next_never_used(never.c.id)).where(never.c.id.is_not(None)))
    place = tuple_(bindparam("after_time", type_=Text), bindparam("after_id", type_=LargeBinary))
    long_ago = (
        select(images.c.id, images.c.last_used)
        .where(images.c.last_used < bindparam("time", type_=Text), tuple_(images.c.last_used, images.c.id) > place)
        .order_by(images.c.last_used, images.c.id)
        .limit(_limit)
        .subquery("long_ago")
    )
    unused = select(never.c.id, cast(null(), Text).label("last_used")).where(never.c.id.is_not(None)).limit(_limit)
    found = union_all(select(unused.subquery("unused")), select(long_ago)).subquery("found")
    was_used = found.c.last_used.is_not(None)
    return select(found.c.id, found.c.last_used).order_by(was_used, found.c.last_used, found.c.id).limit(_limit)


def _next_never_used(after: Any) -> Any:
    """One probe of the index, at each step: for many rows at once, PostgreSQL without statistics reads all there are, and sorts them."""
    found = images.alias("found")
    chosen = select(found.c.id).where(found.c.last_used.is_(None), found.c.id > after)
    first = chosen.order_by(found.c.last_used, found.c.id).limit(literal_column("1"))
    return first.correlate_except(found).scalar_subquery()


UNUSED: Final = Read(_unused())


def unused_since(connection: Connection, time: GoTime, after: Use | None, limit: int) -> list[Use]:
    """The next images that were not used at or after a time: those that never were, by ID, and then the one that was used longest ago.

    One query; costs twice what it returns, wherever it is.
    """
    place = {"after_never": b"", "after_time": "", "after_id": b""}
    if after is not None and after.last_used is None:
        place["after_never"] = after.image_id.raw
    elif after is not None and after.last_used is not None:
        place = {"after_never": _LAST_ID, "after_time": after.last_used.utc_text, "after_id": after.image_id.raw}
    found = UNUSED.all(connection, time=time.utc_text, limit=limit, **place)
    return [Use(ImageID.from_raw(raw), GoTime.parse(used) if used else None) for raw, used in found]
