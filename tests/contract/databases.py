"""Connections of a host, and damage behind the back of a backend on SQL or on files."""

from __future__ import annotations

from contextlib import contextmanager

import sqlalchemy
from sqlalchemy import update

from imagestore.sql.engine import configure
from imagestore.sql.schema import blobs


@contextmanager
def connecting(url, **options):
    """A connection of the host's in a transaction, which commits at the end."""
    engine = configure(sqlalchemy.create_engine(url))
    try:
        with engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection
    finally:
        engine.dispose()


def damage_row(connection, digest, data):
    connection.execute(update(blobs).where(blobs.c.digest == digest).values(data=data))


def damage_file(root, digest, data):
    (root / "content" / "sha256" / digest.hex).write_bytes(data)
