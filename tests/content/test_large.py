"""What is large: compressed streams go in pieces through two threads, and files to the disk while they are written."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import threading

import pytest

from imagestore.content import local
from imagestore.content.local import LocalContent
from imagestore.content.reading import plain
from imagestore.content.zstd import zstd
from imagestore.errors import InvalidLayerError

COMPRESSORS = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstd.compress}
NOISE = random.Random(1).randbytes(1_500_000)
ZEROS = bytes(20 << 20)


@pytest.fixture(params=COMPRESSORS)
def compress(request):
    return COMPRESSORS[request.param]


def decompressed(data):
    return b"".join(plain(io.BytesIO(data)))


def test_members_that_end_anywhere_in_a_piece(compress):
    """Of zeros, a piece gives many chunks, and the next member begins in what is left of it."""
    parts = [ZEROS, b"a", NOISE, b"", ZEROS[:3_000_000], NOISE[:70_000], b"z"]
    assert decompressed(b"".join(map(compress, parts))) == b"".join(parts)


def test_many_small_members(compress):
    assert decompressed(compress(b"x") * 3000) == b"x" * 3000


@pytest.mark.parametrize("left", [1, 100, 300_000])
def test_a_large_stream_that_breaks_off(compress, left):
    data = compress(NOISE)
    with pytest.raises(InvalidLayerError, match="breaks off"):
        decompressed(data[:-left])


def test_what_follows_the_last_member_is_an_error(compress):
    with pytest.raises(InvalidLayerError, match="cannot decompress"):
        decompressed(compress(NOISE) + b"no member" * 10)


def test_no_thread_stays(compress):
    """Neither at the end nor where the reader stops before."""
    before = threading.active_count()
    data = compress(NOISE) * 4
    chunks = plain(io.BytesIO(data))
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]  # it is a generator
    assert decompressed(data) == NOISE * 4
    assert threading.active_count() == before


@pytest.mark.parametrize("advises", [True, False])
def test_a_file_goes_to_the_disk_while_it_is_written(advises, tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(local, "_ADVISE", (lambda _, *range_: begun.append(range_)) if advises else None)
    content = LocalContent(tmp_path / "content")
    content.claim("0" * 32)
    content.write("large", [ZEROS, NOISE, ZEROS])
    with content.open("large") as file:
        assert file.read() == ZEROS + NOISE + ZEROS
    assert [start for start, _, _ in begun] == ([0, len(ZEROS)] if advises else [])
