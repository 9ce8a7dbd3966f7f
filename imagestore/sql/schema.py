"""The tables, as one SQLAlchemy MetaData. Update this picture whenever they change.

    imagestore_blobs                        what StoreBackend.set was given: the facts
    ├── digest        32 bytes, key         SHA-256 of data
    └── data          bytes                 the configuration, byte for byte

    imagestore_metadata                     what StoreBackend.set_metadata was given: the facts
    ├── digest        key, -> blobs         goes with its blob
    ├── key           bytes, key            "parent", "lastUpdated", "lastUsed", "builtLocally", or any other
    └── value         bytes

    imagestore_images                       a row for each blob that is an image: an index over the facts
    ├── id            key, -> blobs         goes with its blob
    ├── parent        -> images, or null    the image that metadata "parent" names; null unless that image exists and the edge
    │                                       closes no cycle
    ├── last_updated  30 characters, null   metadata "lastUpdated" in UTC, "2006-01-02T15:04:05.000000000Z"
    └── last_used     30 characters, null   metadata "lastUsed", likewise

Digests are 32 raw bytes: ``hex(id)`` shows one in sqlite3, ``encode(id, 'hex')`` in psql. Everything in ``imagestore_images`` can be
made anew from the two tables of facts; `imagestore.verify` compares them, and repairs. The indexes beside the keys are
``parent`` (children, heads) and ``parent_named``, which finds the images whose metadata names an image that is not there yet.

An embedder's own Alembic leaves these tables alone with ``include_name=imagestore.migrate.include_name``.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, LargeBinary, MetaData, Table, Text, text

from imagestore.sql.types import SHA256, ImageIDType

PREFIX: Final = "imagestore_"
VERSION_TABLE: Final = "imagestore_alembic_version"

metadata: Final = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "fk": "%(table_name)s_%(column_0_name)s_fk",
        "ix": "%(table_name)s_%(column_0_name)s_ix",
        "uq": "%(table_name)s_%(column_0_name)s_uq",
        "ck": "%(table_name)s_%(constraint_name)s_ck",
    }
)

blobs: Final = Table(
    "imagestore_blobs",
    metadata,
    Column("digest", SHA256, primary_key=True),
    Column("data", LargeBinary, nullable=False),
    CheckConstraint(text("length(digest) = 32"), name="digest"),
    sqlite_strict=True,
)

# Narrow, so that heads, children and ancestors read few pages; SQLite keeps such a table in its key's own tree.
images: Final = Table(
    "imagestore_images",
    metadata,
    Column("id", ImageIDType, ForeignKey(blobs.c.digest, ondelete="CASCADE"), primary_key=True),
    Column("parent", ImageIDType, ForeignKey("imagestore_images.id", ondelete="SET NULL"), index=True),
    Column("last_updated", Text),
    Column("last_used", Text),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

metadata_keys: Final = Table(
    "imagestore_metadata",
    metadata,
    Column("digest", SHA256, ForeignKey(blobs.c.digest, ondelete="CASCADE"), primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("value", LargeBinary, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# What waits for a parent that is not there yet: create asks it for the images whose metadata names the new ID, which is 71 characters
# long ("sha256:" and 64 digits). Longer values stay out of the index, where PostgreSQL could not hold them.
parent_named: Final = Index(
    "imagestore_metadata_parent_named_ix",
    metadata_keys.c.value,
    sqlite_where=text("length(value) = 71"),
    postgresql_where=text("length(value) = 71"),
)
