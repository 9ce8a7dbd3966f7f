"""${message}

Revision ${up_revision}, after ${down_revision}.
"""

from __future__ import annotations

from alembic.operations import Operations

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade(op: Operations) -> None:
    ${upgrades if upgrades else "..."}


def downgrade(op: Operations) -> None:
    ${downgrades if downgrades else "..."}
