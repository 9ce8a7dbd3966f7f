"""Connections that are kept between two reads: who has them, and when they are let go."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from imagestore.errors import ImageNotFoundError
from imagestore.sql.engine import create_engine
from imagestore.sql.readers import Readers

KEPT = 5


@pytest.fixture
def engine(database_url):
    made = create_engine(database_url, autocommit=True)
    yield made
    made.dispose()


@pytest.fixture
def readers(engine):
    made = Readers(engine, keep=True)
    yield made
    made.close()


def driver_connection(connection):
    return connection.connection.driver_connection


def fail(connection):
    connection.exec_driver_sql("SELECT * FROM nowhere")


def test_a_connection_is_used_again(readers, engine):
    assert len({readers.run(driver_connection) for _ in range(3)}) == 1
    assert engine.pool.checkedout() == 1
    readers.close()
    assert engine.pool.checkedout() == 0


def test_an_engine_that_begins_transactions_has_all_its_connections_back(database_url):
    host = create_engine(database_url)
    readers = Readers(host, keep=False)
    assert readers.run(lambda connection: connection.scalar(text("SELECT 1"))) == 1
    assert host.pool.checkedout() == 0
    host.dispose()


def test_threads_have_a_connection_each_and_some_are_kept(readers, engine):
    threads = KEPT + 2
    together = Barrier(threads)

    def meet(connection):
        together.wait()
        return driver_connection(connection)

    with ThreadPoolExecutor(threads) as executor:
        found = list(executor.map(lambda _: readers.run(meet), range(threads)))
    assert len(set(found)) == threads
    assert engine.pool.checkedout() == KEPT


def test_a_connection_outlasts_an_error_of_ours(readers):
    def raise_ours(connection):
        raise ImageNotFoundError("sha256:1")

    before = readers.run(driver_connection)
    with pytest.raises(ImageNotFoundError):
        readers.run(raise_ours)
    assert readers.run(driver_connection) is before


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_it_is_let_go_after_any_other(readers, engine, error):
    def raise_other(connection):
        raise error

    readers.run(driver_connection)
    with pytest.raises(error):
        readers.run(raise_other)
    assert engine.pool.checkedout() == 0


def test_all_are_let_go_after_an_error_of_the_database(readers, engine):
    def nested(connection):
        return driver_connection(connection), readers.run(driver_connection)

    one, other = readers.run(nested)
    assert one is not other
    assert engine.pool.checkedout() == 2
    with pytest.raises(DBAPIError):
        readers.run(fail)
    assert engine.pool.checkedout() == 0


def test_no_transaction_is_left_on_a_kept_connection(readers):
    assert readers.run(lambda connection: connection.scalar(text("SELECT 1"))) == 1
    assert not readers.run(lambda connection: connection.in_transaction())
