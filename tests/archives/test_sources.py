"""From what an archive may be read: what is no stream, streams that give little at once, and those that take long."""

from __future__ import annotations

import io
from itertools import count
from types import SimpleNamespace
from typing import BinaryIO, cast

import pytest

from imagestore import leases
from imagestore.archive import load
from imagestore.errors import InvalidArchiveError, InvalidError
from imagestore.testing.makers import make_layer
from tests.archives.built import image, tar
from tests.archives.conftest import Pipe
from tests.archives.layouts import Layout, named


@pytest.mark.parametrize("source", [None, 5, b"/archive.tar", "", io.StringIO()])
def test_an_archive_is_a_path_or_a_stream_of_bytes(emptied, source):
    with pytest.raises(InvalidError, match="an archive is a path, or a stream"):
        load(emptied, source)


def test_a_file_may_give_few_bytes_at_once(emptied):
    class Slow(io.BytesIO):
        def read(self, size=-1, /):
            return super().read(min(size, 7) if size > 0 else size)

    assert load(emptied, Slow(image(layers=[make_layer()]).bytes()))


def test_a_layer_of_zeros_is_an_empty_tar(emptied):
    made = Layout()
    archive = made.add(made.image(**named("zeros:1"), layers=(bytes(5 << 20),))).tar()
    assert load(emptied, cast("BinaryIO", Pipe(archive)))[0] == load(emptied, io.BytesIO(archive))[0]


def test_the_lease_is_kept_while_no_layer_passes(emptied, monkeypatch):
    monkeypatch.setattr(leases, "time", SimpleNamespace(monotonic=count(step=1000).__next__))
    expiries = set()

    class Watched(io.RawIOBase):
        def __init__(self, data):
            self._stream = io.BytesIO(data)

        def read(self, size=-1, /):
            expiries.add(emptied.leases.page()[0].expires)
            return self._stream.read(min(size, 4096))

    empty = tar({f"file{number}": b"{}" for number in range(20)})
    with pytest.raises(InvalidArchiveError, match="repositories"):
        load(emptied, cast("BinaryIO", Watched(empty)))
    assert len(expiries) > 5
