"""A save whose disk fills up, or whose server goes: a clear error, no half file, and the second try succeeds."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from sqlalchemy.exc import OperationalError

from imagestore.archive import save, save_to
from imagestore.content.local import LocalContent
from imagestore.store import Store
from imagestore.verify import verify
from tests.crash.layer_database import prepare
from tests.crash.test_full_disk import run_on_small_disk
from tests.crash.test_server import server, url

__all__ = ["server", "url"]  # fixtures

NAMES = ["app:1"]


class Disturbed(LocalContent):
    """A folder that does something once when a layer is opened to be saved."""

    disturb: Callable[[], None] | None = None

    def open(self, name):
        stream = super().open(name)
        if self.disturb is not None:
            disturb, self.disturb = self.disturb, None
            disturb()
        return stream

    def size(self, name):
        with super().open(name) as file:
            return file.seek(0, io.SEEK_END)


def saved(store):
    out = io.BytesIO()
    save(store, NAMES, out)
    return out.getvalue()


@pytest.fixture
def disturbed(url, tmp_path):
    with Store.open(url, content=Disturbed(tmp_path / "content")) as store:
        prepare(store)
        yield store


def test_a_server_that_is_stopped(server, disturbed, tmp_path):
    archive = saved(disturbed)
    path = tmp_path / "saved.tar"
    disturbed.content.disturb = server.stop
    try:
        with pytest.raises(OperationalError) as caught:
            save_to(disturbed, NAMES, path)
    finally:
        server.start()
    assert any("server" in note for note in caught.value.__notes__)
    assert [each.name for each in tmp_path.iterdir()] == ["content"]
    assert list(verify(disturbed)) == []
    save_to(disturbed, NAMES, path)
    assert path.read_bytes() == archive


def test_a_server_that_is_restarted_is_not_noticed(server, disturbed, tmp_path):
    archive = saved(disturbed)
    leases = disturbed.leases.page()

    def restart():
        server.stop()
        server.start()

    disturbed.content.disturb = restart
    save_to(disturbed, NAMES, tmp_path / "saved.tar")
    assert (tmp_path / "saved.tar").read_bytes() == archive
    assert disturbed.leases.page() == leases


FILL = """
import errno, io, random, sys, tarfile, tempfile
from pathlib import Path
from imagestore.archive import save, save_to
from imagestore.store import Store
from imagestore.testing.makers import make_config, make_layer

disk, home = Path(sys.argv[1]), Path(sys.argv[2])
def make_noise(size):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo("noise")
        member.size = size
        tar.addfile(member, io.BytesIO(random.randbytes(size)))
    return out.getvalue()

store = Store.open(f"sqlite:///{home}/images.db", content=home / "content")
with store.lease() as lease:
    tars = make_layer(size=100_000), make_layer(size=3_000_000), make_noise(3_000_000)
    layers = [store.layers.register(io.BytesIO(tar), lease=lease) for tar in tars]
    small, large, noise = (store.create(make_config(layers=[layer.diff_id])) for layer in layers)
save_to(store, [small], disk / "small.tar")
before = (disk / "small.tar").read_bytes()
for options in ({}, {"format": "oci"}):
    for path in (disk / "large.tar", disk / "small.tar"):
        try:
            save_to(store, [large], path, **options)
        except OSError as error:
            assert (error.errno, error.filename) == (errno.ENOSPC, str(path)), error
        else:
            sys.exit("the disk is not full")
        assert store.leases.page() == []
        assert [each.name for each in disk.iterdir()] == ["small.tar"]
        assert (disk / "small.tar").read_bytes() == before
save_to(store, [large], disk / "large.tar", format="oci", compression="gzip")
tempfile.tempdir = str(disk)
try:
    save(store, [noise], out := io.BytesIO(), format="oci", compression="zstd")
except OSError as error:
    assert (error.errno, error.filename, out.getvalue()) == (errno.ENOSPC, str(disk), b""), error
else:
    sys.exit("the disk is not full")
assert sorted(each.name for each in disk.iterdir()) == ["large.tar", "small.tar"]
print("full, and whole")
"""


@pytest.mark.soak
def test_a_disk_of_two_megabytes(tmp_path):
    (tmp_path / "disk").mkdir()
    assert run_on_small_disk(FILL, tmp_path / "disk", str(tmp_path)) == ("full, and whole", 0, "")
