"""FSBackend is Docker's directory: names, modes, links, and what else may lie in it.

Its rules as a backend are the contract's (tests/contract), moby's own answers are the vectors' (tests/golden).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imagestore.backend import StoreBackend, check_key
from imagestore.backends import filesystem
from imagestore.backends.filesystem import FSBackend
from imagestore.digest import Digest
from imagestore.errors import (
    BlobNotFoundError,
    CorruptBlobError,
    InvalidBlobError,
    InvalidDigestError,
    InvalidKeyError,
    MetadataNotFoundError,
)
from tests.backends.state import contents_of, leftovers, tree

REPOSITORY = Path(__file__).parents[2]
DATA = b"foobar"
DIGEST = Digest.from_bytes(DATA)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "imagedb"


@pytest.fixture
def backend(root):
    return FSBackend(root)


@pytest.fixture
def blob_file(root):
    return root / "content" / "sha256" / DIGEST.hex


@pytest.fixture
def metadata_folder(root):
    return root / "metadata" / "sha256" / DIGEST.hex


@contextlib.contextmanager
def umask(mask):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextlib.contextmanager
def without_rights():
    """A folder of another user, in the rights of an ordinary one: root may write everywhere."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    root = os.geteuid() == 0
    try:
        yield folder, os.seteuid if root else lambda uid: None
    finally:
        if root:
            os.seteuid(0)
        for path in folder.rglob("*"):
            if path.is_dir():
                path.chmod(0o755)
        shutil.rmtree(folder)


def test_it_is_a_store_backend(backend):
    assert isinstance(backend, StoreBackend)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o277, 0o777])
def test_modes_are_docker_s_under_any_umask(root, mask):
    with umask(mask):
        backend = FSBackend(root / "deep" / "imagedb")
        digest = backend.set(DATA)
        backend.set_metadata(digest, "parent", b"x")
        backend.set_metadata(digest, "parent", b"y")
    expected = {
        "deep": (0o700, None),
        "deep/imagedb": (0o700, None),
        "deep/imagedb/content": (0o700, None),
        "deep/imagedb/content/sha256": (0o700, None),
        f"deep/imagedb/content/sha256/{digest.hex}": (0o600, DATA),
        "deep/imagedb/metadata": (0o700, None),
        "deep/imagedb/metadata/sha256": (0o700, None),
        f"deep/imagedb/metadata/sha256/{digest.hex}": (0o700, None),
        f"deep/imagedb/metadata/sha256/{digest.hex}/parent": (0o600, b"y"),
    }
    assert tree(root) == expected


def test_a_relative_root_stays_where_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    backend = FSBackend("imagedb")
    monkeypatch.chdir("/")
    backend.set(DATA)
    assert list(contents_of(tmp_path / "imagedb")) == [DIGEST]


def test_a_root_where_no_folder_can_be_made_is_named():
    with pytest.raises(FileNotFoundError, match="/proc/imagedb"):  # /proc is there, and takes no folders
        FSBackend("/proc/imagedb")


def test_without_create_nothing_is_made(tmp_path):
    with pytest.raises(FileNotFoundError, match="content"):
        FSBackend(tmp_path / "missing", create=False)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        FSBackend(tmp_path / "file", create=False)
    (tmp_path / "odd" / "content").mkdir(parents=True)
    (tmp_path / "odd" / "content" / "sha256").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        FSBackend(tmp_path / "odd", create=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "odd"]
    (tmp_path / "bare" / "content" / "sha256").mkdir(parents=True)
    assert list(FSBackend(tmp_path / "bare", create=False).walk()) == []
    assert tree(tmp_path / "bare").keys() == {"content", "content/sha256"}


def test_bytes_without_length_are_refused(backend, root):
    before = tree(root)
    with pytest.raises(InvalidBlobError, match="empty"):
        backend.set(b"")
    assert tree(root) == before


# Links, folders and devices in the place of files


