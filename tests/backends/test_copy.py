"""copy, between any two backends: everything, nothing twice, in pages, and what is damaged is said."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from sqlalchemy import update

from imagestore.backend import DOCKER_KEYS, Copied, StoreBackend, WorksInBulk, copy
from imagestore.backends.filesystem import FSBackend
from imagestore.backends.sql import SQLBackend
from imagestore.digest import Digest
from imagestore.errors import BlobNotFoundError, CorruptBlobError, IncompleteCopyError, MetadataNotFoundError
from imagestore.gojson import GoTime
from imagestore.sql.schema import blobs
from imagestore.store import Store
from imagestore.testing.makers import make_config, make_digest, make_random_config
from tests.backends.state import contents, tree

CONFIGS = [make_random_config(seed) for seed in range(25)]


class Port:
    """A backend with the seven methods of the port and no other; ``calls`` names those that have written."""

    def __init__(self, backend):
        self._backend = backend
        self.calls = []

    def walk(self):
        return self._backend.walk()

    def get(self, digest):
        return self._backend.get(digest)

    def set(self, data):
        self.calls.append("set")
        return self._backend.set(data)

    def delete(self, digest):
        self._backend.delete(digest)

    def set_metadata(self, digest, key, data):
        self.calls.append("set_metadata")
        self._backend.set_metadata(digest, key, data)

    def get_metadata(self, digest, key):
        return self._backend.get_metadata(digest, key)

    def delete_metadata(self, digest, key):
        self._backend.delete_metadata(digest, key)


@pytest.fixture
def files(tmp_path):
    return FSBackend(tmp_path / "files")


@pytest.fixture
def other_files(tmp_path):
    return FSBackend(tmp_path / "other files")


@pytest.fixture
def sqlite(sqlite_url):
    with SQLBackend.open(sqlite_url) as backend:
        yield backend


@pytest.fixture
def postgres(postgres_url):
    with SQLBackend.open(postgres_url) as backend:
        yield backend


PAIRS = [
    ("files", "other_files"),
    ("files", "sqlite"),
    ("files", "postgres"),
    ("sqlite", "postgres"),
    ("postgres", "files"),
]


@pytest.fixture(params=PAIRS, ids=" to ".join)
def pair(request):
    return [request.getfixturevalue(name) for name in request.param]


@pytest.fixture(autouse=True)
def small_pages(monkeypatch):
    monkeypatch.setattr("imagestore.backend._PAGE", 10)


def fill(backend, configs=CONFIGS):
    digests = [backend.set(config) for config in configs]
    for digest, parent in zip(digests[1:], digests, strict=False):
        backend.set_metadata(digest, "parent", parent.encode())
    backend.set_metadata(digests[0], "lastUpdated", b"2020-10-01T12:30:00.123456789Z")
    backend.set_metadata(digests[0], "lastUsed", b"2020-10-02T12:30:00Z")
    backend.set_metadata(digests[1], "builtLocally", b"")
    backend.set_metadata(digests[2], "a key\udcff of a host", b"\0\xff")
    return digests


def damage(backend, digest):
    """Other bytes in the place of a blob's."""
    if isinstance(backend, FSBackend):
        Path(backend._content, digest.hex).write_bytes(b"damaged")
        return
    with backend._bind.engine.begin() as connection:
        connection.execute(update(blobs).where(blobs.c.digest == digest).values(data=b"damaged"))


def test_what_sql_does_in_bulk_is_what_it_does_one_by_one(database_url):
    with Store.open(database_url) as store:
        backend = store.backend
        assert isinstance(backend, WorksInBulk)
        child, parent = backend.set_many([CONFIGS[0], CONFIGS[1]])
        missing = make_digest()
        with pytest.raises(BlobNotFoundError, match=missing):
            backend.set_many_metadata([(child, "key", b"value"), (missing, "key", b"value")])
        assert contents(backend) == {child: (CONFIGS[0], {}), parent: (CONFIGS[1], {})}
        time = b"2020-10-01T12:30:00.123456789Z"
        backend.set_many_metadata(
            [(child, "parent", parent.encode()), (child, "a\udcff", b"\0"), (parent, "lastUpdated", time)]
        )
        assert store.children(parent) == [child]
        assert store.get_last_updated(parent) == GoTime.parse(time.decode())
        held = {digest: metadata for digest, (_, metadata) in contents(backend).items()}
        assert backend.get_many_metadata([child, parent, missing]) == held
        assert [*held[child]] == ["a\udcff", "parent"]


def test_everything_is_copied_and_nothing_twice(pair):
    source, target = pair
    fill(source)
    assert copy(source, target) == Copied(25, 24 + 4)
    assert contents(target) == contents(source)
    recorded = Port(target)
    assert copy(source, recorded) == Copied(0, 0)
    assert recorded.calls == []


def test_what_the_target_has_besides_stays(pair):
    source, target = pair
    fill(source, CONFIGS[:3])
    mine = target.set(CONFIGS[5])
    shared = target.set(CONFIGS[1])
    target.set_metadata(mine, "lastUpdated", b"2020-01-01T00:00:00Z")
    target.set_metadata(shared, "mine", b"stays")
    target.set_metadata(shared, "parent", b"is replaced")
    assert copy(source, target) == Copied(2, 6)
    found = contents(target)
    assert found.pop(mine) == (CONFIGS[5], {"lastUpdated": b"2020-01-01T00:00:00Z"})
    assert found[shared][1].pop("mine") == b"stays"
    assert found == contents(source)


