"""SQLite on a disk that is full: nothing of the call is there, no host believes its commit, and with more room the call succeeds."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError, PendingRollbackError

from imagestore.testing.makers import make_config
from tests.crash.database import HOST_ROW, A, failure, undisturbed, write_host_row

REPOSITORY = Path(__file__).parents[2]
LARGE = make_config("large" * 4000)
WRITES = {
    "create": lambda store: store.create(LARGE),
    "create_many": lambda store: store.create_many([make_config(number) for number in range(40)]),
    "backend.set": lambda store: store.backend.set(b"large" * 4000),
    "backend.set_metadata": lambda store: store.backend.set_metadata(A, "key", b"large" * 4000),
    "backend.set_metadata parent": lambda store: store.backend.set_metadata(A, "parent", b"large" * 4000),
}
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True, scope="module")


def limit(database, room):
    """Let the pool's one connection make the database no more than so many pages larger."""
    with closing(sqlite3.connect(database.engine.url.database)) as connection:
        connection.execute("VACUUM")
    with database.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + room}")


@on_sqlite
@pytest.mark.parametrize("name", WRITES)
def test_nothing_is_left_of_a_write_that_finds_no_room(database, name):
    write = WRITES[name]
    limit(database, 1000)
    after, _ = undisturbed(database, write)
    for room in range(100):
        limit(database, room)
        error = failure(write, database.store)
        if error is None:
            break
        assert isinstance(error, OperationalError), room
        assert "make room" in error.__notes__[0], room
        assert database.state() == database.before, room
        limit(database, 1000)
        write(database.store)
        assert database.state() == after, room
        database.restore()
    assert room > 2
    assert database.state() == after


@on_sqlite
@pytest.mark.parametrize("name", WRITES)
def test_a_host_does_not_believe_a_commit_that_is_none(database, name):
    write = WRITES[name]
    limit(database, 1000)
    after, _ = undisturbed(database, write)
    for room in range(100):
        limit(database, room)
        with database.engine.connect() as connection:
            transaction = connection.begin()
            write_host_row(connection)
            error = failure(write, database.store.joined(connection))
            try:
                transaction.commit()
                expected = {HOST_ROW} | (after if error is None else database.before)
            except PendingRollbackError:  # SQLite may undo all of a transaction, and has
                assert "run it again" in error.__notes__[0], room
                transaction.rollback()
                expected = database.before
        assert database.state() == expected, room
        if error is None:
            break
        assert "make room" in error.__notes__[-1], room
        limit(database, 1000)
        with database.engine.begin() as connection:
            write(database.store.joined(connection))
        assert database.state() - {HOST_ROW} == after, room
        database.restore()
    assert room > 2


FILL = """
import sqlite3, sys
from pathlib import Path
from sqlalchemy.exc import OperationalError
from imagestore.sql.engine import create_engine
from imagestore.store import Store
from imagestore.testing.makers import make_config
from imagestore.verify import verify

folder, way = sys.argv[1:]
url = f"sqlite:///{folder}/images.db"
Store.open(url).close()
store = Store(create_engine(url))
Path(folder, "ballast").write_bytes(bytes(200_000))

def create(config):
    if way == "bound":
        return store.create(config)
    with store.engine.connect() as connection:
        transaction = connection.begin()
        try:
            image_id = store.joined(connection).create(config)
        finally:
            transaction.commit()  # whatever has happened
        return image_id

kept = []
try:
    for number in range(1000):
        config = make_config(str(number) * 5_000)
        kept.append(create(config))
except OperationalError as error:
    assert error.orig.sqlite_errorcode == sqlite3.SQLITE_FULL, error
else:
    sys.exit("the disk is not full")
assert sorted(store.map()) == sorted(kept)
assert list(verify(store)) == []
Path(folder, "ballast").unlink()
kept.append(create(config))
assert sorted(store.map()) == sorted(kept)
assert list(verify(store)) == []
print("full, and whole")
"""


FILL_WITH_LAYERS = """
import errno, io, sqlite3, sys
from pathlib import Path
from sqlalchemy.exc import OperationalError
from imagestore.store import Store
from imagestore.testing.makers import make_layer
from imagestore.verify import verify

folder = Path(sys.argv[1])
store = Store.open(f"sqlite:///{folder}/images.db", content=folder / "content")
ballast = folder / "ballast"
ballast.write_bytes(bytes(200_000))

def register(number, size):
    return store.layers.register(io.BytesIO(make_layer(number, size=size)))

def check(kept, leases):
    assert sorted(store.layers.map()) == sorted(layer.chain_id for layer in kept)
    assert {layer.lease for layer in kept} <= {lease.id for lease in store.leases.page()}
    assert len(store.leases.page()) <= leases
    assert len(list((folder / "content" / "data").iterdir())) == len(kept)
    for layer in kept:
        with store.layers.open(layer.chain_id) as stream:
            stream.read()
    assert list(verify(store)) == []

kept = [register("first", 1000)]
try:
    register("large", 3_000_000)
except OSError as error:
    assert error.errno == errno.ENOSPC, error
else:
    sys.exit("the disk is not full")
check(kept, 1)
try:
    for number in range(1000):
        kept.append(register(number, 30_000))
except OSError as error:
    assert error.errno == errno.ENOSPC, error
except OperationalError as error:
    assert error.orig.sqlite_errorcode == sqlite3.SQLITE_FULL, error
else:
    sys.exit("the disk is not full")
ballast.unlink()
(open_lease,) = {lease.id for lease in store.leases.page()} - {layer.lease for layer in kept} or [None]
if open_lease is not None:  # there was no room for its end either
    store.leases.delete(open_lease)
store.collect()
check(kept, len(kept))
kept.append(register(number, 30_000))
check(kept, len(kept))
print("full, and whole")
"""


@pytest.mark.soak
@pytest.mark.parametrize("way", ["bound", "joined"])
def test_a_disk_of_two_megabytes(tmp_path, way):
    assert run_on_small_disk(FILL, tmp_path, way) == ("full, and whole", 0, "")


@pytest.mark.soak
def test_a_disk_of_two_megabytes_with_layers(tmp_path):
    assert run_on_small_disk(FILL_WITH_LAYERS, tmp_path) == ("full, and whole", 0, "")


def run_on_small_disk(program, folder, *arguments):
    """What the program prints, returns and complains of.

    In a mount namespace of its own, so that nothing is left mounted; as an ordinary user in a user namespace too.
    """
    script = """
        set -e
        mount -t tmpfs -o size=2m tmpfs "$1"
        folder=$1 python=$2 program=$3
        shift 3
        exec "$python" -c "$program" "$folder" "$@"
    """
    namespace = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    command = [*namespace, "sh", "-c", script, "sh", str(folder), sys.executable, program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=REPOSITORY, check=False)
    return done.stdout.strip(), done.returncode, done.stderr
