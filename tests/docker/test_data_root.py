"""Importing a real Docker data root, in any of the forms that it comes in, and exporting it again."""

from __future__ import annotations

import json
import random
import tarfile
import tempfile
import tracemalloc

import pytest

from imagestore.backends.filesystem import FSBackend
from imagestore.digest import Digest, ImageID
from imagestore.docker.data_root import export_data_root, find_image_database, import_data_root, open_image_database
from imagestore.errors import IncompleteCopyError, InvalidKeyError, UnusableDataRootError
from imagestore.gojson import GoTime
from tests.backends.state import contents, contents_of, tree
from tests.docker.tars import DOCKER_ROOT, IMAGEDB, REPOSITORY, database_of_example, extract, header, member, pack

DATA = b'{"rootfs":{"type":"layers"}}'
DIGEST = Digest.from_bytes(DATA)
BLOB, METADATA = f"content/sha256/{DIGEST.hex}", f"metadata/sha256/{DIGEST.hex}/parent"


@pytest.fixture(scope="session")
def expected():
    """What the daemon itself said of these images."""
    return json.loads((REPOSITORY / "tests" / "data" / "docker-root.expected.json").read_text())


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """What the backend says of the example's database, taken out of the tar by tarfile itself."""
    return contents_of(extract(tmp_path_factory.mktemp("example")) / IMAGEDB)


@pytest.fixture
def target(tmp_path):
    return FSBackend(tmp_path / "target")


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


def read(path):
    with open_image_database(path) as database:
        return contents(database)


def refused(path, words, kind=UnusableDataRootError):
    with pytest.raises(kind, match=words) as caught, open_image_database(path):
        pass
    return str(caught.value)


# The real one


def test_the_example_comes_into_a_store(store, expected):
    copied = import_data_root(DOCKER_ROOT, store)
    images = store.map()
    assert set(images) == {image["Id"] for image in expected["images"]}
    for image in expected["images"]:
        found = images[image["Id"]]
        assert (found.parent or "") == image["Parent"]
        assert str(found.created) == image["Created"]
        assert (found.author, found.comment, found.docker_version) == (
            image["Author"],
            image["Comment"],
            image["DockerVersion"],
        )
        assert (found.os, found.architecture) == (image["Os"], image["Architecture"])
        assert list(found.rootfs.diff_ids) == (image["RootFS"].get("Layers") or [])
        assert json.loads(found.to_json()).get("config") == image["Config"]
    assert set(store.heads()) == set(images) - {image["Parent"] for image in expected["images"]}
    updated = {
        path.split("/")[2]: data for path, (_, data) in database_of_example().items() if path.endswith("/lastUpdated")
    }
    for image_id in images:
        time = updated.get(image_id.hex)
        assert store.get_last_updated(image_id) == (GoTime.parse(time.decode()) if time else None)
    assert (copied.blobs, copied.metadata) == (10, 6)


def test_the_example_goes_out_as_it_came(store, tmp_path):
    import_data_root(DOCKER_ROOT, store)
    copied = export_data_root(store, tmp_path / "out" / "vfs")
    assert tree(tmp_path / "out" / "vfs" / "imagedb") == database_of_example()
    assert (copied.blobs, copied.metadata) == (10, 6)
    assert find_image_database(tmp_path / "out") == tmp_path / "out" / "vfs" / "imagedb"
    again = export_data_root(store, tmp_path / "out" / "vfs")
    assert (again.blobs, again.metadata) == (0, 0)


def test_our_own_key_goes_out_and_comes_back(store, tmp_path, target):
    import_data_root(DOCKER_ROOT, store)
    image_id = next(iter(store.map()))
    store.touch(image_id)
    export_data_root(store, tmp_path / "out")
    assert import_data_root(tmp_path / "out", target).metadata == 7
    assert target.get_metadata(image_id, "lastUsed").decode() == str(store.last_used(image_id))


# Its forms


