"""Databases with the schema and nothing in them, as many as a test asks for, on one engine and then on the other."""

from __future__ import annotations

import shutil
from contextlib import ExitStack

import pytest

from imagestore.testing.fixtures import ENGINES


@pytest.fixture
def closing():
    """What is entered here is closed after the test, the last first."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def new_sqlite_database(sqlite_template, tmp_path):
    def new():
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.db"
        shutil.copyfile(sqlite_template, path)
        return f"sqlite:///{path}"

    return new


@pytest.fixture
def new_postgres_database(postgres_server, postgres_template, closing):
    def new():
        url = postgres_server.create_database(template=postgres_template)
        closing.callback(postgres_server.drop_database, url)
        return url

    return new


@pytest.fixture(params=ENGINES)
def new_database(request):
    name = {"sqlite": "new_sqlite_database", "postgresql": "new_postgres_database"}[request.param]
    return request.getfixturevalue(name)
