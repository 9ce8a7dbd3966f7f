"""Each write of a store on SQL with the Nth statement failing once, for every N until none is left to fail.

Afterwards all is as it was before, or as it is to be, and the second try succeeds; a bound store tries again by itself where the database
says that it may succeed. In a host's transaction the host's own rows stay with what it believes: either its commit fails, or they are
there.
"""

from __future__ import annotations

import pytest
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from imagestore import bind
from imagestore.backend import Copied, copy
from imagestore.backends.filesystem import FSBackend
from imagestore.digest import ImageID
from imagestore.store import Store
from imagestore.testing.layers import RecordingLayerStore
from imagestore.testing.makers import make_config, make_digest
from tests.backends.state import contents
from tests.crash.database import (
    BLOB,
    BLOB_DIGEST,
    CONFIGS,
    HOST_ROW,
    TIME,
    A,
    B,
    C,
    D,
    G,
    X,
    Y,
    failure,
    findings,
    undisturbed,
    write_host_row,
)
from tests.crash.faults import busy, deadlock, disk_full, ended, ended_after, interrupted

WRITES = {
    "create": lambda store: store.create(CONFIGS["x"]),
    "create what exists": lambda store: store.create(CONFIGS["b"]),
    "create_many": lambda store: store.create_many(CONFIGS[name] for name in "xbz"),
    "delete with a child": lambda store: store.delete(B),
    "delete without": lambda store: store.delete(C),
    "delete in a cycle": lambda store: store.delete(G),
    "set_parent": lambda store: store.set_parent(Y, A),
    "set_parent of a parent": lambda store: store.set_parent(D, C),
    "set_parent in place of another": lambda store: store.set_parent(B, D),
    "set_parent in a cycle": lambda store: store.set_parent(G, A),
    "set_last_updated": lambda store: store.set_last_updated(B),
    "touch": lambda store: store.touch(A),
    "set_built_locally": lambda store: store.set_built_locally(B),
    "backend.set an image": lambda store: store.backend.set(CONFIGS["x"]),
    "backend.set a blob": lambda store: store.backend.set(b"another"),
    "backend.set_metadata parent": lambda store: store.backend.set_metadata(D, "parent", C.encode()),
    "backend.set_metadata parent, unknown": lambda store: store.backend.set_metadata(C, "parent", X.encode()),
    "backend.set_metadata parent, a cycle": lambda store: store.backend.set_metadata(A, "parent", C.encode()),
    "backend.set_metadata parent, none": lambda store: store.backend.set_metadata(C, "parent", b"no ID"),
    "backend.set_metadata lastUsed": lambda store: store.backend.set_metadata(B, "lastUsed", b"2020-10-01T13:00:00Z"),
    "backend.set_metadata another": lambda store: store.backend.set_metadata(B, "key", b"other"),
    "backend.delete_metadata parent": lambda store: store.backend.delete_metadata(G, "parent"),
    "backend.delete_metadata lastUpdated": lambda store: store.backend.delete_metadata(B, "lastUpdated"),
    "backend.delete_metadata another": lambda store: store.backend.delete_metadata(B, "key"),
    "backend.delete": lambda store: store.backend.delete(D),
    "backend.delete a blob": lambda store: store.backend.delete(BLOB_DIGEST),
}
REFUSED = {
    "set_parent, unknown": lambda store: store.set_parent(Y, make_digest()),
    "set_parent, a cycle": lambda store: store.set_parent(A, C),
    "touch, unknown": lambda store: store.touch(make_digest()),
    "delete, unknown": lambda store: store.delete(make_digest()),
    "backend.set_metadata, unknown": lambda store: store.backend.set_metadata(make_digest(), "key", b"value"),
}
CALLS = WRITES | REFUSED


# Statement by statement, a session that is ended and a deadlock meet the same code as a server that refuses: of each kind of call one,
# and all in the soak.
SOME = {
    "create_many",
    "delete with a child",
    "set_parent in a cycle",
    "touch",
    "backend.delete_metadata parent",
    "delete, unknown",
}


def striking(*strikes, calls=None):
    """The test for each strike, on the engine that knows it; for each of the calls."""
    names = ["database", "strike", *(["name"] if calls else [])]
    return pytest.mark.parametrize(
        names,
        [_case(strike, name) if calls else _case(strike) for strike in strikes for name in calls or [""]],
        indirect=["database"],
        scope="module",
    )


def _case(strike, *name):
    engine = "sqlite" if strike in (interrupted, busy) else "postgresql"
    soaks = name and strike in (deadlock, ended) and name[0] not in SOME
    return pytest.param(
        engine,
        strike,
        *name,
        id="-".join([*name, engine, strike.__name__]),
        marks=[pytest.mark.soak] if soaks else [],
    )


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch):
    monkeypatch.setattr(bind, "_PAUSE", 0.0)


