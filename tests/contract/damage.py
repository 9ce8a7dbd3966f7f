"""How bytes are damaged behind the back of a backend on SQL, and of one on files."""

from __future__ import annotations

from sqlalchemy import update

from imagestore.sql.schema import blobs


def damage_row(connection, digest, data):
    connection.execute(update(blobs).where(blobs.c.digest == digest).values(data=data))


def damage_file(root, digest, data):
    (root / "content" / "sha256" / digest.hex).write_bytes(data)