@pytest.mark.parametrize("folder", ["", "image", "image/vfs", "image/vfs/imagedb"])
def test_any_folder_of_it_will_do_and_stays_as_it_is(tmp_path, target, whole, folder):
    root = extract(tmp_path / "root")
    before = tree(root), [path.stat().st_mtime_ns for path in sorted(root.rglob("*"))]
    assert find_image_database(root / folder) == root / IMAGEDB
    copied = import_data_root(root / folder, target)
    assert (copied.blobs, copied.metadata) == (10, 6)
    assert contents(target) == whole
    assert (tree(root), [path.stat().st_mtime_ns for path in sorted(root.rglob("*"))]) == before


@pytest.mark.parametrize("prefix", ["", "./", "/var/lib/docker/", "docker//./"])
@pytest.mark.parametrize("inner", ["image/vfs/imagedb/", "vfs/imagedb/", "imagedb/", ""])
def test_any_tar_of_it_will_do(tmp_path, whole, prefix, inner):
    if inner == "" and prefix.strip("./"):
        prefix += "imagedb/"
    members = [(prefix + inner + path, data) for path, (_, data) in database_of_example().items()]
    assert read(pack(tmp_path / "a.tar", members)) == whole


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_compressed_and_in_any_format(tmp_path, whole, mode, format):
    members = [(IMAGEDB + path, data) for path, (_, data) in database_of_example().items()]
    assert read(pack(tmp_path / "a.tar", members, mode, format=format)) == whole


def test_members_come_in_any_order(tmp_path, whole):
    members = [(IMAGEDB + path, data) for path, (_, data) in database_of_example().items()]
    for seed in range(5):
        random.Random(seed).shuffle(members)
        assert read(pack(tmp_path / "a.tar", [one for one in members if one[1] is not None])) == whole


def test_the_later_of_two_members_counts(tmp_path):
    path = pack(tmp_path / "a.tar", [(BLOB, b"old"), (METADATA, b"old"), (BLOB, DATA), (METADATA, b"new")])
    assert read(path) == {DIGEST: (DATA, {"parent": b"new"})}


def test_keys_are_bytes(tmp_path):
    keys = ["é", "\udcff", "a b", "k" * 240]
    members = [(METADATA.replace("parent", key), b"value") for key in keys]
    for format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path = pack(
            tmp_path / "a.tar", [(BLOB, DATA), *members], format=format, encoding="utf-8", errors="surrogateescape"
        )
        assert read(path)[DIGEST][1] == dict.fromkeys(keys, b"value")


def test_an_empty_database_is_one(tmp_path, target):
    FSBackend(tmp_path / "image" / "vfs" / "imagedb")
    assert import_data_root(tmp_path, target).blobs == 0
    members = [(f"image/vfs/imagedb/{path}", None) for path in ("content/sha256", "metadata/sha256")]
    assert read(pack(tmp_path / "a.tar", members)) == {}


# What is none


