"""What lies beside the image database of a data root: tags and layers, imported into a store and exported from one."""

from __future__ import annotations

import json
import tarfile

import pytest

from imagestore.backends.filesystem import FSBackend
from imagestore.digest import chain_id
from imagestore.docker import layer_database, repositories
from imagestore.docker.data_root import Imported, export_data_root, import_data_root
from imagestore.errors import IncompleteCopyError, UnusableDataRootError
from imagestore.image import Image
from imagestore.sql import sizes
from imagestore.store import Store
from imagestore.testing.makers import make_config, make_diff_id, make_digest, make_image
from tests.backends.state import tree
from tests.docker.tars import DOCKER_ROOT, extract, member, pack

IMAGE = make_image("image", layers=2)
LOWER, UPPER = (link.chain_id for link in IMAGE.stack)
DOCUMENT = {"app:1": IMAGE.image_id, "app:gone": make_digest()}


def members(image=IMAGE, names=DOCUMENT, layer_sizes=(3, 5)):
    """A data root of one image."""
    found = {f"imagedb/content/sha256/{image.image_id.hex}": image.raw_json}
    if names is not None:
        found["repositories.json"] = json.dumps({"Repositories": {"app": names}}).encode()
    for link, size in zip(image.stack, layer_sizes, strict=True):
        folder = f"layerdb/sha256/{link.chain_id[7:]}"
        found[f"{folder}/diff"] = link.diff_id.encode()
        found[f"{folder}/size"] = str(size).encode()
        found[f"{folder}/cache-id"] = b"x" * 1000
        if link.parent is not None:
            found[f"{folder}/parent"] = link.parent.encode()
    return found


def names(store):
    return {each.reference.familiar: each.image_id for each in store.references.stream()}


def layer_sizes(store):
    return {layer.chain_id: layer.size for layer in store.layers.page()}


@pytest.fixture
def source(request, tmp_path):
    """The data root of one image, as a folder or as a tar, made of the members that a test gives."""

    def make(found, prefix="docker/image/vfs/"):
        if request.param == "tar":
            return pack(tmp_path / "a.tar", [(prefix + name, data) for name, data in found.items()])
        for name, data in found.items():
            path = tmp_path / prefix / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return tmp_path / "docker"

    return make


both = pytest.mark.parametrize("source", ["folder", "tar"], indirect=True)


@both
def test_tags_and_sizes_come_along(store, source):
    imported = import_data_root(source(members()), store)
    assert imported == Imported(1, 0, 1, 2, (f"app:gone: No such image: {make_digest()}",))
    assert names(store) == {"app:1": IMAGE.image_id}
    assert layer_sizes(store) == {LOWER: 3, UPPER: 5}
    assert store._bind.read(sizes.of_images, [IMAGE.image_id]) == {IMAGE.image_id: 8}


@both
def test_a_second_import_finds_nothing_to_do(store, source):
    path = source(members())
    import_data_root(path, store)
    again = import_data_root(path, store)
    assert (again.blobs, again.references, again.sizes, len(again.left_out)) == (0, 0, 0, 1)


