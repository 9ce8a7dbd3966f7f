"""Connections that are kept between two calls: who has them, and when they are let go."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from imagestore.errors import ImageNotFoundError
from imagestore.sql.connections import Connections
from imagestore.sql.engine import create_engine

KEPT = 5


@pytest.fixture
def engine(database_url):
    made = create_engine(database_url, autocommit=True)
    yield made
    made.dispose()


@pytest.fixture
def connections(engine):
    made = Connections(engine, keep=True)
    yield made
    made.close()


def checked_out(engine):
    return engine.pool.checkedout()


def driver_connection(connection):
    return connection.connection.driver_connection


def fail(connection):
    connection.exec_driver_sql("SELECT * FROM nowhere")


def test_a_connection_is_used_again(connections, engine):
    assert len({connections.run(driver_connection) for _ in range(3)}) == 1
    assert checked_out(engine) == 1
    connections.close()
    assert checked_out(engine) == 0


def test_an_engine_that_begins_transactions_has_all_its_connections_back(database_url):
    host = create_engine(database_url)
    connections = Connections(host, keep=False)
    assert connections.run(lambda connection: connection.scalar(text("SELECT 1"))) == 1
    assert checked_out(host) == 0
    host.dispose()


def test_threads_have_a_connection_each_and_some_are_kept(connections, engine):
    threads = KEPT + 2
    together = Barrier(threads)

    def meet(connection):
        together.wait()
        return driver_connection(connection)

    with ThreadPoolExecutor(threads) as executor:
        found = list(executor.map(lambda _: connections.run(meet), range(threads)))
    assert len(set(found)) == threads
    assert checked_out(engine) == KEPT


def test_a_connection_outlasts_an_error_of_ours(connections):
    def raise_ours(connection):
        raise ImageNotFoundError("sha256:1")

    before = connections.run(driver_connection)
    with pytest.raises(ImageNotFoundError):
        connections.run(raise_ours)
    assert connections.run(driver_connection) is before


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_it_is_let_go_after_any_other(connections, engine, error):
    def raise_other(connection):
        raise error

    connections.run(driver_connection)
    with pytest.raises(error):
        connections.run(raise_other)
    assert checked_out(engine) == 0


def test_all_are_let_go_after_an_error_of_the_database(connections, engine):
    def nested(connection):
        return driver_connection(connection), connections.run(driver_connection)

    one, other = connections.run(nested)
    assert one is not other
    assert checked_out(engine) == 2
    with pytest.raises(DBAPIError):
        connections.run(fail)
    assert checked_out(engine) == 0


def test_no_transaction_is_left_on_a_kept_connection(connections):
    assert connections.run(lambda connection: connection.scalar(text("SELECT 1"))) == 1
    assert not connections.run(lambda connection: connection.in_transaction())