def test_nothing_is_found(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "image/<driver>/imagedb" in refused(tmp_path / "empty", "empty has no image database")
    (tmp_path / "image" / "overlay2" / "layerdb").mkdir(parents=True)
    refused(tmp_path, "no image database")
    refused(pack(tmp_path / "a.tar", [("image/vfs/layerdb/sha256", None), ("a", b"x")]), "a.tar has no image database")
    refused(tmp_path / "missing", "missing", FileNotFoundError)


def test_several_drivers_are_named(tmp_path, target):
    for driver in ("vfs", "overlay2"):
        FSBackend(tmp_path / "image" / driver / "imagedb").set(driver.encode())
    assert "image/overlay2, " in refused(tmp_path, "2 storage drivers")
    refused(tmp_path / "image", f"{tmp_path}/image/overlay2, {tmp_path}/image/vfs: name one")
    members = [(f"image/{driver}/imagedb/{BLOB}", DATA) for driver in ("vfs", "overlay2")]
    refused(pack(tmp_path / "a.tar", members), "a.tar has the images of 2 storage drivers, image/vfs, image/overlay2")
    import_data_root(tmp_path / "image" / "vfs", target)
    assert [data for data, _ in contents(target).values()] == [b"vfs"]


def test_a_daemon_in_a_layer_is_not_the_daemon(tmp_path):
    """Its folder comes before or after ours, as it happens to lie on the disk."""
    ours = [(f"image/overlay2/imagedb/{path}", data) for path, data in ((BLOB, DATA), (METADATA, b"ours"))]
    inner = [
        (f"overlay2/{layer}/diff/var/lib/docker/image/vfs/imagedb/{path}", data)
        for layer in "ab"
        for path, data in ((BLOB, DATA), (METADATA, b"inner"), (METADATA.replace("parent", "other"), b"inner"))
    ]
    for members in (ours + inner, inner + ours, [ours[0], *inner, ours[1]], [*inner[:3], *ours, *inner[3:]]):
        assert read(pack(tmp_path / "a.tar", members)) == {DIGEST: (DATA, {"parent": b"ours"})}


@pytest.mark.parametrize("content", [b"", b"x", b"x" * 5000, b"\x1f\x8b" + b"x" * 600, b"BZh9" + b"x" * 600])
def test_what_is_no_tar(tmp_path, content):
    (tmp_path / "a.tar").write_bytes(content)
    refused(tmp_path / "a.tar", "a.tar is no folder, and no tar that can be read")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_that_is_cut_off(tmp_path, mode):
    members = [(f"{IMAGEDB}metadata/sha256/{DIGEST.hex}/{number}", b"x" * number) for number in range(1, 12)]
    whole = pack(tmp_path / "a.tar", [(f"{IMAGEDB}{BLOB}", DATA), *members], mode).read_bytes()
    cut = tmp_path / "cut.tar"
    end = (
        len(whole.rstrip(b"\0")) if mode == "w" else len(whole) // 2
    )  # what is compressed has its own end, which may go
    for length in range(0, end, end // 40):
        cut.write_bytes(whole[:length])
        refused(cut, "cut.tar is no folder, and no tar that can be read")


def test_damage_at_random_places_loses_nothing_silently(tmp_path, whole):
    draw = random.Random(2020)
    original = DOCKER_ROOT.read_bytes()
    sound = 0
    for turn in range(150):
        data = bytearray(original)
        for _ in range(draw.randrange(1, 20)):
            # the header of a member as often as its data
            place = draw.randrange(len(data) // 512) * 512 + draw.randrange(512)
            data[place] = draw.randrange(256)
        path = tmp_path / "a.tar"
        path.write_bytes(data)
        target = FSBackend(tmp_path / str(turn))
        try:
            import_data_root(path, target)
        except (UnusableDataRootError, IncompleteCopyError):
            continue
        assert {digest: data for digest, (data, _) in contents(target).items()} == {
            digest: data for digest, (data, _) in whole.items()
        }
        sound += 1
    assert 0 < sound < 100


# What means harm


@pytest.mark.parametrize(
    "name",
    [
        f"../{BLOB}",
        f"../../{METADATA}",
        f"imagedb/../{BLOB}",
        f"imagedb/content/../{BLOB}",
        f"imagedb/content/sha256/../../../{BLOB}",
        f"imagedb/metadata/sha256/{DIGEST.hex}/../../../../../etc/passwd",
        f"imagedb/metadata/sha256/{DIGEST.hex}/..",
        f"imagedb/metadata/sha256/{DIGEST.hex}/a/b",
        f"imagedb/metadata/sha256/{DIGEST.hex}/a/../parent",
        f"imagedb/metadata/sha256/{DIGEST.hex}x/parent",
        f"imagedb/content/sha256/{DIGEST.hex.upper()}",
        f"imagedb/content/sha256/.tmp-{DIGEST.hex}123",
        f"imagedb/metadata/sha256/{DIGEST.hex}/.tmp-parent123",
        f"imagedb/content/sha512/{DIGEST.hex}",
        f"notimagedb/content/sha256/{DIGEST.hex}",
        "etc/passwd",
    ],
)
def test_other_names_are_passed_over(tmp_path, name):
    path = pack(
        tmp_path / "a.tar", [(name, b"harm"), (f"imagedb/{BLOB}", DATA), (f"imagedb/{METADATA}", b"x"), (name, b"harm")]
    )
    assert read(path) == {DIGEST: (DATA, {"parent": b"x"})}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.tar"]


@pytest.mark.parametrize("type", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
@pytest.mark.parametrize("name", [BLOB, METADATA])
def test_what_is_no_file_is_refused(tmp_path, type, name):
    link = member(f"imagedb/{name}", type, linkname="/etc/passwd")
    refused(
        pack(tmp_path / "a.tar", [(f"imagedb/{BLOB}", DATA), (link, b"")]), f"{name}' in the tar is no regular file"
    )


def test_a_folder_in_the_place_of_a_blob_is_refused(tmp_path):
    refused(pack(tmp_path / "a.tar", [(BLOB, None)]), "no regular file")


def test_a_link_in_the_place_of_a_folder_leads_nowhere(tmp_path):
    (tmp_path / "outside").mkdir()
    link = member(f"imagedb/metadata/sha256/{DIGEST.hex}", tarfile.SYMTYPE, linkname=str(tmp_path / "outside"))
    path = pack(tmp_path / "a.tar", [(f"imagedb/{BLOB}", DATA), (link, b""), (f"imagedb/{METADATA}", b"x")])
    assert read(path) == {DIGEST: (DATA, {"parent": b"x"})}
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_key_that_no_backend_takes_is_refused(tmp_path):
    path = pack(tmp_path / "a.tar", [(BLOB, DATA), (METADATA.replace("parent", "k" * 241), b"x")])
    refused(path, "241 bytes", InvalidKeyError)


def test_a_member_without_measure_is_refused(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(header(f"imagedb/{BLOB}", size=(64 << 20) + 1))
    refused(path, "67108865 bytes")


@pytest.mark.parametrize(
    "type",
    [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE],
)
def test_a_header_without_measure_is_refused(tmp_path, type):
    path = tmp_path / "a.tar"
    path.write_bytes(header("a", type, size=1 << 32))
    refused(path, "a header has 4294967296 bytes")


def test_headers_without_end_are_refused(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes((header("a", tarfile.GNUTYPE_LONGNAME, size=10) + b"a" * 512) * 5000)
    refused(path, "no tar that can be read")


def test_databases_without_number_are_refused(tmp_path):
    refused(pack(tmp_path / "a.tar", [(f"a/{number}/imagedb/{BLOB}", DATA) for number in range(200)]), "more than 100")


def test_memory_does_not_grow_with_the_tar(tmp_path):
    peaks = []
    for count in (500, 5_000):
        members = ((f"image/vfs/layerdb/sha256/{number}", b"x" * 100) for number in range(count))
        path = pack(tmp_path / "a.tar", [*members, (f"image/vfs/imagedb/{BLOB}", DATA)])
        tracemalloc.start()
        assert list(read(path)) == [DIGEST]
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.5


# Interrupted, damaged


def test_an_import_goes_on_where_it_was(tmp_path, target, whole):
    told = []

    def interrupt(done, total, phase):
        told.append((done, total, phase))
        if phase == "metadata":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_data_root(DOCKER_ROOT, target, interrupt)
    assert told == [(0, 10, "blobs"), (10, 10, "blobs"), (0, 10, "metadata")]
    assert {digest: data for digest, (data, _) in contents(target).items()} == {
        d: data for d, (data, _) in whole.items()
    }
    copied = import_data_root(DOCKER_ROOT, target)
    assert (copied.blobs, copied.metadata) == (0, 6)
    assert contents(target) == whole


def test_a_damaged_blob_is_named_and_all_others_come(tmp_path, target, whole):
    members = [(IMAGEDB + path, data) for path, (_, data) in database_of_example().items()]
    damaged = ImageID("sha256:5102b66540aee4356feac4e6622dc30b6d1eb7167f1b247b796420af305500eb")
    members = [(name, b"{}" if f"content/sha256/{damaged.hex}" in name else data) for name, data in members]
    with pytest.raises(IncompleteCopyError, match=damaged) as caught:
        import_data_root(pack(tmp_path / "a.tar", members), target)
    assert caught.value.damaged == (damaged,)
    assert (caught.value.blobs, caught.value.metadata) == (9, 5)
    assert contents(target) == {digest: held for digest, held in whole.items() if digest != damaged}