def test_links_are_followed_and_replaced(backend, root, blob_file, metadata_folder):
    (root / "elsewhere").write_bytes(DATA)
    blob_file.symlink_to("../../elsewhere")
    assert backend.get(DIGEST) == DATA
    backend.set_metadata(DIGEST, "key", b"value")
    (metadata_folder / "link").symlink_to("key")
    assert backend.get_metadata(DIGEST, "link") == b"value"
    assert backend.metadata_keys(DIGEST) == ["key", "link"]
    backend.set_metadata(DIGEST, "link", b"other")
    backend.set(DATA)
    assert not blob_file.is_symlink()
    assert not (metadata_folder / "link").is_symlink()
    assert (root / "elsewhere").read_bytes() == DATA
    assert backend.get_metadata(DIGEST, "key") == b"value"


def test_only_the_link_is_deleted(backend, root, tmp_path, blob_file, metadata_folder):
    (tmp_path / "blob").write_bytes(DATA)
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "key").write_bytes(b"value")
    blob_file.symlink_to(tmp_path / "blob")
    metadata_folder.symlink_to(tmp_path / "metadata")
    assert backend.get_metadata(DIGEST, "key") == b"value"
    backend.delete(DIGEST)
    assert contents_of(root) == {}
    assert leftovers(root) == []
    assert (tmp_path / "blob").read_bytes() == DATA
    assert (tmp_path / "metadata" / "key").read_bytes() == b"value"


def test_a_link_to_nowhere_is_no_blob(backend, blob_file):
    blob_file.symlink_to("nowhere")
    with pytest.raises(BlobNotFoundError):
        backend.get(DIGEST)
    assert list(backend.walk()) == [DIGEST]
    backend.delete(DIGEST)
    assert list(backend.walk()) == []


@pytest.mark.parametrize(
    "put", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to("/")]
)
def test_what_is_no_file_is_damage_and_not_waited_for(backend, blob_file, metadata_folder, put):
    put(blob_file)
    for call in (backend.get, backend.metadata_keys, lambda digest: backend.set_metadata(digest, "key", b"value")):
        with pytest.raises(CorruptBlobError, match=DIGEST):
            call(DIGEST)
    backend.delete(DIGEST)
    assert list(backend.walk()) == []
    backend.set(DATA)
    metadata_folder.mkdir(exist_ok=True)
    put(metadata_folder / "key")
    assert backend.metadata_keys(DIGEST) == []
    with pytest.raises(MetadataNotFoundError):
        backend.get_metadata(DIGEST, "key")
    backend.delete_metadata(DIGEST, "key")
    assert list(metadata_folder.iterdir()) == []


def test_a_folder_in_the_place_of_a_blob_is_not_overwritten(backend, root, blob_file):
    blob_file.mkdir()
    (blob_file / "sub").mkdir()
    before = tree(root)
    with pytest.raises(IsADirectoryError):
        backend.set(DATA)
    with pytest.raises(OSError, match="not empty"):
        backend.delete(DIGEST)
    assert tree(root) == before


def test_a_delete_that_fails_leaves_the_metadata(backend, root, blob_file):
    backend.set(DATA)
    backend.set_metadata(DIGEST, "key", b"value")
    blob_file.unlink()
    (blob_file / "sub").mkdir(parents=True)
    before = tree(root)
    with pytest.raises(OSError, match="not empty"):
        backend.delete(DIGEST)
    assert tree(root) == before


def test_a_file_in_the_place_of_a_metadata_folder(backend, root, metadata_folder):
    backend.set(DATA)
    metadata_folder.write_bytes(b"x")
    for call in (backend.get_metadata, backend.delete_metadata, lambda *names: backend.set_metadata(*names, b"value")):
        with pytest.raises(NotADirectoryError):
            call(DIGEST, "key")
    with pytest.raises(NotADirectoryError):
        backend.metadata_keys(DIGEST)
    backend.delete(DIGEST)
    assert tree(root).keys() == {"content", "content/sha256", "metadata", "metadata/sha256"}


