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
    ├── last_used     30 characters, null   metadata "lastUsed", likewise
    └── top           -> layers, or null    the chain of all its layers; null if it has none, or one whose diff ID is no sha256 digest

    imagestore_layers                       the trie: a row for each stack of layers that an image has, or that was registered
    ├── chain_id      key                   of the parent's chain ID and the diff ID
    ├── diff_id       32 bytes              the digest of the topmost layer's tar
    ├── parent        -> layers, or null    the stack below it; null at the bottom
    └── size          bytes, or null        of the files in that layer, as docker counts them; null while nobody has told

    imagestore_contents                     a row for each layer whose tar is kept, for all chains that have it
    ├── diff_id       key                   SHA-256 of the tar
    ├── name          text                  under which `imagestore.content` has it
    └── size          bytes                 of the tar

    imagestore_leases                       what keeps layers that no image refers to yet
    ├── id            32 hex digits, key
    ├── expires       30 characters         by the database's clock, in UTC
    └── labels        text                  JSON: an object of strings

    imagestore_lease_layers
    ├── lease         key, -> leases        goes with its lease
    └── chain_id      key, -> layers

    imagestore_references
    ├── name          text, key             "docker.io/library/app:1", "docker.io/library/app@sha256:..."
    ├── repository    text                  "docker.io/library/app"
    └── image         -> images             goes with its image

    imagestore_content_location             one row, once there is content: the place that holds it
    ├── slot          1, key
    └── identity      text                  what the place says of itself too

Digests are 32 raw bytes: ``hex(id)`` shows one in sqlite3, ``encode(id, 'hex')`` in psql. Everything in ``imagestore_images`` can be
made anew from the two tables of facts, and the layers of images from their configurations; `imagestore.verify` compares them, and
repairs. Of the indexes beside the keys, ``parent_named`` finds the images whose metadata names an image that is not there yet, and
the one on ``last_used`` those that nobody has used for long; the others are for what a foreign key points to, and for its rows in order.

An embedder's own Alembic leaves these tables alone with ``include_name=imagestore.migrate.include_name``.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from imagestore.sql.types import SHA256, ByteOrdered, ChainIDType, DiffIDType, ImageIDType, Size

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
    Column("top", ChainIDType, ForeignKey("imagestore_layers.chain_id")),
    Index(None, "top", "id"),
    Index(None, "last_used", "id"),
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

layers: Final = Table(
    "imagestore_layers",
    metadata,
    Column("chain_id", ChainIDType, primary_key=True),
    Column("diff_id", DiffIDType, nullable=False, index=True),
    Column("parent", ChainIDType, ForeignKey("imagestore_layers.chain_id")),
    Column("size", Size),
    CheckConstraint(text("length(chain_id) = 32"), name="chain_id"),
    CheckConstraint(text("length(diff_id) = 32"), name="diff_id"),
    CheckConstraint(text("size >= 0"), name="size"),
    Index(None, "parent", "chain_id"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

contents: Final = Table(
    "imagestore_contents",
    metadata,
    Column("diff_id", DiffIDType, primary_key=True),
    Column("name", Text, nullable=False),
    Column("size", Size, nullable=False),
    CheckConstraint(text("length(diff_id) = 32"), name="diff_id"),
    UniqueConstraint("name"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

leases: Final = Table(
    "imagestore_leases",
    metadata,
    Column("id", ByteOrdered, primary_key=True),
    Column("expires", ByteOrdered, nullable=False, index=True),
    Column("labels", Text, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

lease_layers: Final = Table(
    "imagestore_lease_layers",
    metadata,
    Column("lease", ByteOrdered, ForeignKey(leases.c.id, ondelete="CASCADE"), primary_key=True),
    Column("chain_id", ChainIDType, ForeignKey(layers.c.chain_id), primary_key=True, index=True),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

references: Final = Table(
    "imagestore_references",
    metadata,
    Column("name", ByteOrdered, primary_key=True),
    Column("repository", ByteOrdered, nullable=False),
    Column("image", ImageIDType, ForeignKey(images.c.id, ondelete="CASCADE"), nullable=False, index=True),
    Index(None, "repository", "name"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

content_location: Final = Table(
    "imagestore_content_location",
    metadata,
    Column("slot", Integer, primary_key=True, autoincrement=False),
    Column("identity", Text, nullable=False),
    CheckConstraint(text("slot = 1"), name="slot"),
    sqlite_strict=True,
)
