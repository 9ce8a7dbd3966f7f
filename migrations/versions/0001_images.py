"""Blobs, their metadata, and images as an index over both.

Revision 0001, the first.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0001"
down_revision = None


def upgrade(op: Operations) -> None:
    op.create_table(
        "imagestore_blobs",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="imagestore_blobs_pk"),
        sa.CheckConstraint("length(digest) = 32", name="imagestore_blobs_digest_ck"),
        sqlite_strict=True,
    )
    op.create_table(
        "imagestore_images",
        sa.Column("id", sa.LargeBinary, nullable=False),
        sa.Column("parent", sa.LargeBinary),
        sa.Column("last_updated", sa.Text),
        sa.Column("last_used", sa.Text),
        sa.PrimaryKeyConstraint("id", name="imagestore_images_pk"),
        sa.ForeignKeyConstraint(
            ["id"], ["imagestore_blobs.digest"], name="imagestore_images_id_fk", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["parent"], ["imagestore_images.id"], name="imagestore_images_parent_fk", ondelete="SET NULL"
        ),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("imagestore_images_parent_ix", "imagestore_images", ["parent"])
    op.create_table(
        "imagestore_metadata",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("digest", "key", name="imagestore_metadata_pk"),
        sa.ForeignKeyConstraint(
            ["digest"], ["imagestore_blobs.digest"], name="imagestore_metadata_digest_fk", ondelete="CASCADE"
        ),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(
        "imagestore_metadata_parent_named_ix",
        "imagestore_metadata",
        ["value"],
        sqlite_where=sa.text("length(value) = 71"),
        postgresql_where=sa.text("length(value) = 71"),
    )


def downgrade(op: Operations) -> None:
    op.drop_table("imagestore_metadata")
    op.drop_table("imagestore_images")
    op.drop_table("imagestore_blobs")
