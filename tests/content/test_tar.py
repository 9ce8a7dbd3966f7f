"""What a layer's tar says about itself, against what Python's tarfile writes and Go's archive/tar refuses."""

from __future__ import annotations

import io
import tarfile
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagestore.content.tar import LARGEST_HEADER, TarSizes
from imagestore.errors import InvalidLayerError
from imagestore.testing.makers import make_layer

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
KINDS = [tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE]


def measured(*chunks):
    tar = TarSizes()
    for chunk in chunks:
        tar.feed(chunk)
    tar.finish()
    return tar.size


def written(members, format):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=format) as tar:
        for name, kind, size in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            member.size = size if kind in (tarfile.REGTYPE, tarfile.AREGTYPE) else 0
            member.linkname = "elsewhere" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return stream.getvalue()


names = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=300)
members = st.lists(st.tuples(names, st.sampled_from(KINDS), st.integers(0, 3000)), max_size=5)


@given(members, st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]), st.integers(1, 2000))
def test_it_reads_what_tarfile_writes_in_any_pieces(members, format, size):
    data = written(members, format)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        expected = sum(member.size for member in tar)
    assert measured(data) == expected
    assert measured(*(data[start : start + size] for start in range(0, len(data), size))) == expected


@given(members.filter(len), st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]), st.data())
def test_a_cut_within_a_member_is_told(members, format, data):
    tar = written(members, format)
    with tarfile.open(fileobj=io.BytesIO(tar)) as whole:
        member = data.draw(st.sampled_from(whole.getmembers()))
    within_headers = st.integers(member.offset + 1, member.offset_data - 1)
    within_data = st.integers(member.offset_data, member.offset_data + member.size - 1)
    cut = data.draw(within_headers | within_data if member.size else within_headers)
    if (
        cut % 512 or cut >= member.offset_data
    ):  # else it may be between a PAX header and what it is of, which Go takes for the end
        with pytest.raises(InvalidLayerError, match="unexpected EOF"):
            measured(tar[:cut])


def test_it_may_end_between_two_members_and_go_on_after_its_end():
    tar = make_layer("file", size=700)
    assert measured(b"") == measured(bytes(512)) == measured(bytes(1024)) == 0
    assert measured(tar[: 512 + 1024]) == measured(tar, b"whatever follows") == 700


def test_the_last_member_need_not_be_padded():
    tar = make_layer("file", size=700)
    assert measured(tar[: 512 + 700]) == measured(tar[: 512 + 1000]) == 700


@pytest.mark.parametrize("size", [8 << 30, 1 << 62])
@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_large_size_is_no_octal_number(size, format):
    member = tarfile.TarInfo("large")
    member.size = size
    tar = TarSizes()
    tar.feed(member.tobuf(format))
    assert tar.size == size
    with pytest.raises(InvalidLayerError, match="unexpected EOF"):
        tar.finish()


def sparse(*, extended):
    """A header of the old GNU form, of a file of 10,000 bytes with a hole, of which 512 are stored."""
    member = tarfile.TarInfo("sparse")
    member.size = 512
    member.type = tarfile.GNUTYPE_SPARSE
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    block[482] = extended
    block[483:495] = b"%011o\0" % 10_000
    block[148:156] = b"%06o\0 " % (sum(block) - sum(block[148:156]) + 8 * 32)
    return bytes(block)


def test_a_sparse_file_counts_with_its_holes():
    assert measured(sparse(extended=False), bytes(512), make_layer(size=7)) == 10_007
    more, last = bytes(504) + b"\1" + bytes(7), bytes(512)
    assert measured(sparse(extended=True), more, last, bytes(512), make_layer(size=7)) == 10_007
    member = tarfile.TarInfo("sparse")
    member.size = 512
    member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "10000"}
    assert measured(member.tobuf(tarfile.PAX_FORMAT), bytes(512), make_layer(size=7)) == 10_007


def test_an_old_folder_is_a_file_with_a_slash():
    member = tarfile.TarInfo("folder/")
    member.type, member.size = tarfile.AREGTYPE, 600
    assert measured(member.tobuf(tarfile.USTAR_FORMAT), make_layer(size=7)) == 607


