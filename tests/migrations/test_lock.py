"""One migration at a time, from any number of processes; who comes second finds the work done."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import event, inspect, make_url, text

from imagestore import migrate
from imagestore.errors import SchemaLockedError
from imagestore.sql import schema
from imagestore.sql.engine import create_engine
from imagestore.sql.revision import HEAD, require_head

ROOT = Path(__file__).parents[2]
PROCESSES = 10
WORKER = """
import sys
import sqlalchemy
import imagestore
from imagestore import migrate
from imagestore.sql.engine import configure, create_engine

PATIENCE = {"sqlite": {"timeout": 60}, "postgresql": {}}

def open_a_store(url):
    imagestore.Store.open(url, timeout=60).close()

def create_on_an_engine_of_ours(url):
    engine = create_engine(url, timeout=60)
    with engine.connect() as connection:
        migrate.create(connection)
    engine.dispose()

def upgrade_in_a_transaction_of_a_host(url, configure=lambda engine, timeout: engine):
    dialect = sqlalchemy.make_url(url).get_backend_name()
    engine = configure(sqlalchemy.create_engine(url, connect_args=PATIENCE[dialect]), timeout=60)
    with engine.begin() as connection:
        migrate.upgrade(connection)
    engine.dispose()

def upgrade_in_a_transaction_of_a_configured_host(url):
    upgrade_in_a_transaction_of_a_host(url, configure)

print("ready", flush=True)
for line in sys.stdin:
    how, url = line.split()
    globals()[how](url)
    print("done", flush=True)
"""


@pytest.fixture(scope="module")
def workers():
    """Ten processes, imports done, that each wait for a line to work on."""
    command = [sys.executable, "-c", WORKER]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(PROCESSES)
        ]
        assert [process.stdout.readline() for process in processes] == ["ready\n"] * PROCESSES
        yield processes
        for process in processes:
            process.stdin.close()


@pytest.mark.parametrize(
    "how",
    [
        "open_a_store",
        "create_on_an_engine_of_ours",
        "upgrade_in_a_transaction_of_a_host",
        "upgrade_in_a_transaction_of_a_configured_host",
    ],
)
def test_ten_processes_open_an_empty_database_at_once(workers, how, database_url, connect):
    for process in workers:
        process.stdin.write(f"{how} {database_url}\n")
        process.stdin.flush()
    assert [process.stdout.readline() for process in workers] == ["done\n"] * PROCESSES
    connection = connect(database_url)
    require_head(connection)
    assert migrate.check(connection) == []


def tables(url):
    engine = create_engine(url)
    with engine.connect() as connection:
        found = inspect(connection).get_table_names()
    engine.dispose()
    return found


@pytest.mark.parametrize("joined", [False, True], ids=["alone", "joined"])
def test_who_waits_too_long_is_told_and_changes_nothing(postgres_url, connect, joined):
    holder = connect(postgres_url)
    connection = connect(postgres_url)
    with holder.begin():
        migrate.create(holder)
        if joined:
            connection.begin()
        for refused in (migrate.create, migrate.upgrade):
            with pytest.raises(SchemaLockedError, match=r"0 seconds.*pg_locks"):
                refused(connection, timeout=0)
        assert connection.in_transaction() == joined
        connection.rollback()
        assert tables(postgres_url) == []
        holder.get_transaction().rollback()
    migrate.create(connection)
    require_head(connection)


def test_sqlite_waits_as_long_as_its_busy_timeout(sqlite_url, connect):
    holder = connect(sqlite_url)
    connection = connect(sqlite_url, timeout=0)
    with holder.begin():
        migrate.create(holder)
        with pytest.raises(sqlalchemy.exc.OperationalError, match="locked"):
            migrate.create(connection)
        assert not connection.in_transaction()
    migrate.create(connection)
    require_head(connection)


def test_the_lock_is_let_go_of(postgres_url, connect, next_release):
    connection = connect(postgres_url)
    migrate.create(connection)
    with next_release():
        migrate.upgrade(connection)
        migrate.downgrade(connection, HEAD)
    other = connect(postgres_url)
    assert other.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")) == 0
    other.rollback()
    migrate.upgrade(other, timeout=0)


def upgrade_joined(connection):
    with connection.begin():
        migrate.upgrade(connection, HEAD)


WAITERS = {"alone": migrate.upgrade, "joined": upgrade_joined}


@pytest.mark.parametrize("waiter", WAITERS)
@pytest.mark.parametrize("make_engine", [create_engine, sqlalchemy.create_engine], ids=["ours", "a host's"])
def test_an_index_is_built_concurrently_while_another_process_waits_for_the_lock(
    postgres_url, connect, next_release, waiter, make_engine
):
    """CREATE INDEX CONCURRENTLY waits for every snapshot: neither who has the lock nor who waits for it may keep one."""
    migrate.create(connect(postgres_url))
    bounded = make_url(postgres_url).update_query_dict({"options": "-c statement_timeout=60000"})
    builds, waits = connect(bounded, make_engine), connect(postgres_url, make_engine)
    tried, finished = threading.Event(), []

    def wait():
        WAITERS[waiter](waits)
        finished.append(waiter)

    thread = threading.Thread(target=wait)

    @event.listens_for(waits.engine, "rollback")
    def has_tried_alone(*_):
        tried.set()

    @event.listens_for(waits.engine, "after_cursor_execute")
    def has_tried_joined(_connection, _cursor, statement, *_):
        if statement.startswith("ROLLBACK TO"):
            tried.set()

    @event.listens_for(builds.engine, "before_cursor_execute")
    def before_the_index(_connection, _cursor, statement, *_):
        if "CONCURRENTLY" in statement:
            thread.start()
            assert tried.wait(30)
            assert finished == []

    with next_release() as (_, newest):
        migrate.upgrade(builds)
        thread.join()
        assert finished == [waiter]
        assert migrate.current(builds) == newest


def test_the_lock_outlives_the_servers_limits_for_idle_transactions(postgres_url, connect, next_release):
    migrate.create(connect(postgres_url))
    options = {"connect_args": {"options": "-c idle_in_transaction_session_timeout=50"}}
    connection = connect(postgres_url, sqlalchemy.create_engine, **options)

    @event.listens_for(connection.engine, "before_cursor_execute")
    def sleep_before_the_index(connection, _cursor, statement, *_):
        if "CONCURRENTLY" in statement:
            connection.connection.dbapi_connection.execute("SELECT pg_sleep(0.5)")
            holders = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
            (held,) = connection.connection.dbapi_connection.execute(holders).fetchone()
            assert held == 1

    with next_release() as (_, newest):
        migrate.upgrade(connection)
    assert migrate.current(connection) == newest


def test_threads_open_databases_of_their_own_at_once(tmp_path):
    """Alembic's op is one for the process: revisions are given theirs."""
    urls = [f"sqlite:///{tmp_path / f'{number}.db'}" for number in range(8)]
    together = threading.Barrier(len(urls))

    def open_one(url):
        engine = create_engine(url)
        with engine.connect() as connection:
            together.wait()
            migrate.create(connection)
        engine.dispose()

    threads = [threading.Thread(target=open_one, args=(url,)) for url in urls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(tables(url)) for url in urls] == [len(schema.metadata.tables) + 1] * len(urls)
