"""Connections to a database without tables, on one engine and then on the other, and a release that is one ahead."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager

import pytest
import sqlalchemy

from imagestore import migrate
from imagestore.sql import revision
from imagestore.sql.engine import create_engine
from tests.migrations.next_release import write_revisions


@pytest.fixture
def connect():
    """A connection of a new engine, by default of ours. Ask for the URL before it: what is asked for last is closed first."""
    with ExitStack() as stack:

        def connect(url, make_engine=create_engine, **options):
            engine = make_engine(url, **options)
            stack.callback(engine.dispose)
            return stack.enter_context(engine.connect())

        yield connect


@pytest.fixture
def connection(database_url, connect):
    return connect(database_url)


@pytest.fixture
def host_connection(database_url, connect):
    """That of a host's own engine, to which nobody has done anything."""
    return connect(database_url, sqlalchemy.create_engine)


@pytest.fixture
def next_release(tmp_path):
    """Within it, this is a later release, with two revisions more, of which the second cannot run in a transaction."""
    known = write_revisions(tmp_path / "migrations", after=revision.HEAD)

    @contextmanager
    def installed():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(revision, "REVISIONS", (*revision.REVISIONS, *known))
            patch.setattr(revision, "HEAD", known[-1])
            patch.setattr(migrate, "folder", lambda: tmp_path / "migrations")
            migrate._directory.cache_clear()
            yield known
        migrate._directory.cache_clear()

    return installed
