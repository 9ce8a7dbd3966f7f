"""The members of an archive's tar, against what Python's tarfile writes and what Go's archive/tar makes of it."""

from __future__ import annotations

import io
import tarfile
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagestore.archive.tar import FOLDER, LINK, REGULAR, SYMLINK, Members
from imagestore.errors import InvalidArchiveError
from tests.archives.conftest import Pipe
from tests.archives.headers import block, record, records, with_data

END = bytes(1024)
UNEXPECTED = "unexpected EOF"
INVALID = "archive/tar: invalid tar header"
KINDS = [tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE]
SHOWN = {tarfile.AREGTYPE: REGULAR}


def read(data, *, from_pipe=False):
    """The members with their data."""
    stream = cast("BinaryIO", Pipe(data, 700)) if from_pipe else io.BytesIO(data)
    members = Members(stream, is_seekable=not from_pipe)
    return [(member, b"".join(iter(lambda: members.read(1000), b""))) for member in members]


def members_of(data):
    members = [member for member, _ in read(data)]
    assert members == [member for member, _ in read(data, from_pipe=True)]
    assert members == list(Members(io.BytesIO(data), is_seekable=True))  # whose data is passed over
    return members


def refusal(data):
    with pytest.raises(InvalidArchiveError) as caught:
        read(data)
    with pytest.raises(InvalidArchiveError) as from_pipe:
        read(data, from_pipe=True)
    assert str(from_pipe.value) == str(caught.value)
    return str(caught.value).removeprefix("Error processing tar file(exit status 1): ")


def outcome(data):
    """Why it is refused; None if it is read."""
    try:
        read(data)
    except InvalidArchiveError as error:
        return error.reason
    return None


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=300)
members = st.lists(st.tuples(names, st.sampled_from(KINDS), st.binary(max_size=1200), names), max_size=5)


@given(members, st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
def test_it_reads_what_tarfile_writes(members, format):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=format, encoding="utf-8") as tar:
        for name, kind, data, target in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            is_file = kind == tarfile.REGTYPE or (kind == tarfile.AREGTYPE and not name.endswith("/"))
            member.size = len(data) if is_file else 0
            tar.addfile(member, io.BytesIO(data))
    found = read(stream.getvalue())
    assert found == read(stream.getvalue(), from_pipe=True)
    with tarfile.open(fileobj=io.BytesIO(stream.getvalue()), encoding="utf-8") as tar:
        wanted = list(tar)
    for (member, data), info, (name, *_) in zip(found, wanted, members, strict=True):
        is_folder = info.isdir()
        assert member.kind == (FOLDER if is_folder else SHOWN.get(info.type, info.type))
        assert member.name.rstrip("/") == info.name.rstrip("/") == name.rstrip("/")
        assert (member.target, member.size) == (info.linkname, info.size)
        assert len(data) == info.size


@given(st.binary(max_size=3000) | st.lists(st.binary(min_size=512, max_size=512), max_size=4).map(b"".join))
def test_anything_else_is_refused_or_read(data):
    assert outcome(data) in (None, "no-tar", "truncated")


@given(st.data())
def test_a_damaged_byte_is_refused_or_read(data):
    archive = bytearray(records(path=b"named") + with_data(b"file", b"0", b"data") + block(kind=b"2") + END)
    archive[data.draw(st.integers(0, len(archive) - 1))] ^= data.draw(st.integers(1, 255))
    assert outcome(bytes(archive)) in (None, "no-tar", "truncated")


