"""A PostgreSQL server that keeps what it acknowledges, on disk; and databases whose statements and file operations can be made to fail, in
memory."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from imagestore import bind
from imagestore.testing.fixtures import ENGINES
from imagestore.testing.postgres import postgres_server
from tests.backends.conftest import MEMORY
from tests.crash.database import Database
from tests.crash.layer_database import LayerDatabase


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


@pytest.fixture(scope="module")
def layer_databases(request):
    """One for each engine, made when it is first asked for."""
    made = {}
    with tempfile.TemporaryDirectory(prefix="imagestore-", dir=MEMORY if MEMORY.is_dir() else None) as folder:

        def database(engine):
            if engine not in made:
                place = Path(folder, engine)
                place.mkdir()
                if engine == "sqlite":
                    url = f"sqlite:///{shutil.copy(request.getfixturevalue('sqlite_template'), place)}"
                else:
                    server = request.getfixturevalue("postgres_server")
                    url = server.create_database(template=request.getfixturevalue("postgres_template"))
                made[engine] = LayerDatabase(url, place)
            return made[engine]

        yield database
        for each in made.values():
            each.engine.dispose()


@pytest.fixture
def without_pauses(monkeypatch):
    monkeypatch.setattr(bind, "_PAUSE", 0.0)
