"""In a host's snapshot (PostgreSQL's REPEATABLE READ), who came to rely on a layer meanwhile is not seen: nothing is freed there."""

from __future__ import annotations

import io
from contextlib import contextmanager

import pytest

from imagestore.store import Store
from imagestore.testing.makers import make_config, make_layer
from tests.concurrency.work import REPEATABLE_READ, SERIALIZABLE


@pytest.fixture
def store(postgres_url, tmp_path):
    with Store.open(postgres_url, content=tmp_path / "content") as opened:
        yield opened


@contextmanager
def snapshot(store, level):
    """A store that has joined a host's transaction, which sees what is there now."""
    with store.engine.connect().execution_options(isolation_level=level) as connection, connection.begin():
        connection.exec_driver_sql("SELECT 1")
        yield store.joined(connection)


def register(store, name, parent=None):
    return store.layers.register(io.BytesIO(make_layer(name)), parent)


@pytest.mark.parametrize("level", [REPEATABLE_READ, SERIALIZABLE])
def test_what_came_to_rely_on_a_content_keeps_it(store, level):
    shared = register(store, "shared")
    with snapshot(store, level) as joined:
        lower = register(store, "lower")
        upper = register(store, "shared", lower.chain_id)
        assert joined.layers.release(shared) == []
    with store.layers.open(upper.chain_id) as stream:
        assert stream.read() == make_layer("shared")
    assert store.collect().layers == 1
    assert shared.chain_id not in store.layers


@pytest.mark.parametrize("level", [REPEATABLE_READ, SERIALIZABLE])
def test_what_came_to_rely_on_a_layer_keeps_it(store, level):
    layer = register(store, "layer")
    config = make_config(layers=[layer.diff_id])
    with snapshot(store, level) as joined:
        image_id = store.create(config)
        assert joined.layers.release(layer) == []
    assert layer.chain_id in store.layers
    assert image_id in store
    assert store.collect().layers == 0
