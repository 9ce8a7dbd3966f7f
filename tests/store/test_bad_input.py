"""What a store is given that it cannot take: it says so in its own words, names no secret, and nothing is left behind.

What every store refuses (bytes that are no image, malformed IDs, impossible parents) is in the contracts of `imagestore.testing`.
"""

from __future__ import annotations

import traceback
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session

import imagestore
from imagestore import Store
from imagestore.arguments import check_bytes
from imagestore.digest import ImageID
from imagestore.errors import (
    ForeignSchemaError,
    InvalidDigestError,
    InvalidError,
    ParentCycleError,
    SchemaMissingError,
    SchemaTooNewError,
    UnusableBindError,
)
from imagestore.image import Image
from imagestore.sql import images
from imagestore.sql.schema import VERSION_TABLE
from imagestore.testing.makers import make_config, make_digest
from imagestore.testing.refusal import refusal
from tests.verify.damage import write_row

SECRET = "hunter2"


def told(error):
    return " ".join([str(error), *getattr(error, "__notes__", ())])


# Arguments


@pytest.mark.parametrize("value", [None, 5, 1.5, b"sha256:" + b"a" * 64, ["sha256:" + "a" * 64]], ids=repr)
def test_what_is_no_text_is_no_id(store, value):
    there = store.create(make_config())
    calls = (
        store.get,
        store.delete,
        store.search,
        store.get_parent,
        store.children,
        store.get_last_updated,
        store.last_used,
        store.is_built_locally,
        store.touch,
        store.set_last_updated,
        store.set_built_locally,
        store.__contains__,
        store.lineage.ancestors,
        store.lineage.descendants,
        store.backend.get,
        store.backend.delete,
    )
    for call in calls:
        assert "expected a str" in str(refusal(InvalidDigestError, call, value))
    refusal(InvalidDigestError, store.set_parent, value, there)
    refusal(InvalidDigestError, store.set_parent, there, value)
    refusal(InvalidDigestError, store.get_many, [value])
    assert list(store.map()) == [there]


@pytest.mark.parametrize("config", [None, "{}", 5, [123]], ids=repr)
def test_a_configuration_is_bytes(store, config):
    refusal(TypeError, store.create, config)
    refusal(TypeError, store.create_many, [make_config(), config])
    assert len(store) == 0


def test_a_configuration_may_be_in_a_buffer(store):
    for number, buffer in enumerate((bytearray, memoryview)):
        config = make_config(number)
        assert store.get(store.create(buffer(config))).raw_json == config


def test_a_generator_that_fails_creates_nothing(store):
    def configs():
        yield make_config()
        raise InterruptedError

    refusal(InterruptedError, store.create_many, configs())
    assert len(store) == 0


@pytest.mark.parametrize("value", [None, "text", 5], ids=repr)
def test_a_value_of_metadata_is_bytes(store, value):
    image_id = store.create(make_config())
    refusal(TypeError, store.backend.set_metadata, image_id, "key", value)
    refusal(TypeError, store.backend.set_many_metadata, [(image_id, "key", value)])
    assert store.backend.metadata_keys(image_id) == []


@pytest.mark.parametrize(("limit", "kind"), [(0, InvalidError), (-1, InvalidError), (1.5, TypeError), ("5", TypeError)])
def test_a_page_has_a_length(store, limit, kind):
    refusal(kind, store.page, None, limit)


def test_a_page_may_be_longer_than_a_database_counts(store):
    image_id = store.create(make_config())
    assert [image.image_id for image in store.page(limit=2**63)] == [image_id]


@pytest.mark.parametrize(
    "spoil", [str.upper, lambda digits: "z" * 64, lambda digits: digits[:2], lambda digits: " " + digits[1:]]
)
def test_what_metadata_states_as_a_parent_is_checked_when_it_is_used(store, spoil):
    image_id = store.create(make_config())
    stated = "sha256:" + spoil(image_id.hex)
    store.backend.set_metadata(image_id, "parent", stated.encode())
    for parent in (store.get_parent(image_id), store.get(image_id).parent, store.map()[image_id].parent):
        assert parent == stated
        assert isinstance(parent, ImageID)
        refusal(InvalidDigestError, store.get, parent)
        refusal(InvalidDigestError, store.__contains__, parent)
        refusal(InvalidDigestError, store.set_parent, image_id, parent)
    assert store.lineage.ancestors(image_id) == []


def test_what_a_configuration_states_as_a_parent_is_checked_when_it_is_used(store):
    image_id = store.create(make_config())
    stated = Image.from_json(make_config(parent=image_id.upper().replace("SHA", "sha"))).parent
    refusal(InvalidDigestError, store.set_parent, image_id, stated)
    refusal(InvalidDigestError, store.get, stated)


# A damaged index


@pytest.mark.parametrize("start", ["in the cycle", "below the cycle"])
def test_lineage_ends_where_the_index_has_a_cycle(store, start):
    one, two, three, below = store.create_many(make_config(number) for number in range(4))
    for child, parent in ((one, two), (two, three), (three, one), (below, one)):
        write_row(store, child, parent=parent)
    if start == "in the cycle":
        assert store.lineage.ancestors(one) == [two, three]
        assert store.lineage.descendants(one) == [*sorted([three, below]), two]
    else:
        assert store.lineage.ancestors(below) == [one, two, three]
        assert store.lineage.descendants(below) == []
    refusal(ParentCycleError, store.set_parent, one, below)
    store.set_parent(one, store.create(make_config("root")))
    store.delete(three)


