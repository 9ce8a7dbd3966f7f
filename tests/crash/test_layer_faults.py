"""Each write on layers, leases and names with the Nth statement or file operation failing once, for every N until none is left to fail.

Afterwards verify is clean, and once a collect has gone, all is as it was before, or as it is to be; the second try succeeds.
"""

from __future__ import annotations

import pytest

from imagestore.digest import DiffID
from imagestore.layer import StoredLayer
from imagestore.sql import leases
from imagestore.store import Store
from tests.crash.faults import disk_full, ended, ended_after, interrupted
from tests.crash.layer_database import (
    CHAINS,
    CONFIGS,
    DIFF_IDS,
    IDS,
    LEASES,
    LONG,
    failure,
    findings,
    forget_content,
    location_of,
    register,
)

RELEASED = StoredLayer(CHAINS["r"], DiffID(DIFF_IDS["r"]), None, lease=LEASES["a"].id)
CALLS = {
    "register": lambda store: register(store, "s"),
    "register what is there": lambda store: register(store, "pq"),
    "register under a lease": lambda store: register(store, "pq", LEASES["a"]),
    "release": lambda store: store.layers.release(RELEASED),
    "lease": lambda store: store.lease(),
    "renew": lambda store: store._bind.write(leases.renew, LEASES["a"].id, LONG),
    "end a lease": lambda store: store.leases.delete(LEASES["a"].id),
    "tag": lambda store: store.references.add_tag("app:3", IDS["PQ"]),
    "tag, force": lambda store: store.references.add_tag("app:1", IDS["PQ"], force=True),
    "add_digest": lambda store: store.references.add_digest(f"app@{IDS['PQ']}", IDS["PQ"]),
    "untag": lambda store: store.references.delete("app:1"),
    "delete": lambda store: store.delete(IDS["PQ"]),
    "backend.delete": lambda store: store.backend.delete(IDS["PQ"]),
    "create": lambda store: store.create(CONFIGS["R"]),
    "create_many": lambda store: store.create_many([CONFIGS["R"], CONFIGS["P"]]),
    "collect": lambda store: store.collect(),
    "collect, one by one": lambda store: store.collect(batch=1),
    "collect, dry run": lambda store: store.collect(dry_run=True),
}
pytestmark = pytest.mark.usefixtures("without_pauses")
STRIKES = [
    ("sqlite", interrupted),
    ("postgresql", disk_full),
    pytest.param("postgresql", ended, marks=pytest.mark.soak),
    pytest.param("postgresql", ended_after, marks=pytest.mark.soak),
]


@pytest.mark.parametrize(("engine", "strike"), STRIKES)
@pytest.mark.parametrize("name", CALLS)
def test_a_write_is_whole_or_not_at_all(layer_databases, engine, strike, name):
    call, database = CALLS[name], layer_databases(engine)
    database.restore()
    before = database.settled()
    database.restore()
    assert failure(call, database.store) is None
    after = database.settled()
    repeated = type(failure(call, database.store))
    for number in range(1, 200):
        database.restore()
        with database.failing(number, strike) as fault:
            error = failure(call, database.store)
        if fault.statement is None:
            break
        told = f"{number}: {fault.statement}"
        assert findings(database) == [], told
        if error is not None:
            database.expire_unknown()
        settled = database.settled()
        assert settled == after or (settled == before and error is not None), told
        again = failure(call, database.store)
        assert again is None or (settled == after and type(again) is repeated), told
        assert database.settled() == after or repeated is type(None), told
    assert error is None
    assert number > 2


@pytest.mark.parametrize(("engine", "strike"), STRIKES)
def test_a_place_is_claimed_or_not_at_all(layer_databases, engine, strike, tmp_path):
    database = layer_databases(engine)
    for number in range(1, 200):
        forget_content(database)
        folder = tmp_path / str(number)
        with database.failing(number, strike) as fault:
            error = failure(lambda place: Store(database.engine, content=place), folder)
        if fault.statement is None:
            break
        store = Store(database.engine, content=folder)
        assert store.content.identity == location_of(database), f"{number}: {fault.statement}"
        with store.lease() as lease:
            register(store, "p", lease)
    assert error is None
    assert number > 10
