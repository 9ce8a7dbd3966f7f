"""Uses: which images nobody has used for long, by the index over the metadata "lastUsed"."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, LargeBinary, Select, Text, bindparam, literal_column, select, tuple_, union_all

from imagestore.digest import ImageID
from imagestore.gojson import GoTime
from imagestore.sql.driver import Read
from imagestore.sql.schema import images

_LAST_ID: Final = b"\xff" * 33  # above every ID


class Use(NamedTuple):
    """An image and when it was last touched, in UTC; None where it never was."""

    image_id: ImageID
    last_used: GoTime | None


def _unused() -> Select[Any]:
    """Two ranges of one index. Both say its order: PostgreSQL does not take "IS NULL" for a reason to read it in the order of IDs."""
    never = images.c.last_used.is_(None)
    after_id, after_time = bindparam("after_id", type_=LargeBinary), bindparam("after_time", type_=Text)
    place = tuple_(images.c.last_used, images.c.id)
    ranges = (
        (never, images.c.id > bindparam("after_never", type_=LargeBinary)),
        (images.c.last_used < bindparam("time", type_=Text), place > tuple_(after_time, after_id)),
    )
    parts = [
        select(literal_column(str(number)).label("part"), images.c.id, images.c.last_used)
        .where(*conditions)
        .order_by(images.c.last_used, images.c.id)
        .limit(bindparam("limit"))
        .subquery(f"part_{number}")
        for number, conditions in enumerate(ranges)
    ]
    found = union_all(*map(select, parts)).subquery("found")
    ordered = select(found.c.id, found.c.last_used).order_by(found.c.part, found.c.last_used, found.c.id)
    return ordered.limit(bindparam("limit"))


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
