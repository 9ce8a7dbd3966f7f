"""Where the bytes of layers are: whose place it is, and what becomes of a store whose place has been damaged."""

from __future__ import annotations

import io
import shutil

import pytest
import sqlalchemy
from sqlalchemy import delete

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
from imagestore.sql import schema
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


def test_a_folder_of_another_store_is_not_adopted_by_one_that_has_none(store, filled, folder, tmp_path):
    with Store.open(f"sqlite:///{tmp_path}/other.db") as other:
        for _ in range(2):
            with pytest.raises(UnusableContentError, match="another store"):
                Store(other.engine, content=folder)
        assert Store(other.engine, content=tmp_path / "own").collect().files == 0
    assert len(list((folder / "data").iterdir())) == 1


def test_a_second_new_folder_is_refused(store, folder, tmp_path):
    Store(store.engine, content=folder)
    with pytest.raises(UnusableContentError, match="restore it from a backup"):
        Store(store.engine, content=tmp_path / "second")
    assert not (tmp_path / "second").exists()


def test_two_that_claim_a_place_at_once_have_one(store, folder, tmp_path, monkeypatch):
    claim = LocalContent.claim

    def beside(content, identity):
        monkeypatch.undo()
        Store(store.engine, content=tmp_path / "quicker")
        return claim(content, identity)

    monkeypatch.setattr(LocalContent, "claim", beside)
    with pytest.raises(UnusableContentError, match="name that one"):
        Store(store.engine, content=folder)
    Store(store.engine, content=tmp_path / "quicker")


@pytest.mark.parametrize("claimed", [False, True])
def test_a_claim_that_was_interrupted_is_taken_up_again(store, folder, monkeypatch, claimed):
    claim = LocalContent.claim

    def interrupted(content, identity):
        if claimed:
            claim(content, identity)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LocalContent, "claim", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Store(store.engine, content=folder)
    Store(store.engine, content=folder).layers.register(io.BytesIO(make_layer()))
    assert len(Store(store.engine, content=folder).layers.map()) == 1


def test_a_joined_store_claims_no_place(store, folder):
    with store.engine.begin() as connection:
        with pytest.raises(UnusableContentError, match="has joined"):
            Store(connection, content=folder)
        assert not folder.exists()
    Store(store.engine, content=folder)
    with store.engine.begin() as connection:
        assert Store(connection, content=folder).layers.map() == {}


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


@pytest.mark.parametrize("how", ["missing", "truncated", "a symlink"])
def test_a_layer_that_is_registered_again_heals_its_content(filled, folder, how):
    (path,) = (folder / "data").iterdir()
    damage(path, how)
    layer = filled.layers.register(io.BytesIO(make_layer()))
    with filled.layers.open(layer.chain_id) as stream:
        assert stream.read() == make_layer()
    for lease in filled.leases.page():
        filled.leases.delete(lease.id)
    filled.collect()
    assert list((folder / "data").glob(f"{layer.lease}*")) == []


def test_a_file_that_cannot_be_removed_is_left_to_collect(filled, folder, caplog):
    lower, upper = (filled.layers.register(io.BytesIO(make_layer(name))) for name in ("lower", "upper"))
    image_id = filled.create(make_config(layers=[lower.diff_id]))
    (path,) = (folder / "data").glob(f"{lower.lease}*")
    damage(path, "a folder")
    filled.layers.release(lower)
    assert [freed.diff_id for freed in filled.delete(image_id)] == [lower.diff_id]
    assert path.name in caplog.text
    filled.layers.release(upper)
    assert filled.collect().files == 0


@pytest.mark.parametrize("batch", [0, -1])
def test_a_batch_has_at_least_one_row(filled, batch):
    with pytest.raises(InvalidError, match="batch"):
        filled.collect(batch=batch)


@pytest.mark.parametrize("lease", ["\0", "x", "\udcff", 7, "0" * 33, "0" * 100_000])
def test_what_is_no_lease_is_refused(filled, lease):
    for call in (filled.leases.delete, filled.leases.page):
        with pytest.raises(InvalidError, match="hexadecimal digits") as caught:
            call(lease)
        assert len(str(caught.value)) < 300


def test_an_image_whose_row_is_gone_needs_the_content_of_its_layers_too(store, filled):
    config = make_config(layers=1)
    image_id = store.create(config)
    with store.engine.begin() as connection:
        connection.execute(delete(schema.images))
    for call in (lambda: filled.create(config), lambda: filled.create_many([config])):
        with pytest.raises(LayerNotFoundError):
            call()
    assert store.create(config) == image_id


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
        with pytest.raises(ReadOnlyError, match="a snapshot of"):
            snapshot.lease()
        with pytest.raises(UnusableBindError, match="of the store itself"):
            snapshot.collect()


def test_a_file_that_a_killed_writer_left_is_collected(filled, folder):
    content = LocalContent(folder)
    with filled.lease() as lease:
        content.write(f"{lease.id}-1", [b"half"])
        assert filled.collect().files == 0
    assert filled.collect(dry_run=True).files == 1
    assert filled.collect().files == 1
    assert len(list(content.names())) == 1
