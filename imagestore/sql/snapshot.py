"""Whether a transaction may trust what it reads: in a caller's REPEATABLE READ or SERIALIZABLE, PostgreSQL shows an old state."""

from __future__ import annotations

from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class SeesSnapshot(FunctionElement[bool]):
    """Whether this transaction reads a snapshot that may be older than the locks it takes."""

    inherit_cache = True


@compiles(SeesSnapshot, "sqlite")
def _never(_element: SeesSnapshot, _compiler: SQLCompiler, **_: object) -> str:
    return "0"  # who writes is alone


@compiles(SeesSnapshot, "postgresql")
def _by_isolation_level(_element: SeesSnapshot, _compiler: SQLCompiler, **_: object) -> str:
    return "current_setting('transaction_isolation') IN ('repeatable read', 'serializable')"
