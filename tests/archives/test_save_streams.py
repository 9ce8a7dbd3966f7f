"""A save as a stream: into what it may go, how much memory it takes, and who else is at work meanwhile."""

from __future__ import annotations

import io
import os
import tracemalloc
from collections.abc import Callable
from itertools import count
from types import SimpleNamespace
from typing import Any, BinaryIO, cast

import pytest
from sqlalchemy import event

from imagestore import leases
from imagestore.archive import load, save
from imagestore.errors import ConflictError, ImageNotFoundError, LeaseExpiredError
from imagestore.sql.engine import create_engine
from imagestore.store import Store
from imagestore.testing.makers import make_config, make_layer
from tests.archives.saved import FAMILY

NAMES = ["base:1", "left:1", "right:1"]
OPTIONS: list[dict[str, Any]] = [{}, {"format": "oci"}, {"format": "oci", "compression": "zstd"}]


@pytest.fixture
def family(emptied):
    load(emptied, FAMILY)
    return emptied


@pytest.fixture
def archive(family):
    out = io.BytesIO()
    save(family, NAMES, out)
    return out.getvalue()


class Meeting(io.BytesIO):
    """A stream that does something once, when it is given so many bytes."""

    def __init__(self, do, after=1):
        super().__init__()
        self._do = do
        self._after = after

    def write(self, data):
        written = super().write(data)
        if self._do is not None and self.tell() >= self._after:
            do, self._do = self._do, None
            do()
        return written


@pytest.fixture
def meeting(family):
    """A store of a host, and what others do, one after the other, whenever a snapshot of it ends."""
    engine = create_engine(family.engine.url)
    work: list[Callable[[], object]] = []

    @event.listens_for(engine, "rollback")
    def meet(_connection):
        if work:
            work.pop()()

    yield Store(engine, content=family.content), work
    engine.dispose()


class TestWhatIsWrittenTo:
    def test_a_stream_that_takes_a_part(self, family, archive):
        taken = []

        class Slow(io.RawIOBase):
            def write(self, data):
                taken.append(bytes(data[:1000]))
                return len(taken[-1])

        save(family, NAMES, cast("BinaryIO", Slow()))
        assert b"".join(taken) == archive

    def test_a_stream_that_says_nothing(self, family, archive):
        taken = []

        class Quiet:
            def write(self, data):
                taken.append(data)

        save(family, NAMES, cast("BinaryIO", Quiet()))
        assert b"".join(taken) == archive

    def test_a_stream_that_does_not_wait(self, family):
        reading, writing = os.pipe2(os.O_NONBLOCK)
        with os.fdopen(reading, "rb"), os.fdopen(writing, "wb", buffering=0) as out:
            out.write(bytes(65_536))
            with pytest.raises(BlockingIOError, match="give one that blocks"):
                save(family, NAMES, out)

    @pytest.mark.parametrize("options", OPTIONS)
    def test_a_pipe_that_is_closed(self, family, options):
        reading, writing = os.pipe()
        with os.fdopen(writing, "wb", buffering=0) as out:
            os.close(reading)
            with pytest.raises(BrokenPipeError):
                save(family, NAMES, out, **options)
        assert family.leases.page() == []


def test_the_memory_is_the_same_for_any_size(sqlite_store, tmp_path):
    store = Store(sqlite_store.engine, content=tmp_path / "content")
    with store.lease() as lease:
        layer = store.layers.register(io.BytesIO(make_layer("large", size=48 << 20)), lease=lease)
        image_id = store.create(make_config(layers=[layer.diff_id]))
    for options in OPTIONS:
        with (tmp_path / "archive").open("wb", buffering=0) as out:
            tracemalloc.start()
            try:
                save(store, [image_id], out, **options)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        assert peak < 8 << 20


def test_a_database_in_memory(tmp_path, archive):
    """There nobody writes while somebody reads."""
    with Store.open("sqlite://", content=tmp_path / "content") as store:
        load(store, FAMILY)
        save(store, NAMES, out := io.BytesIO())
    assert out.getvalue() == archive