# URLs


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        (None, "sqlite:///"),
        ("", "sqlite:///"),
        ("images.db", "sqlite:///"),
        ("sqlite:/images.db", "sqlite:///"),
        (f"sqlite://user:{SECRET}@host/images.db", "sqlite:///"),
        (f"mysql://user:{SECRET}@host/images", "postgresql"),
        (f"postgres://user:{SECRET}@host/images", "write 'postgresql'"),
        (f"postgresql+psycopg2://user:{SECRET}@host/images", "postgresql+psycopg:"),
        (f"postgresql://user:{SECRET}@host:port/images", "postgresql+psycopg:"),
        (f"postgresql://user:half@{SECRET}@host/images", "%40"),
        (f"postgresql://user:{SECRET}\0@host/images", "NUL"),
        (f"postgresql://user:{SECRET}@host/images%00", "NUL"),
    ],
)
def test_a_wrong_url_is_refused_before_anything_connects(url, remedy):
    error = refusal(UnusableBindError, Store.open, url)
    assert remedy in str(error)
    assert SECRET not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    ("query", "remedy"), [("", "the server cannot be reached"), ("&no_such_option=1", "client library does not know")]
)
def test_a_server_that_cannot_be_reached(tmp_path, query, remedy):
    url = f"postgresql://user:{SECRET}@/images?host={tmp_path}{query}"
    error = refusal((OperationalError, ProgrammingError), Store.open, url)
    assert remedy in told(error)
    assert SECRET not in "".join(traceback.format_exception(error))


def test_a_password_is_not_shown(postgres_url):
    url = sa.make_url(postgres_url).set(password=SECRET)
    with Store.open(url) as store:
        shown = [repr(store), repr(store.engine), str(store.engine.url), repr(store.backend)]
        error = refusal(DBAPIError, store._bind.write, lambda connection: connection.exec_driver_sql("no SQL"))
        missing = refusal(SchemaMissingError, lambda: Store(store.engine, schema="nowhere"))
    assert SECRET not in "".join([*shown, *traceback.format_exception(error), *traceback.format_exception(missing)])


@pytest.mark.parametrize(("timeout", "milliseconds"), [(-1, 0), (0, 0), (0.25, 250), (10**9, 2**31 - 1)])
def test_a_timeout_that_sqlite_cannot_count(sqlite_url, timeout, milliseconds):
    with Store.open(sqlite_url, timeout=timeout) as store, store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == milliseconds


# Databases


def test_a_schema_on_sqlite_makes_no_file(tmp_path):
    url = f"sqlite:///{tmp_path / 'images.db'}"
    assert "leave out schema='images'" in str(refusal(UnusableBindError, lambda: Store.open(url, schema="images")))
    assert list(tmp_path.iterdir()) == []
    with Store.open(url) as store:
        refusal(UnusableBindError, lambda: Store(store.engine, schema="main"))
        with store.engine.begin() as connection:
            refusal(UnusableBindError, lambda: Store(connection, schema="main"))


def test_tables_of_somebody_else(database_url):
    engine = sa.create_engine(database_url)
    sa.Table("imagestore_images", sa.MetaData(), sa.Column("id", sa.Text)).create(engine)
    for create_schema in (True, False):
        error = refusal(ForeignSchemaError, lambda create=create_schema: Store.open(database_url, create_schema=create))
        assert "imagestore_images" in str(error)
    assert sa.inspect(engine).get_table_names() == ["imagestore_images"]
    engine.dispose()


def test_a_database_of_a_later_release(store):
    with store.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    for open_ in (lambda: Store.open(store.engine.url), lambda: Store(store.engine)):
        error = refusal(SchemaTooNewError, open_)
        assert "9999" in str(error)
        assert "install the release that wrote it" in str(error)


def test_a_full_database(sqlite_store):
    """What a call has written before the disk is full goes with it, joined or not, and the next one succeeds."""
    there = sqlite_store.create(make_config())
    engine = imagestore.configure(sa.create_engine(sqlite_store.engine.url, poolclass=sa.pool.StaticPool))
    store, large = Store(engine), make_config("large", pad="x" * 1_000_000)
    with engine.connect() as connection:
        most = connection.exec_driver_sql("PRAGMA page_count").scalar_one() + 10
        connection.exec_driver_sql(f"PRAGMA max_page_count = {most}")
    for call in (store.create, store.backend.set):
        assert "the disk (or the database's page limit) is full" in told(refusal(OperationalError, call, large))
    refusal(OperationalError, store.create_many, [make_config("small"), large])
    with engine.connect() as connection, connection.begin() as transaction:
        joined = store.joined(connection)
        refusal(OperationalError, joined.create, large)
        transaction.rollback()
    assert list(store.map()) == list(store.backend.walk()) == [there]
    assert len(store.create_many([make_config("small")])) == 1
    engine.dispose()


