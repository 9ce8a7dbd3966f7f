"""A PostgreSQL server that keeps what it acknowledges: on disk, with its own settings of fsync and commit."""

from __future__ import annotations

import pytest

from imagestore.testing.postgres import postgres_server


@pytest.fixture(scope="session")
def durable_server():
    with postgres_server(durable=True) as server:
        yield server


@pytest.fixture
def durable_postgres_url(durable_server):
    url = durable_server.create_database()
    yield url
    durable_server.drop_database(url)