class TestOthersAtWork:
    def test_what_is_deleted_meanwhile_is_saved_whole(self, family, archive):
        other = Store(family.engine, content=family.content)

        def delete():
            for name in NAMES:
                other.delete(other.references.get(name))
            other.collect()
            assert len(other) == 0

        for after in range(1, len(archive), 4000):
            out = Meeting(delete, after)
            save(family, NAMES, out)
            assert out.getvalue() == archive
            family.collect()
            assert family.layers.map() == {}
            load(family, FAMILY)

    def test_what_is_deleted_before_it_is_held_is_not_there(self, family, meeting):
        store, met = meeting
        met.append(lambda: family.delete(family.references.get("left:1")))
        with pytest.raises(LookupError, match="No such image: left"):
            save(store, ["base:1", "left"], io.BytesIO())
        assert met == family.leases.page() == []

    def test_a_name_that_moves_before_it_is_held_means_the_other_image(self, family, meeting):
        left, right = (family.references.get(name) for name in ("left:1", "right:1"))
        store, met = meeting

        def move():
            family.references.add_tag("left:1", right, force=True)
            family.delete(left)

        met.append(move)
        moved, expected = io.BytesIO(), io.BytesIO()
        save(store, ["left:1"], moved)
        save(store, ["left:1"], expected)
        assert met == []
        assert moved.getvalue() == expected.getvalue()
        assert f"{right.hex}.json".encode() in moved.getvalue()

    def test_a_name_that_never_stays_is_an_error(self, family, meeting):
        store, met = meeting

        def move():
            with family.lease() as lease:
                layer = family.layers.register(io.BytesIO(make_layer(f"layer {len(met)}")), lease=lease)
                family.references.add_tag("left:1", family.create(make_config(layers=[layer.diff_id])), force=True)

        met += [move] * 10
        with pytest.raises(ConflictError, match="try again"):
            save(store, ["left:1"], io.BytesIO())
        assert met == family.leases.page() == []

    def test_a_lease_that_is_ended_ends_the_save(self, family):
        def end():
            for lease in family.leases.page():
                family.leases.delete(lease.id)

        with pytest.raises(LeaseExpiredError):
            save(family, NAMES, Meeting(end))

    def test_a_long_save_renews_its_lease(self, family, monkeypatch):
        monkeypatch.setattr(leases, "time", SimpleNamespace(monotonic=count(step=1000).__next__))
        expiries = []

        class Watched(io.BytesIO):
            def write(self, data):
                expiries.append(family.leases.page()[0].expires)
                return super().write(data)

        save(family, NAMES, Watched())
        assert len(set(expiries)) > 1
        assert expiries == sorted(expiries)

    def test_the_lease_says_what_it_is_for(self, family):
        found = []
        save(family, NAMES, Meeting(lambda: found.extend(family.leases.page())))
        assert [dict(lease.labels) for lease in found] == [{"for": "save"}]


class TestJoined:
    def test_it_reads_in_the_callers_transaction(self, family, archive):
        out = io.BytesIO()
        with family.begin() as joined:
            joined.references.add_tag("new:1", family.references.get("left:1"))
            save(joined, ["new"], out)
            joined.references.delete("new:1")
            save(joined, NAMES, again := io.BytesIO())
        assert b'"new:1"' in out.getvalue()
        assert again.getvalue() == archive

    def test_a_snapshot_saves_what_it_sees(self, postgres_store, tmp_path):
        store = Store(postgres_store.engine, content=tmp_path / "content")
        load(store, FAMILY)
        with store.reading() as snapshot:
            assert len(snapshot) == 3
            store.references.delete("left:1")
            save(snapshot, ["left:1"], out := io.BytesIO())
        assert b'"left:1"' in out.getvalue()
        with pytest.raises(ImageNotFoundError):
            save(store, ["left"], io.BytesIO())
