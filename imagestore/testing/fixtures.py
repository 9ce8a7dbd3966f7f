"""pytest fixtures for stores on SQLite and on a real PostgreSQL; enable them with ``pytest_plugins = ["imagestore.testing.fixtures"]``.

    postgres_server     one server for the session (one for each worker of pytest-xdist)
    sqlite_url          a database without tables, of this test alone: a file in ``tmp_path``
    postgres_url        the same on the server
    database_url        the test runs twice, on either
    sqlite_store        an open, empty store; it is closed after the test
    postgres_store      the same on the server
    store               the test runs twice, on either

The schema of the stores is made once a session and then copied, so that a store costs a test some 20 ms.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagestore.store import Store
from imagestore.testing import postgres

ENGINES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.PostgresServer]:
    """The session's PostgreSQL server."""
    with postgres.postgres_server() as server:
        yield server


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that is not there yet."""
    return f"sqlite:///{tmp_path / 'imagestore.db'}"


@pytest.fixture
def postgres_url(postgres_server: postgres.PostgresServer) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(params=ENGINES)
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, on one engine and then on the other."""
    fixture = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    url: str = request.getfixturevalue(fixture)
    return url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the schema and nothing in it."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    _make_schema(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_server: postgres.PostgresServer) -> str:
    """The URL of a PostgreSQL database with the schema and nothing in it, for `PostgresServer.create_database` alone."""
    url = postgres_server.create_database()
    _make_schema(url)
    postgres_server.close_to_connections(url)
    return url


@pytest.fixture
def sqlite_store(sqlite_url: str, sqlite_template: Path) -> Iterator[Store]:
    """An empty store on SQLite."""
    shutil.copyfile(sqlite_template, sqlite_url.removeprefix("sqlite:///"))
    with Store.open(sqlite_url) as store:
        yield store


@pytest.fixture
def postgres_store(postgres_server: postgres.PostgresServer, postgres_template: str) -> Iterator[Store]:
    """An empty store on PostgreSQL."""
    url = postgres_server.create_database(template=postgres_template)
    with Store.open(url) as store:
        yield store
    postgres_server.drop_database(url)


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest) -> Store:
    """An empty store, on one engine and then on the other."""
    fixture = {"sqlite": "sqlite_store", "postgresql": "postgres_store"}[request.param]
    made: Store = request.getfixturevalue(fixture)
    return made


def _make_schema(url: str) -> None:
    Store.open(url).close()
