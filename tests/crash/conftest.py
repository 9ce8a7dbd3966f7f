"""A PostgreSQL server that keeps what it acknowledges, on disk; and databases whose statements can be made to fail, in memory."""

from __future__ import annotations

import shutil
import tempfile

import pytest

from imagestore.testing.fixtures import ENGINES
from imagestore.testing.postgres import postgres_server
from tests.backends.conftest import MEMORY
from tests.crash.database import Database


@pytest.fixture(scope="session")
def durable_server():
    with postgres_server(durable=True) as server:
        yield server


@pytest.fixture
def durable_postgres_url(durable_server):
    url = durable_server.create_database()
    yield url
    durable_server.drop_database(url)


@pytest.fixture(params=ENGINES)
def url(request):
    """Of a database without tables, on one engine and then on the other."""
    name = {"sqlite": "sqlite_url", "postgresql": "durable_postgres_url"}[request.param]
    return request.getfixturevalue(name)


@pytest.fixture(scope="module")
def database(request):
    if request.param == "sqlite":
        template = request.getfixturevalue("sqlite_template")
        with tempfile.TemporaryDirectory(prefix="imagestore-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
            made = Database(f"sqlite:///{shutil.copy(template, folder)}")
            yield made
            made.engine.dispose()
    else:
        server = request.getfixturevalue("postgres_server")
        url = server.create_database(template=request.getfixturevalue("postgres_template"))
        made = Database(url)
        yield made
        made.engine.dispose()
        server.drop_database(url)