# Names


def test_a_key_is_its_file_name(backend, metadata_folder):
    backend.set(DATA)
    keys = ["a b", "a\nb", "é", "\udcff\udcfe", "k" * 240, "ü" * 120, "...", "-"]
    for key in keys:
        backend.set_metadata(DIGEST, key, key.encode("utf-8", "surrogateescape"))
    assert {os.fsencode(path.name) for path in metadata_folder.iterdir()} == {check_key(key) for key in keys}
    assert backend.metadata_keys(DIGEST) == sorted(keys, key=check_key)


@pytest.mark.parametrize(
    "key", ["k" * 241, "ü" * 121, "", ".", "..", "a/b", "../x", "/", "a\0b", "\ud800", "k\udc7f", b"k", None]
)
def test_a_key_that_is_no_file_name_touches_no_disk(backend, root, key):
    backend.set(DATA)
    shutil.rmtree(root)
    for call in (backend.get_metadata, backend.delete_metadata, lambda *names: backend.set_metadata(*names, b"value")):
        with pytest.raises(InvalidKeyError) as caught:
            call(DIGEST, key)
        assert caught.value.key == key
    assert not root.exists()


@pytest.mark.parametrize(
    "digest", ["sha256:", "abc", "", "sha256:../x", "sha512:" + "a" * 128, f"sha256:{DIGEST.hex.upper()}", None]
)
def test_a_digest_that_is_none_touches_no_disk(backend, root, digest):
    shutil.rmtree(root)
    calls = (
        backend.get,
        backend.delete,
        backend.metadata_keys,
        lambda text: backend.set_metadata(text, "key", b"value"),
        lambda text: backend.get_metadata(text, "key"),
        lambda text: backend.delete_metadata(text, "key"),
    )
    for call in calls:
        with pytest.raises(InvalidDigestError):
            call(digest)
    assert not root.exists()


def test_what_a_killed_writer_has_left_is_no_content(backend, root, metadata_folder):
    backend.set(DATA)
    backend.set_metadata(DIGEST, "parent", b"value")
    (root / "content" / "sha256" / f".tmp-{DIGEST.hex}123").write_bytes(b"foo")
    (metadata_folder / ".tmp-parent123").write_bytes(b"val")
    (root / "metadata" / "sha256" / f".tmp-{DIGEST.hex}123").mkdir()
    assert contents_of(root) == {DIGEST: (DATA, {"parent": b"value"})}
    backend.delete(DIGEST)
    assert contents_of(root) == {}


# Walking


def test_walk_goes_in_order_over_many_pages(backend, root, monkeypatch):
    monkeypatch.setattr(filesystem, "_PAGE", 7)
    folder = root / "content" / "sha256"
    for count in (0, 1, 6, 7, 8, 14, 15, 50):
        for number in range(count):
            (folder / Digest.from_bytes(str(number).encode()).hex).touch()
        assert list(backend.walk()) == sorted(Digest.from_bytes(str(number).encode()) for number in range(count))


def test_walk_holds_a_page_and_no_more(backend, root, monkeypatch):
    monkeypatch.setattr(filesystem, "_PAGE", 100)
    folder = root / "content" / "sha256"
    peaks = []
    for count in (1_000, 4_000):
        for number in range(count):
            (folder / Digest.from_bytes(str(number).encode()).hex).touch()
        tracemalloc.start()
        assert sum(1 for _ in backend.walk()) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.5


# Rights, and a disk that is full


