"""What the upgrade from before there were layers takes, which puts all images into their trie."""

from __future__ import annotations

import time
from dataclasses import dataclass

from imagestore import migrate
from imagestore.sql.engine import create_engine

_BEFORE = "0001"


@dataclass(frozen=True)
class Upgrade:
    """Seconds for so many images on one engine."""

    engine: str
    size: int
    seconds: float


def upgrade_of(url: str, engine: str, size: int) -> Upgrade:
    """Take a database back to before there were layers, and upgrade it."""
    bound = create_engine(url)
    with bound.connect() as connection:
        migrate.downgrade(connection, _BEFORE)
        start = time.perf_counter()
        migrate.upgrade(connection)
        seconds = time.perf_counter() - start
    bound.dispose()
    return Upgrade(engine, size, seconds)
