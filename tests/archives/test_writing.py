"""A tar is written as Go's archive/tar writes it, and others read it."""

from __future__ import annotations

import io
import tarfile

import pytest

from imagestore.archive.writing import File, Folder, Symlink, header, write_tar
from tests.archives.recorded import ARCHIVES

LARGE = 8**11  # one more than a header can say


@pytest.mark.parametrize("path", sorted(ARCHIVES.glob("daemon-*.tar")), ids=lambda path: path.stem)
def test_the_daemons_own_archives_come_out_again(path):
    data = path.read_bytes()
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        write_tar(out, {member.name: made_of(tar, member) for member in tar})
    assert out.getvalue() == data


def made_of(tar, member):
    if member.isdir():
        return Folder(member.mtime)
    if member.issym():
        return Symlink(member.linkname, member.mtime)
    return File.of(tar.extractfile(member).read(), member.mtime)


def test_a_folder_comes_before_what_is_in_it():
    out = io.BytesIO()
    names = ["a.json", "a/b", "a", "a/b-c", "a/B"]
    write_tar(out, {name: Folder(0) if name == "a" else File.of(b"", 0) for name in names})
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        assert tar.getnames() == ["a", "a/B", "a/b", "a/b-c", "a.json"]


def test_what_does_not_fit_into_a_header_is_in_records_before_it():
    """The bytes of Go 1.19 for the same members."""
    blocks = header("x", File(LARGE, [], LARGE))
    assert len(blocks) == 3 * 512
    assert blocks[:100].rstrip(b"\0") == b"PaxHeaders.0/x"
    assert blocks[156:157] == b"x"
    assert blocks[512:1024].rstrip(b"\0") == b"20 mtime=8589934592\n19 size=8589934592\n"
    assert blocks[1024 + 124 : 1024 + 148] == b"00000000000\0" * 2
    assert header("x", File(LARGE - 1, [], LARGE - 1))[124:148] == b"77777777777\0" * 2


@pytest.mark.parametrize("length", [99, 100, 101, 255, 300])
def test_long_names_are_read_by_others(length):
    name, target = "n" * length, "t" * length
    out = io.BytesIO()
    write_tar(out, {f"folder/{name}": Symlink(target, -1), name: File.of(b"data", 5)})
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        link, file = tar.getmembers()
        assert (link.name, link.linkname, link.mtime) == (f"folder/{name}", target, -1)
        assert (file.name, tar.extractfile(file).read(), file.mtime) == (name, b"data", 5)


@pytest.mark.parametrize(("chunks", "told"), [([b"abc", b"de"], "more"), ([b"abc"], "has 3"), ([], "has 0")])
def test_a_file_of_another_size_is_an_error(chunks, told):
    with pytest.raises(ValueError, match=told):
        write_tar(io.BytesIO(), {"name": File(4, chunks, 0)})
