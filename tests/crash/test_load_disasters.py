"""A load whose disk fills up, whose pipe breaks off, or whose server goes: a clear error, no half image, and the second try succeeds."""

from __future__ import annotations

import errno
import io
import os
import threading
from collections.abc import Callable

import pytest
from sqlalchemy.exc import OperationalError

from imagestore.archive import load
from imagestore.content.tar import BLOCK
from imagestore.errors import InvalidArchiveError
from imagestore.store import Store
from imagestore.testing.makers import make_layer
from imagestore.verify import verify
from tests.archives.built import Built
from tests.archives.conftest import leftovers
from tests.crash.test_full_disk import run_on_small_disk
from tests.crash.test_server import server
from tests.crash.test_server import url as stoppable_url

__all__ = ["server", "stoppable_url"]  # fixtures


def make_archive():
    """Of two images, each with layers that are large enough not to be set aside as they pass in a pipe."""
    made = Built()
    made.add("app", layers=[make_layer("shared", size=200_000), make_layer("small")])
    made.add("other", layers=[make_layer("shared", size=200_000), make_layer("other", size=300_000)])
    return made.bytes()


ARCHIVE = make_archive()


class Disturbed(io.BytesIO):
    """An archive, in a file or in a pipe, at whose middle something happens once: as the last layer is read."""

    def __init__(self, disturb: Callable[[], None], *, is_file: bool) -> None:
        super().__init__(ARCHIVE)
        self._disturb: Callable[[], None] | None = disturb
        self._is_file = is_file

    def seekable(self):
        return self._is_file

    def read(self, size=-1):
        data = super().read(size)
        if self._disturb is not None and self.tell() > len(ARCHIVE) // 2 and size > BLOCK:
            disturb, self._disturb = self._disturb, None
            disturb()
        return data


@pytest.fixture
def store(stoppable_url, tmp_path):
    with Store.open(stoppable_url, content=tmp_path / "content") as store:
        yield store


def check_the_second_try(store, source=None):
    """All is sound without what the first has left, and afterwards."""
    for lease in store.leases.page():
        store.leases.delete(lease.id)
    store.collect()
    assert list(verify(store, content=True)) == []
    loaded = load(store, io.BytesIO(ARCHIVE) if source is None else source)
    assert [str(tag) for image in loaded for tag in image.tags] == [
        "docker.io/library/app:1",
        "docker.io/library/other:1",
    ]
    assert set(store.map()) == {image.id for image in loaded}
    assert list(verify(store, content=True)) == []


@pytest.mark.parametrize("is_file", [True, False])
def test_a_server_that_is_stopped(server, store, is_file):
    try:
        with pytest.raises(OperationalError) as caught:
            load(store, Disturbed(server.stop, is_file=is_file))
    finally:
        server.start()
    assert any("server" in note for note in caught.value.__notes__)
    assert len(store) == is_file  # of a pipe, all images come after all layers
    check_the_second_try(store)


@pytest.mark.parametrize("is_file", [True, False])
def test_a_server_that_is_restarted_is_not_noticed(server, store, is_file):
    def restart():
        server.stop()
        server.start()

    disturbed = Disturbed(restart, is_file=is_file)
    loaded = load(store, disturbed)
    assert disturbed._disturb is None
    assert len(loaded) == 2
    assert store.leases.page() == []
    check_the_second_try(store)


@pytest.mark.parametrize("cut", [300, 100_000, 205_000, len(ARCHIVE) * 2 // 3])
def test_a_pipe_that_is_closed(url, tmp_path, cut):
    with Store.open(url, content=tmp_path / "content") as store:
        with closing_after(cut) as pipe, pytest.raises(InvalidArchiveError, match="unexpected EOF") as caught:
            load(store, pipe)
        assert caught.value.reason == "truncated"
        assert leftovers(store) == []
        with closing_after(len(ARCHIVE)) as pipe:
            check_the_second_try(store, pipe)


@pytest.mark.parametrize("is_file", [True, False])
def test_a_source_that_is_reset(url, tmp_path, is_file):
    def reset():
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))

    with Store.open(url, content=tmp_path / "content") as store:
        with pytest.raises(ConnectionResetError):
            load(store, Disturbed(reset, is_file=is_file))
        assert store.leases.page() == []
        check_the_second_try(store)


def closing_after(size):
    """A pipe from a writer that goes after so many bytes."""
    reader, writer = os.pipe()

    def write():
        with os.fdopen(writer, "wb") as file:
            file.write(ARCHIVE[:size])

    threading.Thread(target=write).start()
    return os.fdopen(reader, "rb")


FILL = """
import errno, io, sqlite3, sys, tempfile
from pathlib import Path
from sqlalchemy.exc import OperationalError
from imagestore.archive import load
from imagestore.store import Store
from imagestore.testing.makers import make_layer
from imagestore.verify import verify
from tests.archives.built import Built
from tests.archives.conftest import Pipe, empty

disk, home = Path(sys.argv[1]), Path(sys.argv[2])

def make(*sizes):
    made = Built()
    for number, size in enumerate(sizes):
        made.add(f"app{number}", layers=[make_layer("shared", size=100_000), make_layer(number, size=size)])
    return made.bytes()

def check(store, count):
    assert store.leases.page() == []
    store.collect()
    assert list(verify(store, content=True)) == []
    assert len(store) == len(list(store.references.stream())) == count
    assert len(list((Path(str(store.content)) / "data").iterdir())) == (count and count + 1)

archive, fitting, small = make(300_000, 3_000_000), make(300_000, 400_000), make(*[10_000] * 20)
with Store.open(f"sqlite:///{home}/images.db", content=disk / "content") as store:
    for kind, is_there in ((io.BytesIO, 1), (Pipe, 0)):
        try:
            load(store, kind(archive))
        except OSError as error:
            assert (error.errno, Path(error.filename).parent) == (errno.ENOSPC, disk / "content" / "data"), error
            assert "make room" in error.__notes__[0]
        else:
            sys.exit("the disk is not full")
        check(store, is_there)
        assert len(load(store, kind(fitting))) == 2
        check(store, 2)
        empty(store)
    tempfile.tempdir = str(disk)
    (disk / "ballast").write_bytes(bytes(1_900_000))
    try:
        load(store, Pipe(small))
    except OSError as error:
        assert (error.errno, error.filename) == (errno.ENOSPC, str(disk)), error
    else:
        sys.exit("the disk is not full")
    (disk / "ballast").unlink()
    check(store, 0)
    assert len(load(store, Pipe(small))) == 20
    check(store, 20)
print("full, and whole")
"""


@pytest.mark.soak
def test_a_disk_of_two_megabytes(tmp_path):
    (tmp_path / "disk").mkdir()
    assert run_on_small_disk(FILL, tmp_path / "disk", str(tmp_path)) == ("full, and whole", 0, "")
