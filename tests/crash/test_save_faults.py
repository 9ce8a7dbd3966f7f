"""A save with the Nth of its statements, file operations, reads and writes failing once, for every N: no half file, and nothing held."""

from __future__ import annotations

import errno
import io
import os
from typing import Any, BinaryIO, cast

import pytest

from imagestore.archive import save, save_to
from imagestore.content.local import LocalContent
from imagestore.store import Store
from tests.crash.layer_database import failure, findings
from tests.crash.test_layer_faults import STRIKES

pytestmark = pytest.mark.usefixtures("without_pauses")
OCI: dict[str, Any] = {"format": "oci", "compression": "zstd"}
NAMES = ["app"]


def expected(store, options):
    out = io.BytesIO()
    save(store, NAMES, out, **options)
    return out.getvalue()


@pytest.mark.parametrize(("engine", "strike"), STRIKES)
@pytest.mark.parametrize("options", [{}, pytest.param(OCI, marks=pytest.mark.soak)], ids=str)
def test_a_file_is_whole_or_not_there(layer_databases, engine, strike, options, tmp_path):
    database = layer_databases(engine)
    database.restore()
    archive = expected(database.store, options)
    database.restore()
    before = database.settled()
    for number in range(1, 200):
        database.restore()
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / "saved.tar"
        with database.failing(number, strike) as fault:
            error = failure(lambda store, path=path: save_to(store, NAMES, path, **options), database.store)
        if fault.statement is None:
            break
        told = f"{number}: {fault.statement}"
        assert findings(database) == [], told
        is_there = path.exists()
        assert is_there or error is not None, told
        assert [each.name for each in folder.iterdir()] == ["saved.tar"] * is_there, told
        assert not is_there or path.read_bytes() == archive, told
        if error is not None:
            database.expire_unknown()
        assert database.settled() == before, told
        save_to(database.store, NAMES, path, **options)
        assert path.read_bytes() == archive, told
    assert error is None
    assert number > 10


class Failing(io.RawIOBase):
    """A stream of which the Nth read or write, of all that it is counted with, fails."""

    def __init__(self, left, stream):
        self._left = left
        self._stream = stream

    def readable(self):
        return True

    def read(self, size=-1):
        self._count()
        return self._stream.read(size)

    def write(self, data):
        self._count()
        return self._stream.write(data)

    def close(self):
        self._stream.close()
        super().close()

    def _count(self):
        self._left[0] -= 1
        if self._left[0] == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("options", [{}, OCI], ids=str)
def test_a_read_or_a_write_that_fails(layer_databases, options):
    database = layer_databases("sqlite")
    database.restore()
    archive = expected(database.store, options)
    left = [0]

    class FailingContent(LocalContent):
        def open(self, name):
            return Failing(left, super().open(name))

        def size(self, name):
            with super().open(name) as file:
                return os.fstat(file.fileno()).st_size

    store = Store(database.engine, content=FailingContent(database.folder))
    failed = 0
    for number in range(1, 200):
        left[0] = number
        out = io.BytesIO()
        sink = cast("BinaryIO", Failing(left, out))
        error = failure(lambda store, sink=sink: save(store, NAMES, sink, **options), store)
        assert store.leases.page() == database.store.leases.page()
        if error is None:
            break
        failed += 1
        assert archive.startswith(out.getvalue())
        assert error.errno == errno.EIO
    assert out.getvalue() == archive
    assert failed > 10
