"""Where the bytes of layers are: whose place it is, and what becomes of a store whose place has been damaged."""

from __future__ import annotations

import io
import shutil

import pytest
import sqlalchemy

from imagestore import LocalContent, Store, content_beside
from imagestore.errors import (
    ContentLostError,
    CorruptContentError,
    InvalidError,
    LayerNotFoundError,
    ReadOnlyError,
    UnusableBindError,
    UnusableContentError,
)
from imagestore.sql.engine import configure
from imagestore.testing.layers import RecordingLayerStore
from imagestore.testing.makers import make_config, make_layer


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "content"


@pytest.fixture
def filled(store, folder):
    """A store with a place for content, and one layer in it."""
    with Store(store.engine, content=folder) as filled:
        filled.layers.register(io.BytesIO(make_layer()))
        yield filled


def test_a_folder_of_another_store_is_refused(filled, folder, tmp_path):
    with pytest.raises(UnusableContentError, match="place"), Store.open(f"sqlite:///{tmp_path}/other.db") as other:
        Store(other.engine, content=tmp_path / "others")
        Store(other.engine, content=folder)
    with pytest.raises(UnusableContentError, match="name that one"):
        Store(filled.engine, content=tmp_path / "others")
    assert Store(filled.engine, content=folder).layers.map() == filled.layers.map()


def test_a_new_folder_is_refused_where_there_are_contents_elsewhere(filled, folder, tmp_path):
    with pytest.raises(UnusableContentError, match="restore it from a backup"):
        Store(filled.engine, content=tmp_path / "new")
    assert not (tmp_path / "new").exists()
    shutil.rmtree(folder)
    with pytest.raises(UnusableContentError, match="restore it from a backup"):
        Store(filled.engine, content=folder)


def test_a_folder_is_found_under_another_path(filled, folder, tmp_path):
    (chain,) = filled.layers.map()
    folder.rename(tmp_path / "moved")
    with Store(filled.engine, content=str(tmp_path / "moved")).layers.open(chain) as stream:
        assert stream.read() == make_layer()


def test_a_store_without_a_place_knows_layers_and_has_no_bytes(store):
    image_id = store.create(make_config(layers=2))
    layers = list(store.layers.map().values())
    assert [(layer.size, layer.content_size) for layer in layers] == [(None, None)] * 2
    with pytest.raises(UnusableContentError, match="content_beside"):
        store.layers.register(io.BytesIO(make_layer()))
    with pytest.raises(UnusableContentError, match="content="):
        store.layers.open(layers[0].chain_id)
    assert [(freed.size, freed.diff_size) for freed in store.delete(image_id)] == [(0, 0), (0, 0)]


def test_a_layer_that_is_only_known_has_no_bytes(store, filled):
    image_id = store.create(make_config(layers=1))
    top = store.get(image_id).chain_id
    with pytest.raises(LayerNotFoundError):
        filled.layers.open(top)
    with pytest.raises(LayerNotFoundError):
        filled.create(make_config("another", layers=1))
    assert filled.create(make_config(layers=1)) == image_id


def damage(path, how):
    match how:
        case "missing":
            path.unlink()
        case "truncated":
            path.write_bytes(path.read_bytes()[:-1])
        case "swapped":
            path.write_bytes(make_layer("other"))
        case "a symlink":
            path.rename(path.with_name("target"))
            path.symlink_to("target")
        case "a folder":
            path.unlink()
            path.mkdir()


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("missing", ContentLostError),
        ("truncated", CorruptContentError),
        ("swapped", CorruptContentError),
        ("a symlink", UnusableContentError),
        ("a folder", UnusableContentError),
    ],
)
def test_content_that_is_damaged_is_told(filled, folder, how, error):
    (chain,) = filled.layers.map()
    (path,) = (folder / "data").iterdir()
    damage(path, how)
    with pytest.raises(error), filled.layers.open(chain) as stream:
        stream.read()


def test_layers_are_in_one_place(folder):
    with pytest.raises(InvalidError, match="name one"):
        Store.open("sqlite://", content=folder, layer_stores={"linux": RecordingLayerStore()})
    assert not folder.exists()


def test_a_snapshot_registers_nothing(filled, folder):
    kept = sorted((folder / "data").iterdir())
    with filled.lease() as lease, filled.reading() as snapshot, pytest.raises(ReadOnlyError):
        snapshot.layers.register(io.BytesIO(make_layer("another")), lease=lease)
    assert sorted((folder / "data").iterdir()) == kept


def test_the_place_beside_a_file(tmp_path, monkeypatch):
    assert str(content_beside(f"sqlite:///{tmp_path}/images.db")) == f"{tmp_path}/images.db-content"
    monkeypatch.chdir(tmp_path)
    assert str(content_beside("sqlite:///images.db")) == f"{tmp_path}/images.db-content"
    for url in ("sqlite://", "postgresql://user@localhost/images"):
        with pytest.raises(UnusableContentError, match="LocalContent"):
            content_beside(url)


@pytest.fixture
def host(store):
    """A connection of a host's, in a transaction."""
    engine = configure(sqlalchemy.create_engine(store.engine.url))
    with engine.connect() as connection, connection.begin():
        yield connection
    engine.dispose()


def test_a_joined_store_registers_under_a_lease_that_was_taken_before(store, folder):
    with Store(store.engine, content=folder) as content_store, content_store.lease() as lease:
        with content_store.engine.begin() as connection:
            joined = content_store.joined(connection)
            with pytest.raises(InvalidError, match="lease="):
                joined.layers.register(io.BytesIO(make_layer()))
            layer = joined.layers.register(io.BytesIO(make_layer()), lease=lease)
            image_id = joined.create(make_config(layers=[layer.diff_id]))
            with pytest.raises(UnusableBindError, match="before"):
                joined.lease()
            with pytest.raises(UnusableBindError, match="of its own"):
                joined.collect()
            connection.rollback()
        assert content_store.layers.map() == {}
        assert image_id not in content_store
        assert content_store.collect().files == 0  # the lease has it
    assert content_store.collect().files == 1


def test_a_joined_delete_leaves_the_bytes_to_collect(filled, folder):
    (layer,) = filled.layers.map().values()
    image_id = filled.create(make_config(layers=[layer.diff_id]))
    filled.leases.delete(filled.leases.page()[0].id)
    with filled.engine.begin() as connection:
        freed = filled.joined(connection).delete(image_id)
    assert [each.chain_id for each in freed] == [layer.chain_id]
    assert len(list((folder / "data").iterdir())) == 1
    collected = filled.collect()
    assert (collected.layers, collected.contents, collected.files) == (0, 0, 1)


def test_a_snapshot_only_reads(filled):
    (chain,) = filled.layers.map()
    with filled.reading() as snapshot:
        assert chain in snapshot.layers
        with snapshot.layers.open(chain) as stream:
            assert stream.read() == make_layer()
        for call in (snapshot.lease, snapshot.collect):
            with pytest.raises((ReadOnlyError, UnusableBindError)):
                call()


def test_a_file_that_a_killed_writer_left_is_collected(filled, folder):
    content = LocalContent(folder)
    with filled.lease() as lease:
        content.write(f"{lease.id}-1", [b"half"])
        assert filled.collect().files == 0
    assert filled.collect(dry_run=True).files == 1
    assert filled.collect().files == 1
    assert len(list(content.names())) == 1
