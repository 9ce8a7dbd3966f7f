"""Images by their topmost layer, and by their last use; where this revision stands, ``imagestore_images.top`` is filled.

Revision 0003. What processes of an earlier release have added while 0002 was filled, `imagestore.migrate` fills in its transaction.
"""

from __future__ import annotations

from alembic.operations import Operations

revision = "0003"
down_revision = "0002"


def upgrade(op: Operations) -> None:
    if op.get_context().dialect.name == "postgresql":
        # Until the commit no other process, of an earlier release, adds an image; nor does one hold a row that is filled here.
        op.execute("LOCK TABLE imagestore_images IN EXCLUSIVE MODE")
    op.create_index("imagestore_images_top_ix", "imagestore_images", ["top", "id"])
    op.create_index("imagestore_images_last_used_ix", "imagestore_images", ["last_used", "id"])


def downgrade(op: Operations) -> None:
    op.drop_index("imagestore_images_last_used_ix", "imagestore_images")
    op.drop_index("imagestore_images_top_ix", "imagestore_images")
