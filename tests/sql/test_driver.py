"""What runs on the driver's cursor answers, writes and fails as the same statement does through SQLAlchemy."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, InvalidRequestError

from imagestore.digest import Digest
from imagestore.errors import ImageNotFoundError
from imagestore.layer import links
from imagestore.sql import (
    blobs,
    contents,
    edges,
    images,
    layers,
    lineage,
    metadata,
    references,
    schema,
    sharing,
    trie,
    uses,
)
from imagestore.sql.driver import Read, Write
from imagestore.sql.driver_errors import is_foreign_key_violation
from imagestore.store import Store
from imagestore.testing.makers import make_config, make_diff_id, make_digest

MODULES = (blobs, contents, edges, images, layers, lineage, metadata, references, sharing, trie, uses)


def statements(kind):
    found: dict[str, Read] = {}
    for module in MODULES:
        for name, value in vars(module).items():
            named = value.items() if isinstance(value, dict) else [("", value)]
            found |= {f"{module.__name__}.{name}{key}": each for key, each in named if type(each) is kind}
    return found


READS, WRITES = statements(Read), statements(Write)


def test_the_hot_statements_are_among_them():
    reads = {"images.SELECT", "images.EXISTS", "images.SEARCH", "images.PARENT", "images.PAGESTrue"}
    reads |= {"lineage.ANCESTORS", "trie.BASES", "trie.DERIVED"}
    assert {f"imagestore.sql.{name}" for name in reads} < set(READS)
    writes = {"blobs._INSERT", "images._INSERT", "edges._HOLD_CHILD", "edges._SET_PARENT", "metadata._UPSERT"}
    writes |= {"layers._HOLD_HIGHEST", "layers._INSERT", "layers._DELETE_ALONE", "blobs._DELETE"}
    assert {f"imagestore.sql.{name}" for name in writes} < set(WRITES)


def in_raw_bytes(value):
    is_digest = isinstance(value, str) and value.startswith("sha256:")
    return Digest(value).raw if is_digest else value


def finding_something(store, statement):
    """A value for each parameter of a statement, in a store where it has rows to find, to write or to remove."""
    configs = [make_config(name, layers=number) for number, name in enumerate(("root", "child", "grandchild"))]
    root, child, grandchild = store.create_many([*configs, make_config("twin", layers=1)])[:3]
    store.set_parent(child, root)
    store.set_parent(grandchild, child)
    store.touch(child)
    store.references.add_tag("app:1", child)
    lonely, new = links([make_diff_id("lonely"), make_diff_id("new")])
    bare = store.backend.set(b"no image")
    store._bind.write(layers.hold, [lonely])
    for name in ("lonely", "unused"):
        store._bind.write(contents.keep, make_diff_id(name), name, 1)
    top = store.get(child).stack[-1].chain_id
    values = dict.fromkeys(("image_id", "blob", "child"), child)
    values |= {"low": bytes(32), "high": b"\xff" * 32, "after": b"", "limit": 10}
    values |= dict.fromkeys(("key", "metadata_key"), metadata.LAST_USED)
    values |= dict.fromkeys(("after_chain", "after_id", "after_never"), b"")
    values |= {"other_id": child, "places": Digest(top).raw, "count": 1, "chains": Digest(top).raw}
    values |= {"time": "9", "after_time": "", "name": "docker.io/library/app:1", "repository": "docker.io/library/app"}
    values |= {"digest": make_digest("new"), "data": b"new", "sound": b"sound", "metadata_value": b"value"}
    values |= {
        "id": bare,
        "top": top,
        "new_parent": root,
        "named": root.encode(),
        "chain": lonely.chain_id,
        "held": 100,
    }
    values |= {"chain_id": new.chain_id, "diff_id": new.diff_id, "parent": new.parent, "size": 7}
    values |= {"diff_ids": Digest(make_diff_id("unused")).raw}
    if statement is references.PAGE:
        values["after"] = ""
    if statement is layers._WITH_CONTENT:
        values["chains"] = Digest(lonely.chain_id).raw
    return {
        name: values[name] for name, bind in statement.statement.compile(store.engine).binds.items() if bind.required
    }


def answer(rows):
    return [tuple(map(in_raw_bytes, row)) for row in rows]


def assert_same_answers(store, read):
    values = finding_something(store, read)
    with store._bind._reader.connect() as connection:
        expected = answer(connection.execute(read.statement, values))
        raw = {name: in_raw_bytes(value) for name, value in values.items()}
        assert read.all(connection, **raw) == expected
        assert read.first(connection, **raw) == expected[0]


def undone(connection, work):
    """What some work returns, and what all tables have then; it is rolled back."""
    with connection.begin() as transaction:
        result = work()
        rows = {
            table: sorted(answer(connection.execute(sa.select(table))), key=repr)
            for table in schema.metadata.tables.values()
        }
        transaction.rollback()
    return result, rows


def assert_same_effects(store, write):
    values = finding_something(store, write)
    raw = {name: in_raw_bytes(value) for name, value in values.items()}
    with store._bind._writer.connect() as connection:

        def by_sqlalchemy():
            result = connection.execute(write.statement, values)
            # Of an INSERT on PostgreSQL it says -1: that it does not know.
            return answer(result) if result.returns_rows else abs(result.rowcount)

        expected = undone(connection, by_sqlalchemy)
        has_rows = isinstance(expected[0], list)
        assert expected[0], "it has found something to do"
        assert undone(connection, lambda: (write.all if has_rows else write.run)(connection, **raw)) == expected
        if has_rows:
            assert undone(connection, lambda: write.first(connection, **raw)) == (expected[0][0], expected[1])
        else:
            assert undone(connection, lambda: write.run_many(connection, [raw])) == expected


@pytest.mark.parametrize("name", READS)
def test_the_driver_answers_as_sqlalchemy_does(store, name):
    assert_same_answers(store, READS[name])


@pytest.mark.parametrize("name", READS)
def test_a_schema_is_asked_where_the_tables_are_in_one(postgres_url, name):
    with Store.open(postgres_url) as public, Store.open(postgres_url, schema="apart") as store:
        assert_same_answers(store, READS[name])
        assert len(public) == 0


@pytest.mark.parametrize("name", WRITES)
def test_the_driver_writes_as_sqlalchemy_does(store, name):
    assert_same_effects(store, WRITES[name])


@pytest.mark.parametrize("name", WRITES)
def test_a_schema_is_written_where_the_tables_are_in_one(postgres_url, name):
    with Store.open(postgres_url) as public, Store.open(postgres_url, schema="apart") as store:
        assert_same_effects(store, WRITES[name])
        assert len(public) == 0


def test_many_writes_are_counted_together(store):
    there, *new = (
        {
            "chain_id": Digest(make_diff_id(name)).raw,
            "diff_id": Digest(make_diff_id(name)).raw,
            "parent": None,
            "size": 1,
        }
        for name in ("there", "new", "newer")
    )
    assert store._bind.write(layers._INSERT.run_many, [there]) == 1
    assert store._bind.write(layers._INSERT.run_many, [new[0], there, new[1]]) == 2


def test_a_write_begins_the_transaction_that_sqlalchemy_ends(store):
    kept, dropped = make_digest("kept"), make_digest("dropped")
    with store.engine.connect() as connection:
        blobs.insert_one(connection, dropped, b"dropped")
        connection.rollback()
        blobs.insert_one(connection, kept, b"kept")
        assert connection.in_transaction()
        connection.commit()
        blobs.insert_one(connection, dropped, b"dropped")
    assert list(store.backend.walk()) == [kept]


@pytest.mark.parametrize("end", ["rollback", "commit"])
def test_a_host_in_the_legacy_mode_of_sqlite3_is_who_commits(sqlite_store, end):
    """There the driver begins by itself, before a statement that writes, and nothing begins before a SAVEPOINT."""
    doomed, there = sqlite_store.create_many([make_config("doomed", layers=2), make_config("there")])
    engine = sa.create_engine(sqlite_store.engine.url)
    sa.event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys = ON"))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE host (n)")
    with engine.connect() as connection:
        connection.exec_driver_sql("INSERT INTO host VALUES (1)")
        joined = sqlite_store.joined(connection)
        new = joined.create(make_config("new", layers=3))
        joined.set_parent(new, there)
        for note in (joined.touch, joined.set_last_updated, joined.set_built_locally):
            note(there)
        joined.delete(doomed)
        with pytest.raises(ImageNotFoundError):
            joined.touch(doomed)
        other = joined.backend.set(b"no image")
        joined.backend.set_metadata(other, "key", b"value")
        assert set(sqlite_store.map()) == {doomed, there}
        assert sqlite_store.last_used(there) is None
        getattr(connection, end)()
    engine.dispose()
    expected = {"rollback": ({doomed, there}, set()), "commit": ({new, there}, {other})}[end]
    assert (set(sqlite_store.map()), set(sqlite_store.backend.walk()) - {doomed, there, new}) == expected
    assert (sqlite_store.last_used(there) is None) == (end == "rollback")


@pytest.fixture(params=[images.EXISTS, metadata._UPSERT], ids=["read", "write"])
def statement(request):
    return request.param


VALUES = {"image_id": make_digest(), "blob": make_digest(), "metadata_key": b"key", "metadata_value": b"value"}


def values_of(statement):
    return {name: VALUES[name] for name, bind in statement.statement.compile().binds.items() if bind.required}


def run_by_sqlalchemy(connection, statement):
    connection.execute(statement.statement, values_of(statement))


def run_by_the_driver(connection, statement):
    run = statement.run if isinstance(statement, Write) else statement.all
    run(connection, **{name: in_raw_bytes(value) for name, value in values_of(statement).items()})


def failure(engine, prepare, run, statement):
    """What the error of a statement tells its receiver, and what it has done to the connection."""
    with engine.connect() as connection:
        prepare(connection)
        with pytest.raises((DBAPIError, InvalidRequestError)) as caught:
            run(connection, statement)
        found = [type(caught.value), connection.closed, connection.invalidated]
        if not connection.closed:
            connection.rollback()
    if isinstance(caught.value, DBAPIError):
        driver, text, invalidated = caught.value.orig, caught.value.statement, caught.value.connection_invalidated
        return [*found, type(driver), str(driver), text, invalidated]
    return [*found, str(caught.value)]


def assert_same_errors(engine, prepare, statement):
    """Fail with each on a connection of its own, which `prepare` has brought to where it cannot run the statement."""
    expected = failure(engine, prepare, run_by_sqlalchemy, statement)
    assert failure(engine, prepare, run_by_the_driver, statement) == expected
    return expected


def test_a_missing_table(database_url, statement):
    with Store.open(database_url) as store:
        for table in ("metadata", "references", "images", "blobs"):
            store._bind.write(
                lambda connection, table: connection.exec_driver_sql(f"DROP TABLE imagestore_{table}"), table
            )
        assert_same_errors(store.engine, lambda connection: None, statement)


def test_a_closed_connection(store, statement):
    assert_same_errors(store.engine, lambda connection: connection.close(), statement)


def test_a_row_that_names_one_that_is_not_there(store):
    kind, *_ = assert_same_errors(store.engine, lambda connection: None, metadata._UPSERT)
    assert kind is IntegrityError
    raw = {name: in_raw_bytes(value) for name, value in values_of(metadata._UPSERT).items()}
    for run in (metadata._UPSERT.run_many, lambda connection, rows: metadata._UPSERT.run(connection, **rows[0])):
        with pytest.raises(IntegrityError) as caught:
            store._bind.write(run, [raw])
        assert is_foreign_key_violation(caught.value)


def test_a_server_that_ends_the_connection(postgres_store, statement):
    def terminate(connection):
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        with postgres_store.engine.begin() as other:
            other.exec_driver_sql(f"SELECT pg_terminate_backend({pid}, 10000)")

    assert_same_errors(postgres_store.engine, terminate, statement)


def test_a_transaction_that_has_failed(postgres_store, statement):
    def fail(connection):
        with pytest.raises(DBAPIError):
            connection.exec_driver_sql("SELECT 1 / 0")

    assert_same_errors(postgres_store.engine, fail, statement)


def test_a_statement_that_takes_too_long(postgres_store, statement):
    def lock(connection):
        connection.exec_driver_sql("SET LOCAL lock_timeout = 1")

    with postgres_store.engine.connect() as other, other.begin():
        other.exec_driver_sql("LOCK TABLE imagestore_images, imagestore_metadata")
        assert_same_errors(postgres_store.engine, lock, statement)