@striking(interrupted, busy, disk_full, deadlock, ended, calls=CALLS)
def test_a_bound_write_is_whole_or_not_at_all(database, strike, name):
    call = CALLS[name]
    after, usual = undisturbed(database, call)
    for number in range(1, 100):
        with database.faults.failing(number, strike) as fault:
            error = failure(call, database.store)
        if fault.statement is None:
            break
        told = f"{number}: {fault.statement}"
        if strike in (busy, deadlock) or (strike is ended and fault.statement != "COMMIT"):
            assert type(error) is usual, told
        else:
            assert isinstance(error, DBAPIError), told
            assert error.__notes__, told
            assert database.state() == database.before, told
            assert type(failure(call, database.store)) is usual, told
        assert database.state() == after, told
        database.restore()
    assert number > 1


@striking(interrupted, busy, disk_full, ended, calls=CALLS)
def test_a_joined_write_is_whole_or_not_at_all(database, strike, name):
    call = CALLS[name]
    after, usual = undisturbed(database, call)
    for number in range(1, 100):
        with database.engine.connect() as connection:
            transaction = connection.begin()
            write_host_row(connection)
            joined = database.store.joined(connection)
            with database.faults.failing(number, strike) as fault:
                error = failure(call, joined)
            told = f"{number}: {fault.statement}"
            try:
                transaction.commit()
                expected = (after if type(error) is usual else database.before) | {HOST_ROW}
            except SQLAlchemyError:
                assert error.__notes__, told
                assert strike in (interrupted, ended) or "SAVEPOINT" in fault.statement, told
                transaction.rollback()
                expected = database.before
        assert database.state() == expected, told
        if fault.statement is None:
            break
        with database.engine.begin() as connection:
            assert type(failure(call, database.store.joined(connection))) is usual, told
        assert database.state() - {HOST_ROW} == after, told
        database.restore()
    assert number > 1


@striking(ended_after, calls=["create", "delete with a child", "set_parent of a parent"])
def test_a_commit_of_which_nobody_knows_is_not_repeated(database, strike, name):
    call = CALLS[name]
    after, _ = undisturbed(database, call)
    for number in range(1, 100):
        with database.faults.failing(number, strike) as fault:
            error = failure(call, database.store)
        assert database.state() == after, f"{number}: {fault.statement}"
        database.restore()
        if fault.statement == "COMMIT":
            break
        assert error is None, f"{number}: {fault.statement}"
    assert isinstance(error, DBAPIError)
    assert error.__notes__


@striking(interrupted, disk_full, ended)
def test_a_layer_is_held_for_an_image_that_is_there(database, strike):
    config = make_config("layered", layers=2)
    image_id = ImageID.from_bytes(config)
    database.restore()
    for number in range(1, 100):
        layers = RecordingLayerStore()
        store = Store(database.engine, layer_stores={"linux": layers})
        for call, held in ((lambda store: store.create(config), 1), (lambda store: store.delete(image_id), 0)):
            with database.faults.failing(number, strike) as fault:
                error = failure(call, store)
            if error is not None:
                assert layers.held.total() == 1 - held, f"{number}: {fault.statement}"
                call(store)
            assert layers.held.total() == held, f"{number}: {fault.statement}"
        if fault.statement is None:
            break
    assert number > 3
    assert database.state() == database.before


@striking(interrupted, busy, disk_full, deadlock, ended)
def test_a_copy_goes_on_where_it_was(database, strike, tmp_path, monkeypatch):
    monkeypatch.setattr("imagestore.backend._PAGE", 2)
    source = FSBackend(tmp_path)
    for data in (CONFIGS["a"], CONFIGS["b"], BLOB):
        source.set(data)
    source.set_metadata(B, "parent", A.encode())
    source.set_metadata(BLOB_DIGEST, "lastUsed", TIME)
    whole = contents(source)
    for number in range(1, 100):
        database.clear()
        with database.faults.failing(number, strike) as fault:
            error = failure(lambda store: copy(source, store.backend), database.store)
        if fault.statement is None:
            break
        told = f"{number}: {fault.statement}"
        assert findings(database.store) == [], told
        for digest, (data, metadata) in contents(database.store.backend).items():
            assert whole[digest][0] == data, told
            assert metadata.items() <= whole[digest][1].items(), told
        written = copy(source, database.store.backend)
        assert (error is None) == (written == Copied(0, 0)), told
        assert contents(database.store.backend) == whole, told
        assert database.store.children(A) == [B], told
    assert error is None
    assert number > 20
    database.restore()