def test_an_empty_source(files, sqlite):
    source, target = files, sqlite
    assert copy(source, target) == Copied(0, 0)
    assert contents(target) == {}


def test_all_blobs_come_before_any_metadata(files, sqlite):
    source, target = files, sqlite
    fill(source)
    port = Port(target)
    assert isinstance(port, StoreBackend)
    copy(Port(source), port)
    assert port.calls == ["set"] * 25 + ["set_metadata"] * (24 + 2)


def test_a_source_that_cannot_list_its_keys_is_asked_for_docker_s(files, sqlite):
    source, target = files, sqlite
    digests = fill(source, CONFIGS[:3])
    copy(Port(source), target)
    assert {key for _, metadata in contents(target).values() for key in metadata} == set(DOCKER_KEYS)
    with pytest.raises(MetadataNotFoundError):
        target.get_metadata(digests[0], "lastUsed")


def test_only_the_keys_that_are_named(files, sqlite):
    source, target = files, sqlite
    fill(source, CONFIGS[:3])
    assert copy(source, target, keys=["lastUsed", "nothing"]) == Copied(3, 1)
    assert [metadata for _, metadata in contents(target).values() if metadata] == [
        {"lastUsed": b"2020-10-02T12:30:00Z"}
    ]


def test_progress_is_told_of_pages(files, sqlite):
    source, target = files, sqlite
    fill(source)
    told = []
    copy(source, target, progress=lambda done, total, phase: told.append((done, total, phase)))
    steps = (0, 10, 20, 25)
    assert told == [(done, 25, phase) for phase in ("blobs", "metadata") for done in steps]


def test_an_interrupted_copy_goes_on_where_it_was(pair):
    source, target = pair
    fill(source)

    def interrupt(done, total, phase):
        if (done, phase) in moments:
            moments.remove((done, phase))
            raise KeyboardInterrupt

    moments = {(0, "blobs"), (10, "blobs"), (20, "metadata"), (25, "metadata")}
    written = []
    while moments:
        port = Port(target)
        with pytest.raises(KeyboardInterrupt):
            copy(source, port, progress=interrupt)
        written += port.calls
    assert sorted(written) == ["set"] * 25 + ["set_metadata"] * (24 + 4)
    assert copy(source, target) == Copied(0, 0)
    assert contents(target) == contents(source)


def test_what_is_damaged_is_named_and_all_else_is_copied(pair):
    source, target = pair
    digests = fill(source)
    whole = contents(source)
    damaged = sorted(digests[5:20])
    for digest in damaged:
        damage(source, digest)
    for _ in range(2):
        with pytest.raises(IncompleteCopyError, match=r"15 damaged blobs .* and 5 more; restore them") as caught:
            copy(source, target)
        assert list(caught.value.damaged) == damaged
        assert caught.value.__cause__.digest == damaged[0]
        assert all(digest in str(caught.value) for digest in damaged[:10])
        assert contents(target) == {digest: held for digest, held in whole.items() if digest not in damaged}
    assert (caught.value.blobs, caught.value.metadata) == (0, 0)
    for digest in damaged:
        source.delete(digest)
        source.set(whole[digest][0])
    assert copy(source, target).blobs == 15


def test_a_damaged_blob_that_the_target_has_is_not_lost(pair):
    source, target = pair
    digests = fill(source, CONFIGS[:3])
    copy(source, target, keys=())
    damage(source, digests[1])
    lost: tuple[str, ...] = ()
    try:
        copy(source, target)
    except IncompleteCopyError as error:
        lost = error.damaged  # files give out metadata beside a sound blob only
    assert lost == (digests[1],) or target.get_metadata(digests[1], "parent").decode() == digests[0]
    assert target.get(digests[1]) == CONFIGS[1]


def test_a_damaged_blob_of_the_target_is_written_again(files, other_files):
    digests = fill(files, CONFIGS[:3])
    copy(files, other_files)
    damage(other_files, digests[1])
    assert copy(files, other_files) == Copied(1, 0)
    assert contents(other_files) == contents(files)


def test_a_damaged_blob_that_the_target_keeps_is_named(files, other_files):
    class Keeping(Port):
        def set(self, data):
            return Digest.from_bytes(data)

    digests = fill(files, CONFIGS[:3])
    copy(files, other_files)
    damage(other_files, digests[1])
    with pytest.raises(CorruptBlobError, match=digests[1]):
        copy(files, Keeping(other_files))


def test_files_are_the_same_bytes_and_modes_after_a_way_round(files, sqlite, tmp_path):
    fill(files)
    copy(files, sqlite)
    copy(sqlite, FSBackend(tmp_path / "back"))
    assert tree(tmp_path / "back") == tree(tmp_path / "files")


def test_memory_does_not_grow_with_the_store(pair):
    source, target = pair
    peaks = []
    for count in (30, 120):
        for number in range(count):
            source.set(make_config(number, author="x" * 20_000))
        tracemalloc.start()
        copy(source, target)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.3