def test_a_folder_that_nobody_may_write_to_is_read():
    with without_rights() as (folder, become):
        backend = FSBackend(folder / "imagedb")
        backend.set(DATA)
        backend.set_metadata(DIGEST, "parent", b"value")
        for path in folder.rglob("*"):
            path.chmod(0o555 if path.is_dir() else 0o444)
        before = tree(folder)
        become(65534)
        source = FSBackend(folder / "imagedb", create=False)
        assert source.get_metadata(DIGEST, "parent") == b"value"
        for call in (
            lambda: source.set(b"other"),
            lambda: source.set(DATA),
            lambda: source.set_metadata(DIGEST, "parent", b"other"),
            lambda: source.set_metadata(DIGEST, "key", b"value"),
            lambda: source.delete_metadata(DIGEST, "parent"),
            lambda: source.delete(DIGEST),
        ):
            with pytest.raises(PermissionError):
                call()
        assert tree(folder) == before


def test_a_folder_that_may_not_be_read_is_no_empty_one():
    with without_rights() as (folder, become):
        FSBackend(folder / "imagedb").set(DATA)
        (folder / "imagedb").chmod(0)
        become(65534)
        with pytest.raises(PermissionError):
            FSBackend(folder / "imagedb", create=False)


FILL = """
import errno, os, sys
from imagestore.backends.filesystem import FSBackend
from imagestore.digest import Digest
from tests.backends.state import contents_of, leftovers
from pathlib import Path
root = Path(sys.argv[1])
backend = FSBackend(root)
small = backend.set(b"small")
backend.set_metadata(small, "key", b"old")
kept = {}
try:
    for number in range(1000):
        data = str(number).encode() * 20_000
        kept[backend.set(data)] = (data, {})
except OSError as error:
    assert error.errno == errno.ENOSPC, error
else:
    sys.exit("the disk is not full")
try:
    backend.set_metadata(small, "key", b"new" * 100_000)
except OSError as error:
    assert error.errno == errno.ENOSPC, error
assert contents_of(root) == {small: (b"small", {"key": b"old"}), **kept}
assert leftovers(root) == []
backend.delete(next(iter(kept)))
backend.set_metadata(small, "key", b"new")
assert backend.get_metadata(small, "key") == b"new"
print("full, and whole")
"""


@pytest.mark.soak
def test_a_full_disk(tmp_path):
    """In a mount namespace of its own, so that nothing is left mounted; as an ordinary user in a user namespace too."""
    script = 'mount -t tmpfs -o size=1m tmpfs "$1" && exec "$2" -c "$3" "$1/imagedb"'
    namespace = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    command = [*namespace, "sh", "-c", script, "sh", str(tmp_path), sys.executable, FILL]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=REPOSITORY, check=False)
    assert (done.stdout.strip(), done.returncode) == ("full, and whole", 0), done.stderr


# Many at once


def test_threads_share_one(backend, root):
    """Blobs come and go under the writers of their metadata: no error but the documented one, and no metadata is left alone."""

    def work(number):
        for _ in range(30):
            digest = backend.set(DATA)
            with contextlib.suppress(BlobNotFoundError, MetadataNotFoundError):
                backend.set_metadata(digest, f"key{number}", b"value")
                backend.get_metadata(digest, f"key{number}")
                backend.delete(digest)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    with contextlib.suppress(BlobNotFoundError):
        backend.delete(DIGEST)
    assert tree(root).keys() == {"content", "content/sha256", "metadata", "metadata/sha256"}


WRITE = """
import sys
from imagestore.backends.filesystem import FSBackend
backend = FSBackend(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(100):
    digest = backend.set(f"blob {number} ".encode() * 1000)
    assert backend.get(digest)
    backend.set_metadata(digest, "key", sys.argv[2].encode() * 5000)
    assert set(backend.get_metadata(digest, "key")) < set(b"01")
"""


def test_two_processes_set_the_same_blobs(root):
    command = [sys.executable, "-c", WRITE, str(root)]
    processes = [
        subprocess.Popen(
            [*command, str(name)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
        )
        for name in range(2)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    found = contents_of(root)
    assert sorted(data for data, _ in found.values()) == sorted(
        f"blob {number} ".encode() * 1000 for number in range(100)
    )
    assert {metadata["key"] for _, metadata in found.values()} <= {b"0" * 5000, b"1" * 5000}
    assert leftovers(root) == []
