"""The sessions that killed processes have left on a server."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.pool import NullPool


def end_sessions(url):
    """Wait until the server has ended the sessions of the killed: till then it may commit. On SQLite there are none."""
    if url.startswith("postgresql"):
        engine = sa.create_engine(url, poolclass=NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).all()