# Binds


@pytest.mark.parametrize("bind", [None, 5, "sqlite://", Session()], ids=["None", "int", "str", "Session"])
def test_what_is_no_bind_is_refused(sqlite_store, bind):
    for call in (Store, imagestore.SQLBackend, sqlite_store.joined):
        error = refusal(UnusableBindError, call, bind)
        assert type(bind).__name__ in str(error)
        assert "Store.open() takes a URL" in str(error)
    refusal(UnusableBindError, sqlite_store.joined, sqlite_store.engine)


def test_an_engine_of_another_dialect_is_refused():
    engine = sa.create_engine("mysql+pymysql://host/images", module=SimpleNamespace(paramstyle="format"))
    assert "'mysql'" in str(refusal(UnusableBindError, Store, engine))


def test_an_engine_in_autocommit_is_refused(postgres_store):
    engine = sa.create_engine(postgres_store.engine.url, isolation_level="AUTOCOMMIT")
    assert "autocommit" in str(refusal(UnusableBindError, Store, engine))
    engine.dispose()


def test_an_engine_may_be_configured_twice(sqlite_store):
    for engine in (sqlite_store.engine, imagestore.configure(sa.create_engine(sqlite_store.engine.url))):
        store = Store(imagestore.configure(engine))
        assert store.create(make_config()) in store
        engine.dispose()


def test_a_closed_connection_is_told(store):
    with store.begin() as joined, store.reading() as snapshot:
        pass
    for call in (joined.get, snapshot.get, joined.touch):
        assert "the connection is closed" in str(refusal(UnusableBindError, call, make_digest()))


@pytest.mark.parametrize("url", ["sqlite://", None], ids=["memory", "database"])
def test_a_closed_store_is_told(store, url):
    with Store.open(url or store.engine.url) as closed:
        image_id = closed.create(make_config())
        backend = closed.backend
    closed.close()
    for call in (closed.get, closed.touch, backend.get):
        assert "this store is closed" in str(refusal(UnusableBindError, call, image_id))


# Transactions and connections that end


def test_an_exception_takes_back_the_inner_of_two_transactions(store):
    def fail(joined):
        with joined.begin() as inner:
            inner.create(make_config("inner"))
            raise InterruptedError

    with store.begin() as joined:
        outer = joined.create(make_config("outer"))
        refusal(InterruptedError, fail, joined)
        assert list(joined.map()) == [outer]
    assert list(store.map()) == list(store.backend.walk()) == [outer]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, GeneratorExit, SystemExit])
def test_an_interrupted_transaction_leaves_nothing(store, kind):
    def interrupt():
        with store.begin() as joined:
            joined.create(make_config())
            raise kind

    refusal(kind, interrupt)
    assert list(store.backend.walk()) == []


def end_connections(server_url):
    """End all other connections to the database, as a server does that is restarted."""
    engine = sa.create_engine(server_url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_store_outlives_the_connections_of_its_pool(postgres_store):
    image_id = postgres_store.create(make_config())
    for call in (postgres_store.get, postgres_store.touch, postgres_store.lineage.ancestors, postgres_store.delete):
        end_connections(postgres_store.engine.url)
        call(image_id)


def test_a_commit_that_may_have_succeeded_is_not_repeated(postgres_store):
    runs = []

    def create_and_lose_connection(connection):
        runs.append(connection)
        images.create(connection, ImageID.from_bytes(make_config()), make_config())
        sa.event.listen(connection, "commit", lambda _: end_connections(postgres_store.engine.url))

    error = refusal(OperationalError, postgres_store._bind.write, create_and_lose_connection)
    assert "the server was stopped or ended this connection" in told(error)
    assert len(runs) == 1
    assert len(postgres_store) == 0


def test_a_transaction_of_several_calls_is_not_repeated(postgres_store):
    def lose_connection():
        with postgres_store.begin() as joined:
            joined.create(make_config())
            end_connections(postgres_store.engine.url)
            joined.create(make_config("other"))

    assert "the server was stopped or ended this connection" in told(refusal(OperationalError, lose_connection))
    assert len(postgres_store) == 0


@pytest.mark.parametrize(
    ("setting", "remedy"), [("lock_timeout", "lock_timeout"), ("statement_timeout", "was cancelled")]
)
def test_a_call_that_waits_too_long(postgres_store, setting, remedy):
    image_id = postgres_store.create(make_config())
    engine = sa.create_engine(postgres_store.engine.url, connect_args={"options": f"-c {setting}=20"})
    store = Store(engine)
    with postgres_store.begin() as other:
        other.set_parent(image_id, other.create(make_config("parent")))
        assert remedy in told(refusal(OperationalError, store.delete, image_id))
    store.delete(image_id)
    engine.dispose()


@pytest.mark.parametrize("limit", [0, -1, 1.5, float("inf"), "10", None])
def test_a_limit_of_a_layer_that_is_none(limit):
    with pytest.raises(InvalidError, match=f"above 0, not {limit!r}: leave it out"):
        check_bytes(limit)
    assert check_bytes(2**70) == 2**70
