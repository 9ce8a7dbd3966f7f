"""A process that writes layers, images and names is killed at random moments: what it acknowledged is there, and nothing is half."""

from __future__ import annotations

from itertools import islice

import pytest
from sqlalchemy import select

from imagestore.digest import Digest
from imagestore.sql import schema
from imagestore.sql.engine import create_engine
from imagestore.store import Store
from imagestore.verify import verify
from tests.crash.killed import kills
from tests.crash.layer_writer import Expectation, draw_steps
from tests.model.holdings import File
from tests.model.model import Model
from tests.model.universe import IMAGE_IDS

LONGEST = 0.02  # seconds that the writer goes on: about as long as a register takes


@pytest.mark.parametrize("moments", [4, pytest.param(200, marks=pytest.mark.soak)])
def test_a_writer_of_layers_is_killed(url, tmp_path, moments):
    content = tmp_path / "content"
    Store.open(url, content=content).close()
    store = Store(create_engine(url), content=content)
    model = Model(IMAGE_IDS, has_content=True)
    for seed, said, place in kills(["tests.crash.layer_writer", url, content], url, moments, LONGEST):
        steps = list(islice(draw_steps(seed), len(said) + 1))
        where = f"{place}: {steps}"
        assert list(verify(store)) == [], where
        before, after = expected_after(model, steps)
        found = found_in(store)
        assert is_as_told(found, before, after), where
        check_contents(store, content / "data", where)
        if seed % 5 == 0:
            check_nothing_is_left(store, content / "data", where)
        model = found_in(store)
        store.engine.dispose()  # so that each time it is the first to open what the killed one left


def expected_after(model, steps):
    """What may be there: all that was acknowledged, and all or nothing of the step that was under way."""
    expectation = Expectation(model)
    for step in steps[:-1]:
        expectation.make(step)
    before = model.snapshot()
    expectation.make(steps[-1])
    return before, model


def found_in(store):
    """A model of what is in the store."""
    model = Model(IMAGE_IDS, has_content=True)
    for digest in store.backend.walk():
        model.set(store.backend.get(digest))
    model.references = {str(each.reference): each.image_id for each in store.references.stream()}
    holdings = model.holdings
    holdings.trie = {layer.chain_id: (layer.diff_id, layer.parent, layer.size) for layer in store.layers.map().values()}
    with store.engine.connect() as connection:
        for row in connection.execute(select(schema.contents)):
            holdings.contents[row.diff_id] = File(-1, row.name, row.diff_id, row.size)
        holdings.files.update(holdings.contents.values())
        for lease in connection.execute(select(schema.leases.c.id)).scalars():
            holdings.leases[lease] = set()
        for lease, chain in connection.execute(select(schema.lease_layers)):
            holdings.leases[lease].add(chain)
    return model


def is_as_told(found, before, after):
    """Images, names and layers are those before a step or those after it; a collection may be half way from the one to the other."""
    images_and_names = (found.blobs, found.references)
    if images_and_names not in [(before.blobs, before.references), (after.blobs, after.references)]:
        return False
    between = [set(each.holdings.trie) for each in (before, found, after)]
    return between[1] in (between[0], between[2]) or between[0] > between[1] > between[2]


def check_contents(store, files, where):
    """Each row's content is there and is what it should be, and each layer has one."""
    with store.engine.connect() as connection:
        rows = connection.execute(select(schema.contents)).all()
    for row in rows:
        assert Digest.from_bytes((files / row.name).read_bytes()) == row.diff_id, where
    assert {layer.diff_id for layer in store.layers.map().values()} <= {row.diff_id for row in rows}, where


def check_nothing_is_left(store, files, where):
    """Once the leases of the killed have ended, what no image has goes, and what was half written goes too."""
    for lease in store.leases.page(limit=10_000):
        store.leases.delete(lease.id)
    store.collect()
    reached = {link.chain_id for image in store.map().values() for link in image.stack}
    assert set(store.layers.map()) == reached, where
    with store.engine.connect() as connection:
        names = connection.execute(select(schema.contents.c.name)).scalars().all()
    assert sorted(path.name for path in files.iterdir()) == sorted(names), where
