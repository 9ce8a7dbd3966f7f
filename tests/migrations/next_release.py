"""The revisions of releases to come, as tests need them."""

from __future__ import annotations

import shutil

from imagestore import migrate

TRANSACTIONAL = '''"""A column for notes."""

import sqlalchemy as sa

revision = "{revision}"
down_revision = "{down_revision}"


def upgrade(op):
    op.add_column("imagestore_images", sa.Column("note", sa.Text))


def downgrade(op):
    op.drop_column("imagestore_images", "note")
'''

NOT_TRANSACTIONAL = '''"""An index on the last update."""

import contextlib

revision = "{revision}"
down_revision = "{down_revision}"
transactional = False


def upgrade(op):
    context = op.get_context()
    online = op.get_bind().dialect.name == "postgresql"
    with context.autocommit_block() if online else contextlib.nullcontext():
        op.create_index(
            "imagestore_images_last_updated_ix",
            "imagestore_images",
            ["last_updated"],
            schema=context.version_table_schema,
            postgresql_concurrently=True,
        )


def downgrade(op):
    op.drop_index("imagestore_images_last_updated_ix", "imagestore_images", schema=op.get_context().version_table_schema)
'''


def write_revisions(folder, after):
    """Copy our revisions to a folder, and add two that follow; their names are returned."""
    shutil.copytree(migrate.folder(), folder)
    known: list[str] = []
    for template in (TRANSACTIONAL, NOT_TRANSACTIONAL):
        known.append(f"{int(after) + len(known) + 1:04}")
        down_revision = known[-2] if len(known) > 1 else after
        text = template.format(revision=known[-1], down_revision=down_revision)
        (folder / "versions" / f"{known[-1]}_next.py").write_text(text)
    return tuple(known)
