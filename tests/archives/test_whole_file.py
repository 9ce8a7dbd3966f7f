"""A file is there whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys

import pytest

from imagestore.archive import whole_file as module
from imagestore.archive.whole_file import whole_file
from imagestore.errors import InvalidError

KILLED = """
import os, signal, sys
from imagestore.archive.whole_file import whole_file
with whole_file(sys.argv[1]) as file:
    file.write(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(params=["nameless", "named"], autouse=True)
def kind(request, monkeypatch):
    if request.param == "named":
        monkeypatch.setattr(module, "_NAMELESS", 0)
    return request.param


def names_in(folder):
    return [path.name for path in folder.iterdir()]


def write(path, data=b"new"):
    with whole_file(path) as file:
        file.write(data)


def test_it_is_there_at_the_end_alone(tmp_path):
    path = tmp_path / "file"
    with whole_file(path) as file:
        file.write(b"one")
        assert not path.exists()
        file.write(b"two")
    assert path.read_bytes() == b"onetwo"
    assert names_in(tmp_path) == ["file"]


def test_who_may_read_an_earlier_one_stays_the_same(tmp_path):
    path = tmp_path / "file"
    path.touch(mode=0o600)
    write(path)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_what_standard_output_is_sent_to_is_not_replaced(tmp_path, name):
    path = tmp_path / "log"
    path.write_bytes(b"before\n")
    program = "import sys; from imagestore.archive.whole_file import whole_file; whole_file(sys.argv[1]).__enter__()"
    with path.open("ab") as log:
        told = subprocess.run([sys.executable, "-c", program, name], stdout=log, stderr=subprocess.PIPE, check=False)
    assert b"InvalidError" in told.stderr
    assert path.read_bytes() == b"before\n"


def test_an_earlier_one_stays_until_then(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with whole_file(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


def test_an_error_leaves_nothing(tmp_path):
    path = tmp_path / "file"
    for before in ([], ["file"]):
        with pytest.raises(KeyError), whole_file(path) as file:
            file.write(b"half")
            raise KeyError
        assert names_in(tmp_path) == before
        path.write_bytes(b"old")
    assert path.read_bytes() == b"old"


def test_its_mode_is_what_the_umask_leaves(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "file")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_link_is_followed(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder/file")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder/file").read_bytes() == b"new"


def test_a_long_name(tmp_path):
    for name in ("n" * 255, "ü" * 127):
        write(tmp_path / name)
        assert names_in(tmp_path) == [name]
        (tmp_path / name).unlink()


def test_a_folder_is_refused(tmp_path):
    for path in (tmp_path, f"{tmp_path}/new/", ""):
        with pytest.raises(IsADirectoryError) as caught:
            write(path)
        assert caught.value.filename == os.fspath(path)


def test_what_is_no_file_stays_what_it_is(tmp_path):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
        for each in (path, "/dev/null"):
            with pytest.raises(InvalidError, match="is no file"):
                write(each)
        assert path.is_socket()


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        write(tmp_path / "nothing/file")
    assert caught.value.filename in (tmp_path / "nothing", str(tmp_path / "nothing"))


@pytest.mark.parametrize("operation", ["write", "fsync", "rename"])
def test_an_error_says_which_file(tmp_path, monkeypatch, operation):
    path = tmp_path / "file"

    def fail(*arguments, **keywords):
        raise OSError(errno.ENOSPC, "No space left on device", "draft")

    monkeypatch.setattr(os, operation, fail)
    with pytest.raises(OSError, match="No space left on device") as caught:
        write(path)
    assert caught.value.filename == str(path)
    assert names_in(tmp_path) == []


def test_a_process_that_is_killed_leaves_no_file(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "file")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert names_in(tmp_path) == []
