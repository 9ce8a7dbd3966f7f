"""A folder that keeps content, also one that others have been at."""

from __future__ import annotations

import errno
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from imagestore.content.local import LocalContent
from imagestore.errors import UnusableContentError
from tests.backends.faults import OPERATIONS, failing

ONE = "1" * 32


@pytest.fixture
def content(tmp_path):
    content = LocalContent(tmp_path / "content")
    content.claim(ONE)
    return content


def test_nobody_else_may_look_into_it(content, tmp_path):
    content.write("a", [b"a"])
    assert stat.S_IMODE((tmp_path / "content" / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "content" / "data" / "a").stat().st_mode) == 0o600


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: path.symlink_to("/etc/passwd")])
def test_what_is_no_file_is_refused(content, tmp_path, make):
    path = tmp_path / "content" / "data" / "a"
    make(path)
    with pytest.raises(UnusableContentError, match="is no file"):
        content.open("a").close()
    with pytest.raises(FileExistsError):
        content.write("a", [b"data"])
    assert os.path.lexists(path)


def test_a_link_is_deleted_and_not_what_it_leads_to(content, tmp_path):
    content.write("target", [b"data"])
    (tmp_path / "content" / "data" / "a").symlink_to("target")
    content.delete("a")
    assert list(content.names()) == ["target"]


def test_a_folder_is_left_alone(content, tmp_path):
    """Who knows what is in it; and who collects the others is not kept from it."""
    (tmp_path / "content" / "data" / "a").mkdir()
    content.write("b", [b"data"])
    assert list(content.names()) == ["b"]
    with pytest.raises(UnusableContentError, match="is no file"):
        content.delete("a")
    assert (tmp_path / "content" / "data" / "a").is_dir()


@pytest.mark.parametrize("path", ["content\0", Path("\0")])
def test_a_path_with_a_nul_is_none(path):
    with pytest.raises(UnusableContentError, match=r"\\x00.* it has a NUL"):
        LocalContent(path)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_bytes(b"data")
    for path in (tmp_path / "file", tmp_path / "file" / "content"):
        with pytest.raises(UnusableContentError, match=f"{path} is no folder: name one"):
            LocalContent(path).identity  # noqa: B018
    assert (tmp_path / "file").read_bytes() == b"data"


def test_no_room_is_told_with_the_file_and_the_remedy(content, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError) as caught:
            content.write("a", [bytes(1001)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value.filename) == str(tmp_path / "content" / "data" / "a")
    assert "make room" in caught.value.__notes__[0]
    assert list(content.names()) == []


def test_what_fails_before_the_disk_keeps_its_own_name(content):
    def chunks():
        yield b"data"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError) as caught:
        content.write("a", chunks())
    assert caught.value.filename is None


@pytest.mark.parametrize("found", [b"", b"not an identity", b"1" * 31, b"\xff" * 32])
def test_a_damaged_identity_is_refused(content, tmp_path, found):
    (tmp_path / "content" / "identity").write_bytes(found)
    with pytest.raises(UnusableContentError, match="holds no identity"):
        _ = content.identity


def test_names_that_no_store_gives_are_not_ours(content, tmp_path):
    (tmp_path / "content" / "data" / ".nfs0001").touch()
    assert list(content.names()) == []


def test_a_disk_may_take_less_at_a_time_than_it_is_given(content, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    content.write("a", [b"0123456789", b"abcdef"])
    with content.open("a") as stream:
        assert stream.read() == b"0123456789abcdef"


def failure(call, *arguments):
    """The error of the disk that a call has raised, if any."""
    try:
        call(*arguments)
    except OSError as error:
        return error
    return None


def test_a_write_that_fails_leaves_nothing(tmp_path):
    failed = set()
    for number in range(1, 100):
        content = LocalContent(tmp_path / str(number))
        content.claim(ONE)
        with failing(number) as fault:
            error = failure(content.write, "a", [b"one", b"two"])
        if fault.operation is None:
            break
        failed.add(fault.operation)
        assert error is not None, fault.operation
        assert list(content.names()) == [], fault.operation
        content.write("a", [b"one", b"two"])
        with content.open("a") as stream:
            assert stream.read() == b"onetwo"
    assert error is None
    assert failed == {"open", "write", "fsync", "close"}
    assert number > 7


def test_a_claim_that_fails_is_repeated(tmp_path):
    failed = set()
    for number in range(1, 100):
        folder = tmp_path / str(number) / "content"
        content = LocalContent(folder)
        with failing(number) as fault:
            error = failure(content.claim, ONE)
        if fault.operation is None:
            break
        failed.add(fault.operation)
        assert error is not None or fault.operation == "unlink"
        assert content.identity in (None, ONE)
        assert content.claim(ONE) == ONE
        content.write("a", [b"data"])
        drafts = [path.name for path in folder.iterdir() if path.name not in ("data", "identity")]
        assert len(drafts) == (fault.operation == "unlink")
    assert error is None
    assert {"mkdir", "open", "write", "fsync", "link", "unlink", "fstat", "close"} == failed <= set(OPERATIONS)
    assert number > 15


FULL = """
import errno, io, sys
from pathlib import Path
from imagestore import Store
from imagestore.testing.makers import make_layer
from imagestore.verify import verify

folder, database = sys.argv[1:]
with Store.open(f"sqlite:///{database}", content=Path(folder, "content")) as store:
    small = store.layers.register(io.BytesIO(make_layer(size=100_000)))
    try:
        store.layers.register(io.BytesIO(make_layer(size=3_000_000)))
    except OSError as error:
        assert error.errno == errno.ENOSPC, error
    else:
        sys.exit("the disk is not full")
    assert list(store.layers.map()) == [small.chain_id]
    assert [lease.id for lease in store.leases.page()] == [small.lease]
    assert len(list(Path(folder, "content", "data").iterdir())) == 1
    store.layers.register(io.BytesIO(make_layer(size=1_000_000)))
    with store.layers.open(small.chain_id) as stream:
        assert stream.read() == make_layer(size=100_000)
    assert list(verify(store)) == []
print("full, and whole")
"""


@pytest.mark.soak
def test_a_layer_that_is_larger_than_the_disk(tmp_path):
    """In a mount namespace of its own, so that nothing is left mounted; as an ordinary user in a user namespace too."""
    script = 'mount -t tmpfs -o size=2m tmpfs "$1" && exec "$2" -c "$3" "$1" "$4"'
    namespace = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    folder = tmp_path / "disk"
    folder.mkdir()
    command = [*namespace, "sh", "-c", script, "sh", folder, sys.executable, FULL, tmp_path / "images.db"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.returncode) == ("full, and whole", 0), done.stderr


CLAIM = """
import sys
from imagestore.content.local import LocalContent
sys.stdin.readline()
print(LocalContent(sys.argv[1]).claim(sys.argv[2]))
"""


def test_of_ten_processes_that_claim_it_one_does(tmp_path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM, tmp_path / "content", f"{number:032x}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(10)
    ]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    found = {process.communicate()[0].strip() for process in processes}
    assert found == {LocalContent(tmp_path / "content").identity}
    assert sorted(path.name for path in (tmp_path / "content").iterdir()) == ["data", "identity"]
