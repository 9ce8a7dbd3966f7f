"""Layers, their contents, leases, references, and the place of the content.

Revision 0002. The column ``imagestore_images.top`` is filled before 0003, in pages, by `imagestore.migrate`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0002"
down_revision = "0001"


def upgrade(op: Operations) -> None:
    ordered = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    size = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "imagestore_layers",
        sa.Column("chain_id", sa.LargeBinary, nullable=False),
        sa.Column("diff_id", sa.LargeBinary, nullable=False),
        sa.Column("parent", sa.LargeBinary),
        sa.Column("size", size),
        sa.PrimaryKeyConstraint("chain_id", name="imagestore_layers_pk"),
        sa.ForeignKeyConstraint(["parent"], ["imagestore_layers.chain_id"], name="imagestore_layers_parent_fk"),
        sa.CheckConstraint("length(chain_id) = 32", name="imagestore_layers_chain_id_ck"),
        sa.CheckConstraint("length(diff_id) = 32", name="imagestore_layers_diff_id_ck"),
        sa.CheckConstraint("size >= 0", name="imagestore_layers_size_ck"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("imagestore_layers_diff_id_ix", "imagestore_layers", ["diff_id"])
    op.create_index("imagestore_layers_parent_ix", "imagestore_layers", ["parent", "chain_id"])
    op.create_table(
        "imagestore_contents",
        sa.Column("diff_id", sa.LargeBinary, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("size", size, nullable=False),
        sa.PrimaryKeyConstraint("diff_id", name="imagestore_contents_pk"),
        sa.UniqueConstraint("name", name="imagestore_contents_name_uq"),
        sa.CheckConstraint("length(diff_id) = 32", name="imagestore_contents_diff_id_ck"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "imagestore_leases",
        sa.Column("id", ordered, nullable=False),
        sa.Column("expires", ordered, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="imagestore_leases_pk"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("imagestore_leases_expires_ix", "imagestore_leases", ["expires"])
    op.create_table(
        "imagestore_lease_layers",
        sa.Column("lease", ordered, nullable=False),
        sa.Column("chain_id", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("lease", "chain_id", name="imagestore_lease_layers_pk"),
        sa.ForeignKeyConstraint(
            ["lease"], ["imagestore_leases.id"], name="imagestore_lease_layers_lease_fk", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["chain_id"], ["imagestore_layers.chain_id"], name="imagestore_lease_layers_chain_id_fk"
        ),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("imagestore_lease_layers_chain_id_ix", "imagestore_lease_layers", ["chain_id"])
    op.create_table(
        "imagestore_references",
        sa.Column("name", ordered, nullable=False),
        sa.Column("repository", ordered, nullable=False),
        sa.Column("image", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("name", name="imagestore_references_pk"),
        sa.ForeignKeyConstraint(
            ["image"], ["imagestore_images.id"], name="imagestore_references_image_fk", ondelete="CASCADE"
        ),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("imagestore_references_image_ix", "imagestore_references", ["image"])
    op.create_index("imagestore_references_repository_ix", "imagestore_references", ["repository", "name"])
    op.create_table(
        "imagestore_content_location",
        sa.Column("slot", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("identity", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("slot", name="imagestore_content_location_pk"),
        sa.CheckConstraint("slot = 1", name="imagestore_content_location_slot_ck"),
        sqlite_strict=True,
    )
    if op.get_context().dialect.name == "sqlite":
        # A foreign key goes into the same statement: none is added later, and the table must not be made anew.
        op.execute(
            "ALTER TABLE imagestore_images ADD COLUMN top BLOB "
            "CONSTRAINT imagestore_images_top_fk REFERENCES imagestore_layers (chain_id)"
        )
    else:
        op.add_column("imagestore_images", sa.Column("top", sa.LargeBinary))
        op.create_foreign_key(
            "imagestore_images_top_fk", "imagestore_images", "imagestore_layers", ["top"], ["chain_id"]
        )


def downgrade(op: Operations) -> None:
    op.drop_column("imagestore_images", "top")
    for table in ("content_location", "references", "lease_layers", "leases", "contents", "layers"):
        op.drop_table(f"imagestore_{table}")
