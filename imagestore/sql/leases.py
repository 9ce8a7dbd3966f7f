"""Leases: rows that hold layers for a while, until an image refers to them. Time is the database's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from imagestore.errors import LeaseExpiredError
from imagestore.gojson import GoTime
from imagestore.lease import Lease
from imagestore.sql.schema import leases
from imagestore.sql.snapshot import SeesSnapshot
from imagestore.sql.types import ByteOrdered


class _Clock(FunctionElement[str]):
    """The database's clock, so many seconds from now, as the columns have times."""

    type = ByteOrdered
    inherit_cache = True


@compiles(_Clock, "sqlite")
def _on_sqlite(element: _Clock, compiler: SQLCompiler, **options: object) -> str:
    seconds = compiler.process(element.clauses, **options)
    return f"strftime('%Y-%m-%dT%H:%M:%f000000Z', 'now', {seconds} || ' seconds')"


@compiles(_Clock, "postgresql")
def _on_postgresql(element: _Clock, compiler: SQLCompiler, **options: object) -> str:
    seconds = compiler.process(element.clauses, **options)
    later = f"clock_timestamp() + make_interval(secs => CAST({seconds} AS double precision))"
    return f"to_char(({later}) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"000Z\"')"


_lease: Final = bindparam("lease", type_=ByteOrdered)
_clock: Final = _Clock(bindparam("seconds"))
is_alive: Final = leases.c.expires > _Clock(bindparam("now", 0))

_INSERT: Final = (
    insert(leases).values(id=_lease, expires=_clock, labels=bindparam("labels")).returning(leases.c.expires)
)
_RENEW: Final = update(leases).where(leases.c.id == _lease, is_alive).values(expires=_clock).returning(leases.c.expires)
_DELETE: Final = delete(leases).where(leases.c.id == _lease).returning(is_alive, SeesSnapshot())
_CHECK: Final = select(leases.c.id).where(leases.c.id == _lease, is_alive)
# For the clear answer alone: without it, "register under a lease that ends" fails at a foreign key, and nothing else is wrong
# (tests/concurrency/test_locks.py).
_HOLD: Final = _CHECK.with_for_update(read=True, key_share=True)
_ALIVE: Final = select(leases.c.id, leases.c.expires, leases.c.labels).where(is_alive)
_PAGE: Final = (
    _ALIVE.where(leases.c.id > bindparam("after", type_=ByteOrdered)).order_by(leases.c.id).limit(bindparam("limit"))
)
# For less waiting alone: the DELETE after it looks again.
_EXPIRED: Final = (
    select(leases.c.id)
    .where(~is_alive)
    .order_by(leases.c.expires)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_DELETE_EXPIRED: Final = delete(leases).where(leases.c.id.in_(bindparam("leases", expanding=True)), ~is_alive)
_COUNT_EXPIRED: Final = select(func.count()).select_from(leases).where(~is_alive)


class Ended(NamedTuple):
    """What `remove` has ended: whether it was a lease that had not expired, and whether the transaction reads an old state."""

    was_alive: bool
    sees_snapshot: bool


def create(connection: Connection, lease: str, seconds: float, labels: Mapping[str, str]) -> GoTime:
    """Take a lease; returns when it expires. One statement."""
    text = json.dumps(dict(labels), sort_keys=True)
    expires = connection.execute(_INSERT, {"lease": lease, "seconds": seconds, "labels": text}).scalar_one()
    return GoTime.parse(expires)


def renew(connection: Connection, lease: str, seconds: float) -> GoTime:
    """Let a lease expire so many seconds from now; returns when that is. One statement.

    Raises:
        LeaseExpiredError: it has expired, or was ended.
    """
    expires = connection.execute(_RENEW, {"lease": lease, "seconds": seconds}).scalar()
    if expires is None:
        raise LeaseExpiredError(lease)
    return GoTime.parse(expires)


def check(connection: Connection, lease: str) -> None:
    """Make sure that a lease has not expired yet. One read by key, which a snapshot can do too.

    Raises:
        LeaseExpiredError: it has, or was ended.
    """
    if connection.execute(_CHECK, {"lease": lease}).first() is None:
        raise LeaseExpiredError(lease)


def hold(connection: Connection, lease: str) -> None:
    """Make sure that a lease has not expired, for the statements that follow in this transaction.

    Raises:
        LeaseExpiredError: it has, or was ended.
    """
    if connection.execute(_HOLD, {"lease": lease}).first() is None:
        raise LeaseExpiredError(lease)


def remove(connection: Connection, lease: str) -> Ended:
    """End a lease, if it is there. One statement."""
    row = connection.execute(_DELETE, {"lease": lease}).first()
    return Ended(False, False) if row is None else Ended(*row)


def page(connection: Connection, after: str, limit: int) -> list[Lease]:
    """The next leases that have not expired, in the order of their IDs. Costs what it returns, and the expired among them."""
    rows = connection.execute(_PAGE, {"after": after, "limit": limit})
    return [Lease(lease, GoTime.parse(expires), json.loads(labels)) for lease, expires, labels in rows]


def remove_expired(connection: Connection, limit: int) -> int:
    """End at most so many of the leases that have expired and that nobody is using just now; returns how many."""
    found = list(connection.execute(_EXPIRED, {"limit": limit}).scalars())
    return connection.execute(_DELETE_EXPIRED, {"leases": found}).rowcount if found else 0


def count_expired(connection: Connection) -> int:
    """How many leases have expired and are not removed yet. Reads so many entries of an index."""
    return connection.execute(_COUNT_EXPIRED).scalar_one()