@both
def test_an_import_goes_on_where_it_was(store, source, monkeypatch):
    path = source(members())
    real = layer_database.read

    def interrupted(folder, damaged):
        raise KeyboardInterrupt

    monkeypatch.setattr(layer_database, "read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        import_data_root(path, store)
    assert names(store) == {"app:1": IMAGE.image_id}
    monkeypatch.setattr(layer_database, "read", real)
    assert import_data_root(path, store) == Imported(0, 0, 0, 2, (f"app:gone: No such image: {make_digest()}",))


@both
def test_a_tag_takes_the_place_of_one_that_is_there(store, source):
    other = store.create(make_config("other"))
    for name in ("app:1", "other:1"):
        store.references.add_tag(name, other)
    assert import_data_root(source(members()), store).references == 1
    assert names(store) == {"app:1": IMAGE.image_id, "other:1": other}


@both
def test_a_size_that_is_known_stays(store, source):
    store.create(IMAGE.raw_json)
    store._bind.write(sizes.set_many, [(LOWER, 100)])
    assert import_data_root(source(members()), store).sizes == 1
    assert layer_sizes(store) == {LOWER: 100, UPPER: 5}


@both
def test_layers_that_no_image_has_are_not_made(store, source):
    found = members()
    alone = chain_id([make_diff_id("alone")])
    found[f"layerdb/sha256/{alone[7:]}/diff"] = alone.encode()
    found[f"layerdb/sha256/{alone[7:]}/size"] = b"1"
    assert import_data_root(source(found), store).sizes == 2
    assert set(layer_sizes(store)) == {LOWER, UPPER}


@both
@pytest.mark.parametrize("missing", ["repositories.json", "layerdb", ""])
def test_an_image_database_may_lie_alone(store, source, missing):
    found = {name: data for name, data in members().items() if missing and not name.startswith(missing)}
    if not missing:
        found = {name: data for name, data in members().items() if name.startswith("imagedb")}
    imported = import_data_root(source(found), store)
    assert (imported.blobs, len(store)) == (1, 1)
    assert len(names(store)) == (missing == "layerdb")
    assert (None in layer_sizes(store).values()) == (missing != "repositories.json")


@both
def test_damage_is_told_and_all_else_comes(store, source):
    found = members()
    found[f"layerdb/sha256/{LOWER[7:]}/size"] = b"x" * 100_000
    found["repositories.json"] = b'{"Repositories":{"app":{"app:1":5}}}'
    imported = import_data_root(source(found), store)
    assert (imported.blobs, imported.references, imported.sizes) == (1, 0, 1)
    assert [line.split(":")[0] for line in imported.left_out] == ["repositories.json", "layerdb"]


@both
def test_tags_of_sound_images_come_though_others_are_damaged(store, source):
    found = members(names={"app:1": IMAGE.image_id, "app:2": make_image("damaged").image_id})
    found[f"imagedb/content/sha256/{make_image('damaged').image_id.hex}"] = b"{}"
    with pytest.raises(IncompleteCopyError) as caught:
        import_data_root(source(found), store)
    assert caught.value.damaged == (make_image("damaged").image_id,)
    assert caught.value.__notes__ == [f"app:2: No such image: {make_image('damaged').image_id}"]
    assert names(store) == {"app:1": IMAGE.image_id}


@both
def test_a_backend_gets_blobs_alone(source, tmp_path):
    target = FSBackend(tmp_path / "target")
    assert import_data_root(source(members()), target) == Imported(1, 0)
    assert export_data_root(target, tmp_path / "out").blobs == 1
    assert not (tmp_path / "out" / "repositories.json").exists()


@both
def test_a_restored_store_gets_blobs_alone(source, tmp_path):
    with Store.restore(FSBackend(tmp_path / "target")) as restored:
        assert import_data_root(source(members()), restored) == Imported(1, 0)


def test_the_order_of_a_tars_members_does_not_matter(store, tmp_path):
    packed = [(f"image/vfs/{name}", data) for name, data in members().items()]
    imported = import_data_root(pack(tmp_path / "a.tar", packed[::-1]), store)
    assert (imported.references, imported.sizes) == (1, 2)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_daemon_in_a_layer_is_not_the_daemon(store, tmp_path, reverse):
    inner = members(make_image("inner", layers=2), {"app:1": make_image("inner", layers=2).image_id}, (70, 90))
    packed = [(f"overlay2/x/diff/var/lib/docker/image/vfs/{name}", data) for name, data in inner.items()]
    packed += [(f"image/overlay2/{name}", data) for name, data in members().items()]
    packed += [("repositories.json", b"no JSON"), ("image/repositories.json", b"no JSON")]
    imported = import_data_root(pack(tmp_path / "a.tar", packed[::-1] if reverse else packed), store)
    assert imported == Imported(1, 0, 1, 2, (f"app:gone: No such image: {make_digest()}",))
    assert layer_sizes(store) == {LOWER: 3, UPPER: 5}


@pytest.mark.parametrize(
    "name",
    [
        "image/vfs/../vfs/repositories.json",
        "../repositories.json",
        "image/vfs/Repositories.json",
        "image/vfs/layerdb/repositories.json",
        f"image/vfs/layerdb/sha256/{LOWER[7:]}/../../../repositories.json",
        f"image/vfs/layerdb/sha512/{LOWER[7:]}/size",
        f"image/vfs/layerdb/sha256/{LOWER[7:].upper()}/size",
        f"image/vfs/layerdb/sha256/{LOWER[7:]}/size/x",
    ],
)
def test_other_names_are_passed_over(sqlite_store, tmp_path, name):
    packed = [(f"image/vfs/{member_name}", data) for member_name, data in members(names=None).items()]
    imported = import_data_root(pack(tmp_path / "a.tar", [(name, b"harm"), *packed, (name, b"harm")]), sqlite_store)
    assert imported == Imported(1, 0, 0, 2)


@pytest.mark.parametrize("type", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_what_is_no_file_is_told(store, tmp_path, type):
    packed = [(f"image/vfs/{name}", data) for name, data in members(names=None).items()]
    link = member("image/vfs/repositories.json", type, linkname="/etc/passwd")
    imported = import_data_root(pack(tmp_path / "a.tar", [*packed, (link, b"")]), store)
    assert len(imported.left_out) == 1
    assert imported.left_out[0].startswith("repositories.json: ")


def test_a_file_without_measure_is_not_unpacked(store, tmp_path, monkeypatch):
    monkeypatch.setattr(repositories, "LARGEST", 1000)
    found = members(names={f"app:{number}": IMAGE.image_id for number in range(100)})
    packed = [(f"image/vfs/{name}", data) for name, data in found.items()]
    imported = import_data_root(pack(tmp_path / "a.tar", packed), store)
    assert imported.left_out == ("repositories.json: no regular file of at most 1000 bytes",)


def test_the_source_stays_as_it_is(store, tmp_path):
    root = extract(tmp_path / "root")
    before = tree(root), [path.stat().st_mtime_ns for path in sorted(root.rglob("*"))]
    import_data_root(root, store)
    assert (tree(root), [path.stat().st_mtime_ns for path in sorted(root.rglob("*"))]) == before


# Export


def test_the_tags_of_the_example_go_out_as_they_came(store, tmp_path):
    import_data_root(DOCKER_ROOT, store)
    export_data_root(store, tmp_path / "out")
    with tarfile.open(DOCKER_ROOT) as tar:
        wanted = tar.extractfile("image/vfs/repositories.json").read()
    assert (tmp_path / "out" / "repositories.json").read_bytes() == wanted


def test_tags_that_are_there_stay(store, tmp_path):
    export_data_root(store, tmp_path)
    assert (tmp_path / "repositories.json").read_bytes() == b'{"Repositories":{}}'
    image_id = store.create(IMAGE.raw_json)
    for name in ("app:1", "app:2"):
        store.references.add_tag(name, image_id)
    export_data_root(store, tmp_path)
    store.references.delete("app:1")
    export_data_root(store, tmp_path)
    assert set(json.loads((tmp_path / "repositories.json").read_text())["Repositories"]["app"]) == {"app:1", "app:2"}


def test_tags_that_cannot_be_understood_stay(store, tmp_path):
    (tmp_path / "repositories.json").write_bytes(b"no JSON")
    image_id = store.create(IMAGE.raw_json)
    with pytest.raises(UnusableDataRootError, match="move it away"):
        export_data_root(store, tmp_path)
    assert (tmp_path / "repositories.json").read_bytes() == b"no JSON"
    assert FSBackend(tmp_path / "imagedb").get(image_id) == IMAGE.raw_json


def test_an_export_is_imported_again(store, sqlite_store, tmp_path):
    import_data_root(DOCKER_ROOT, store)
    digest = make_digest("a manifest")
    image_id = next(iter(store.map()))
    store.references.add_digest(f"app@{digest}", image_id)
    export_data_root(store, tmp_path / "out")
    with Store.open("sqlite://") as other:
        assert import_data_root(tmp_path / "out", other).references == 10
        assert names(other) == names(store)
        assert other.references.get(f"app@{digest}") == image_id
        assert isinstance(other.get(image_id), Image)
