"""A store with layers, leases, names and content whose statements and file operations can be made to fail; and what is in it."""

from __future__ import annotations

import errno
import io
import os
from contextlib import ExitStack, contextmanager
from unittest import mock

from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from imagestore.digest import Digest, ImageID
from imagestore.errors import ImageStoreError
from imagestore.gojson import GoTime
from imagestore.layer import links
from imagestore.lease import Lease
from imagestore.sql import contents, leases, schema
from imagestore.sql.engine import create_engine
from imagestore.store import Store
from imagestore.testing.makers import make_config, make_layer
from imagestore.verify import verify
from tests.crash.faults import Faults

TARS = {name: make_layer(name) for name in "pqrs"}
DIFF_IDS = {name: Digest.from_bytes(tar) for name, tar in TARS.items()}
CHAINS = {stack: links([DIFF_IDS[name] for name in stack])[-1].chain_id for stack in ("p", "pq", "r", "s")}
CONFIGS = {
    stack.upper(): make_config(stack, layers=[DIFF_IDS[name] for name in stack]) for stack in ("p", "pq", "r", "s")
}
IDS = {name: ImageID.from_bytes(config) for name, config in CONFIGS.items()}
LEASES = {name: Lease(name * 32, GoTime.now(), {}) for name in "abc"}
LONG = 1_000_000.0  # seconds
FILE_OPERATIONS = ("open", "write", "fsync", "unlink", "mkdir", "link", "rename", "scandir")


class LayerDatabase:
    """A store with content, and its rows and files, which can be brought back."""

    def __init__(self, url, folder):
        self.engine = create_engine(url)
        self.faults = Faults(self.engine)
        self.folder = folder / "content"
        self.store = Store(self.engine, content=self.folder)
        prepare(self.store)
        with self.engine.connect() as connection:
            self._rows = {
                table: connection.execute(select(table)).all()
                for table in schema.metadata.sorted_tables
                if table is not schema.content_location
            }
        self._files = self.files()

    def files(self):
        return {path.name: path.read_bytes() for path in (self.folder / "data").iterdir()}

    def restore(self):
        """Bring back the rows and files that `prepare` has made."""
        with self.engine.begin() as connection:
            for table in reversed(self._rows):
                connection.execute(table.delete())
            for table, rows in self._rows.items():
                # The lower layers first.
                for row in sorted(rows, key=lambda row: getattr(row, "parent", None) is not None):
                    connection.execute(table.insert().values(row._asdict()))
        data = self.folder / "data"
        for name in self.files().keys() - self._files:
            (data / name).unlink()
        for name, content in self._files.items():
            (data / name).write_bytes(content)

    def settled(self):
        """What a collect leaves: all rows and files, those of leases that were taken meanwhile as "own"."""
        self.store.collect()
        with self.engine.connect() as connection:
            rows = {
                (table.name, *map(_shown, row))
                for table in self._rows
                for row in connection.execute(select(table))
                if table is not schema.leases
            }
            alive = select(schema.leases.c.id, leases.is_alive)
            rows |= {("lease", _shown(lease), bool(is_alive)) for lease, is_alive in connection.execute(alive)}
            covered = {*connection.execute(select(schema.leases.c.id)).scalars()}
            named = {*connection.execute(select(schema.contents.c.name)).scalars()}
        left = [name for name in self.files().keys() - named if name.partition("-")[0] not in covered]
        assert left == []
        return rows

    def expire_unknown(self):
        """Let the leases expire that nobody can end, as the call that took them has failed."""
        known = [lease.id for lease in LEASES.values()]
        with self.engine.begin() as connection:
            connection.execute(update(schema.leases).where(schema.leases.c.id.not_in(known)).values(expires="2020"))

    @contextmanager
    def failing(self, number, strike):
        """The ``number``-th of the statements and file operations in the block fails once."""

        def meet(connection, run):
            return strike(connection, run) if connection is not None else run(fails=True)

        with self.faults.failing(number, meet) as fault, ExitStack() as patches:
            for name in FILE_OPERATIONS:
                patches.enter_context(mock.patch.object(os, name, _failing(name, fault)))
            yield fault


def _failing(name, fault):
    real = getattr(os, name)

    def operation(*arguments, **keywords):
        def run(*, fails=False):
            if not fails:
                return real(*arguments, **keywords)
            if name == "write":  # a disk that fills up has taken a part
                real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        return fault.meet(None, name, run)

    return operation


def prepare(store):
    """The image PQ has two names. The lease a holds r, for an image to come; b was that of `register` for pq, c has expired and holds s."""
    for lease in LEASES.values():
        store._bind.write(leases.create, lease.id, LONG, {})
    for stack, holder in (("p", "b"), ("pq", "b"), ("r", "a"), ("s", "c")):
        register(store, stack, LEASES[holder])
    store.create(CONFIGS["PQ"])
    store.references.add_tag("app:1", IDS["PQ"])
    store.references.add_tag("app:2", IDS["PQ"])
    store._bind.write(leases.remove, LEASES["c"].id)
    store._bind.write(leases.create, LEASES["c"].id, -LONG, {})
    store.content.write(f"{'f' * 32}-1", [b"of a process that was killed"])


def register(store, stack, lease=None):
    parent = CHAINS[stack[:-1]] if stack[:-1] else None
    return store.layers.register(io.BytesIO(TARS[stack[-1]]), parent, lease=lease)


def failure(call, *arguments):
    """The error that the call raises, if any."""
    try:
        call(*arguments)
    except (SQLAlchemyError, ImageStoreError, OSError) as error:
        return error
    return None


def findings(database):
    """What verify finds, and contents without a file."""
    with database.engine.connect() as connection:
        rows = connection.execute(select(schema.contents.c.name, schema.contents.c.diff_id)).all()
    files = database.files()
    damaged = [name for name, diff_id in rows if name not in files or Digest.from_bytes(files[name]) != diff_id]
    return [*verify(database.store), *damaged]


def forget_content(database):
    """No content and no place that keeps it, as before the first."""
    with database.engine.begin() as connection:
        for table in (*reversed(database._rows), schema.content_location):
            connection.execute(table.delete())


def location_of(database):
    with database.engine.connect() as connection:
        return contents.find_location(connection)


def _shown(value):
    owner, dash, _ = value.partition("-") if isinstance(value, str) else ("", "", "")
    if len(owner) != 32:
        return value
    return (owner[0] if len(set(owner)) == 1 else "own") + dash