def test_a_cut_is_the_end_between_members_and_in_padding_alone():
    archive = with_data(b"a", b"0", b"data") + with_data(b"b", b"0", b"more") + END
    for cut in range(len(archive)):
        is_sound = cut in (0, 1024, 2048, 2560) or 516 <= cut < 1024 or 1540 <= cut < 2048
        if is_sound:
            assert [member.name for member in members_of(archive[:cut])] == ["a", "b"][: (cut + 508) // 1024]
        else:
            assert refusal(archive[:cut]) == UNEXPECTED


def test_what_follows_the_end_is_not_looked_at():
    assert len(members_of(block() + END + b"anything")) == 1
    assert len(members_of(block() + bytes(512))) == 1
    assert refusal(block() + bytes(512) + block()) == INVALID


@pytest.mark.parametrize(
    ("archive", "name"),
    [
        (block(b"n" * 100), "n" * 100),
        (block(b"last", fields={345: b"folder"}), "folder/last"),
        (block(b"last", fields={345: b"folder"}, magic=b"ustar\0  "), "folder/last"),
        (block(b"last", fields={345: b"folder"}, magic=b"ustar  \0"), "last"),
        (block(b"last", fields={345: b"f" * 131, 476: b"time", 508: b"tar\0"}), "f" * 131 + "/last"),
        (block(b"\xff"), "\udcff"),
        (block(b"na\0me"), "na"),
        (with_data(b"", b"L", b"long\0more") + block(), "long"),
        (with_data(b"", b"L", b"long") + records(path=b"pax") + block(), "long"),
        (records(path=b"pax") + with_data(b"", b"L", b"") + block(), "pax"),
        (records(path=b"pax") + records(uid=b"1") + block(), "file"),
        (records(path=b"first") + records(path=b"second") + block(), "second"),
        (records(path=b"") + block(), "file"),
        (records(path=b"m" * 1_000_000) + block(), "m" * 1_000_000),
        (records(path=b"pax") + with_data(b"", b"g", record(b"path", b"global")) + block(), "file"),
        (with_data(b"", b"L", b"long") + with_data(b"", b"g", b"") + block(), "file"),
    ],
)
def test_names(archive, name):
    (member,) = members_of(archive + END)
    assert member.name == name


def test_targets():
    archive = block(kind=b"2", fields={157: b"t" * 100}) + records(linkpath=b"pax") + block(kind=b"1")
    archive += with_data(b"", b"K", b"long") + records(linkpath=b"pax") + block(kind=b"2")
    assert [(member.kind, member.target) for member in members_of(archive)] == [
        (SYMLINK, "t" * 100),
        (LINK, "pax"),
        (SYMLINK, "long"),
    ]


def test_old_files_and_folders():
    assert [member.kind for member in members_of(block(kind=b"\0") + block(b"old/", b"\0"))] == [REGULAR, FOLDER]


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"5", b"6"])
def test_what_is_no_file_has_no_data(kind):
    assert [member.kind for member in members_of(block(kind=kind, size=b"00000001000\0") + block())] == [kind, REGULAR]


@pytest.mark.parametrize("size", [b"\x80" + bytes(3) + b"\x40" + bytes(7), b"\x80" + bytes(3) + b"\x7f" + b"\xff" * 7])
def test_a_size_that_no_file_has_is_told_without_reading(size):
    assert refusal(block(size=size) + bytes(2048)) == UNEXPECTED


def test_a_size_in_base_256():
    data = b"data".ljust(512, b"\0")
    (member,) = members_of(block(size=b"\x80" + bytes(10) + b"\4") + data + END)
    assert member.size == 4


@pytest.mark.parametrize(
    "archive",
    [
        block()[:-1] + b"\1",
        block(size=b"\xff" * 12),  # -1
        block(size=b"\x80" + bytes(2) + b"\1" + bytes(8)),  # 2**64
        block(size=b"00000000009\0"),
        block(kind=b"5", size=b"\x80\1" + bytes(10)),
        block(kind=b"S"),
        block(fields={100: b"rw-r--r--"}),
        block(fields={108: b"root"}),
        block(fields={136: b"yesterday"}),
        block(fields={329: b"minor"}),
        records(size=b"-1") + block(),
        records(size=b"many") + block(),
        records(size=b"9223372036854775808") + block(),
        records(size=b"1" * 1_000_000) + block(),
        records(uid=b"root") + block(),
        records(mtime=b"yesterday") + block(),
        records(mtime=b"1.5.5") + block(),
        records(path=b"a\0b") + block(),
        records(gname=b"a\0b") + block(),
        with_data(b"", b"x", b"12 path=\n"),
        with_data(b"", b"x", b"no record\n"),
        with_data(b"", b"x", b"9 path=a\0"),
        with_data(b"", b"x", b"99999999999 path=a\n"),
        with_data(b"", b"x", b"5 =a\n"),
        with_data(b"", b"g", b"5 =a\n"),
        b"text" * 200,
    ],
)
def test_invalid_headers(archive):
    assert refusal(archive + END) == INVALID


def test_a_header_that_is_too_large_is_not_read():
    assert refusal(block(kind=b"x", size=b"%011o\0" % (2 << 20))) == "archive/tar: header field too long"


@pytest.mark.parametrize(
    ("archive", "size"),
    [
        (records(size=b"4"), 4),
        (records(size=b"+004"), 4),
        (records(size=b""), 512),
        (records(mtime=b"-1.25", atime=b"7.", uid=b"-1"), 512),
    ],
)
def test_numbers_in_records(archive, size):
    (member,) = members_of(archive + block(size=b"00000001000\0", fields={136: b"\xff" * 12}) + bytes(512) + END)
    assert member.size == size


def test_sparse_files_have_their_own_names():
    sparse = record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.minor", b"0")
    sparse += record(b"GNU.sparse.name", b"layer.tar") + record(b"GNU.sparse.realsize", b"4096")
    (member,) = members_of(with_data(b"", b"x", sparse) + with_data(b"GNUSparseFile.7/layer.tar", b"0", b"1\n0\n7\n"))
    assert (member.name, member.is_sparse) == ("layer.tar", True)