def test_records_are_of_the_next_member_alone():
    records, file = pax(b"12 size=700\n"), bytes(header(size=10)) + bytes(512)
    assert measured(records, file[:512], bytes(1024), file) == 710
    assert measured(records, pax(b"9 a=size\n"), file) == 10
    assert measured(records, pax(b"9 a=size\n", kind=tarfile.XGLTYPE), file) == 10
    assert measured(pax(b"8 size=\n"), file) == 10


@pytest.mark.parametrize("text", ["+700", "00700", "+" + "0" * 30 + "700"])
def test_the_number_of_a_record_is_what_go_takes(text):
    record = f" size={text}\n"
    record = f"{len(record) + 2}{record}"
    assert measured(pax(record.encode()), bytes(header(size=10)), bytes(1024)) == 700


def test_old_writers_have_summed_signed_bytes():
    block = header(name="fil\u00e9")
    block[148:156] = b"%06o\0 " % (int(block[148:154], 8) - 2 * 256)
    assert measured(bytes(block)) == 0


def damaged(position, byte):
    tar = bytearray(make_layer("file"))
    tar[position] = byte
    return bytes(tar)


def recomputed(block):
    block[148:156] = b"%06o\0 " % (sum(block) - sum(block[148:156]) + 8 * 32)
    return bytes(block)


def header(**fields):
    member = tarfile.TarInfo("file")
    for name, value in fields.items():
        setattr(member, name, value)
    return bytearray(member.tobuf(tarfile.GNU_FORMAT))


def with_size(text):
    block = header()
    block[124:136] = text
    return recomputed(block)


def pax(records, *, kind=tarfile.XHDTYPE):
    block = header(type=kind, size=len(records))
    return recomputed(block) + records.ljust(-(-len(records) // 512) * 512, b"\0")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"no tar at all".ljust(512), "no octal|checksum"),
        (b"\x1f\x8b" * 256, "checksum|octal"),
        (damaged(0, ord("g")), "checksum"),
        (damaged(150, ord("9")), "octal"),
        (bytes(512) + make_layer(), "zeros"),
        (with_size(b"00000000009\0"), "octal"),
        (with_size(b"-0000000777\0"), "octal"),
        (with_size(b"0o77\0".ljust(12)), "octal"),
        (with_size(b"7_7\0".ljust(12)), "octal"),
        (with_size(b"\xff" * 12), "negative"),
        (with_size(b"\x80\0\0\1" + bytes(8)), "too large"),
        (bytes(header(type=tarfile.DIRTYPE, size=1 << 62)) * 2, "too large"),
        (recomputed(header(type=tarfile.XHDTYPE, size=LARGEST_HEADER + 1)), "more than"),
        (recomputed(header(type=tarfile.GNUTYPE_LONGNAME, size=1 << 40)), "more than"),
        (pax(b"no length at all"), "no length"),
        (pax(b"99 size=1\n")[:-1], "EOF"),
        (pax(b"11 size=-1\n") + bytes(header()), "negative"),
        (pax(b"11 size=-1\n") + bytes(header(type=tarfile.DIRTYPE)), "negative"),
        (pax(b"11 size=9.\n"), "no number"),
        (pax(b"11 size=+-\n"), "no number"),
        (pax(b"28 size=9223372036854775808\n"), "no number"),
        (pax(b"3 \n"), "damaged"),
        (pax(b"10 size=12"), "damaged"),
        (pax(b"0 size=1\n"), "damaged"),
        (pax(b"4 =1\n"), "damaged"),
        (pax(b"11 size=1\n"), "damaged"),
        (pax(b"no length at all", kind=tarfile.XGLTYPE), "no length"),
    ],
)
def test_what_is_no_tar_is_refused(data, words):
    with pytest.raises(InvalidLayerError, match=words):
        measured(data)


@given(st.binary(max_size=3000))
def test_any_bytes_are_a_tar_or_refused(data):
    with suppress(InvalidLayerError):
        measured(data)
