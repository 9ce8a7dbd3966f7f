"""A fault at each statement of a whole upgrade, each time anew: the tables are whole at a revision then, and the next try does the rest."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import make_url, select, text
from sqlalchemy.exc import DBAPIError

from imagestore import migrate
from imagestore.image import Image
from imagestore.sql import schema
from imagestore.sql.engine import create_engine
from imagestore.sql.revision import HEAD, REVISIONS
from tests.crash.faults import Faults, disk_full, ended, ended_after, interrupted
from tests.migrations import stored

STRIKES = {"interrupted": interrupted, "disk full": disk_full, "ended": ended, "ended after": ended_after}
COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns WHERE table_schema = 'public'
"""
INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
CONSTRAINTS = """
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
"""
DEFINITIONS = {"sqlite": ["SELECT name, sql FROM sqlite_master"], "postgresql": [COLUMNS, INDEXES, CONSTRAINTS]}
FACTS = [
    select(schema.blobs),
    select(schema.metadata_keys),
    select(*schema.images.c["id", "parent", "last_updated", "last_used"]),
]
STACKS = {image_id: Image.from_json(stored.BLOBS[image_id]).stack for image_id in sorted(stored.IMAGES)}


class State(NamedTuple):
    """The revision of the tables, all their definitions, the rows that were there before, and what is filled in."""

    revision: str | None
    definitions: set[tuple[str, ...]]
    facts: list[set[tuple[object, ...]]]
    filled: tuple[dict[str, str | None], set[tuple[object, ...]]] | None


def filled(images):
    """Tops and layers, as the first so many images in the order of their IDs give them."""
    stacks = list(STACKS.items())
    tops = {
        image_id: stack[-1].chain_id if stack and place < images else None
        for place, (image_id, stack) in enumerate(stacks)
    }
    return tops, {(*link, None) for _, stack in stacks[:images] for link in stack}


class Database:
    """A database of revision 0001, made anew as often as wanted."""

    def __init__(self, url):
        self.url = url
        self.dialect = make_url(url).get_backend_name()

    def begin_anew(self):
        if self.dialect == "sqlite":
            path = Path(str(make_url(self.url).database))
            for file in path.parent.glob(f"{path.name}*"):
                file.unlink()
            stored.load(stored.FOLDER / "0001.sqlite", self.url)
        else:
            stored.run_script(self.url, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            stored.load(stored.FOLDER / "0001.sql", self.url)

    def upgrade(self, revision=HEAD):
        """As a process does that comes later."""
        engine = create_engine(self.url)
        with engine.connect() as connection:
            migrate.upgrade(connection, revision)
        engine.dispose()

    def state(self):
        engine = create_engine(self.url)
        with engine.connect() as connection:
            revision = migrate.current(connection)
            definitions = {
                tuple(map(str, row)) for query in DEFINITIONS[self.dialect] for row in connection.execute(text(query))
            }
            facts = [set(map(tuple, connection.execute(query))) for query in FACTS]
            rows = None
            if revision in REVISIONS[1:]:
                tops = connection.execute(select(schema.images.c.id, schema.images.c.top))
                rows = dict(map(tuple, tops)), set(map(tuple, connection.execute(select(schema.layers))))
        engine.dispose()
        return State(revision, definitions, facts, rows)


@pytest.fixture(
    params=[
        ("sqlite_url", "interrupted"),
        pytest.param(("postgres_url", "disk full"), marks=pytest.mark.soak),
        pytest.param(("postgres_url", "ended"), marks=pytest.mark.soak),
        pytest.param(("postgres_url", "ended after"), marks=pytest.mark.soak),
    ],
    ids=lambda chosen: chosen[1],
)
def chosen(request):
    return request.param


@pytest.fixture
def strike(chosen):
    return STRIKES[chosen[1]]


@pytest.fixture
def database(chosen, request):
    return Database(request.getfixturevalue(chosen[0]))


@pytest.fixture
def whole(database):
    """What the database is at each revision."""
    states = {}
    for revision in REVISIONS:
        database.begin_anew()
        database.upgrade(revision)
        states[revision] = database.state()
    assert [state.filled for state in states.values()] == [None, filled(0), filled(len(STACKS))]
    return states


def test_a_fault_at_every_statement(database, strike, whole, monkeypatch):
    monkeypatch.setattr(migrate, "_PAGE", 1)
    engine = create_engine(database.url)
    faults = Faults(engine)
    for number in itertools.count(1):
        database.begin_anew()
        with engine.connect() as connection, faults.failing(number, strike) as fault:
            try:
                migrate.upgrade(connection)
            except DBAPIError:
                assert fault.statement is not None
        engine.dispose()
        state = database.state()
        expected = whole[state.revision]
        if state.revision == "0002":
            assert state.filled in [filled(images) for images in range(len(STACKS) + 1)]
            expected = expected._replace(filled=state.filled)
        assert state == expected, fault.statement
        database.upgrade()
        assert database.state() == whole[HEAD], fault.statement
        if fault.statement is None:
            break
    assert number > 50
