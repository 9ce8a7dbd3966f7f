"""A store whose statements can be made to fail, what is in it, and how that is brought back."""

from __future__ import annotations

import re

from sqlalchemy.exc import SQLAlchemyError

from imagestore.digest import Digest, ImageID
from imagestore.errors import ImageStoreError
from imagestore.sql.engine import create_engine
from imagestore.store import Store
from imagestore.testing.makers import make_config
from imagestore.verify import FindingKind, verify
from tests.crash.faults import Faults

CONFIGS = {name: make_config(name) for name in "abcdefghxyz"}
A, B, C, D, E, F, G, H, X, Y, Z = (ImageID.from_bytes(config) for config in CONFIGS.values())
BLOB = b"no image"
BLOB_DIGEST = Digest.from_bytes(BLOB)
TIME = b"2020-10-01T12:00:00Z"
A_TIME = re.compile(r"\d{4}-\d\d-\d\dT")


def prepare(store):
    """c > b > a and e > d; y waits for x, which is not there; f > g > h, and h names f."""
    store.create_many(config for name, config in CONFIGS.items() if name not in "xz")
    for child, parent in ((B, A), (C, B), (E, D), (F, G), (G, H)):
        store.set_parent(child, parent)
    backend = store.backend
    backend.set(BLOB)
    for digest, key, value in (
        (Y, "parent", X.encode()),
        (H, "parent", F.encode()),
        (B, "lastUpdated", TIME),
        (B, "lastUsed", TIME),
        (B, "key", b"value"),
        (BLOB_DIGEST, "parent", A.encode()),
    ):
        backend.set_metadata(digest, key, value)


TABLES = ("imagestore_blobs", "imagestore_images", "imagestore_metadata")
READ = """
    SELECT 'metadata', digest, key, value, NULL, NULL FROM imagestore_metadata
    UNION ALL SELECT 'blob', digest, data, NULL, NULL, NULL FROM imagestore_blobs
    UNION ALL SELECT 'image', id, parent, NULL, last_updated, last_used FROM imagestore_images
    UNION ALL SELECT 'host', NULL, NULL, NULL, NULL, NULL FROM host_rows
"""
HOST_ROW = ("host", *[None] * 5)


class Database:
    """A store whose statements can be made to fail, and its rows, which can be brought back."""

    def __init__(self, url):
        self.engine = create_engine(url)
        self.faults = Faults(self.engine)
        self.store = Store(self.engine)
        prepare(self.store)
        with self.engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE host_rows (number INTEGER)")
            for table in TABLES:
                connection.exec_driver_sql(f"CREATE TABLE {table}_before AS SELECT * FROM {table}")
        self.before = self.state()

    def state(self):
        """All rows, those of the host too; a time of this run is "now"."""
        with self.engine.connect() as connection:
            return {tuple(map(_now_or, row)) for row in connection.exec_driver_sql(READ)}

    def clear(self):
        with self.engine.begin() as connection:
            for table in ("host_rows", *reversed(TABLES)):
                connection.exec_driver_sql(f"DELETE FROM {table}")

    def restore(self):
        """Bring back the rows that `prepare` has made."""
        self.clear()
        with self.engine.begin() as connection:
            for table in TABLES:
                connection.exec_driver_sql(f"INSERT INTO {table} SELECT * FROM {table}_before")


def write_host_row(connection):
    connection.exec_driver_sql("INSERT INTO host_rows VALUES (1)")


def _now_or(value):
    text = value if isinstance(value, str) else (value or b"").decode("latin-1")
    return "now" if A_TIME.match(text) and not text.startswith(TIME.decode()[:10]) else value


def failure(call, store):
    """The error that the call raises, if any."""
    try:
        call(store)
    except (SQLAlchemyError, ImageStoreError) as error:
        return error
    return None


def findings(store):
    """What verify finds, without the cycle that `prepare` has made."""
    return [finding for finding in verify(store) if finding.kind is not FindingKind.PARENT_CYCLE]


def undisturbed(database, call):
    """What is there after a call that nothing disturbs, and the kind of its error, if any."""
    database.restore()
    error = failure(call, database.store)
    assert findings(database.store) == []
    after = database.state()
    database.restore()
    return after, type(error)
