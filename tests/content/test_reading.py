"""A layer's stream, compressed or not, as the chunks of its plain tar; and stored bytes that are verified as they are read."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import struct
import subprocess
import sys
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagestore.content.reading import Registered, verified
from imagestore.content.zstd import zstd
from imagestore.digest import DiffID
from imagestore.errors import CorruptContentError, InvalidLayerError, LayerTooLargeError
from imagestore.testing.makers import make_layer

COMPRESS = {"plain": bytes, "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstd.compress}
TAR = make_layer("file", size=3_000_000)
compressions = pytest.mark.parametrize("compress", COMPRESS.values(), ids=COMPRESS)
of_members = pytest.mark.parametrize("compress", list(COMPRESS.values())[1:], ids=list(COMPRESS)[1:])


def diff_id(tar):
    return DiffID("sha256:" + hashlib.sha256(tar).hexdigest())


def register(stream, **limits):
    registered = Registered(stream, **limits)
    return b"".join(registered), registered


class Slow(io.BytesIO):
    """Gives as much as a network does."""

    def read(self, size=-1):
        return super().read(min(size, 1000))


@compressions
@pytest.mark.parametrize("stream", [io.BytesIO, Slow])
def test_it_is_read_as_its_plain_tar(compress, stream):
    tar, registered = register(stream(compress(TAR)))
    assert tar == TAR
    assert (registered.diff_id, registered.size, registered.files_size) == (diff_id(TAR), len(TAR), 3_000_000)


@of_members
def test_members_go_on_one_after_another(compress):
    pieces = [TAR[:1000], TAR[1000:-500], TAR[-500:]]
    assert register(io.BytesIO(b"".join(map(compress, pieces))))[0] == TAR


def test_a_thousand_files_may_be_members_of_their_own():
    """As in an estargz."""
    pieces = [TAR[start : start + 3000] for start in range(0, len(TAR), 3000)]
    assert register(io.BytesIO(b"".join(map(gzip.compress, pieces))))[0] == TAR


def test_frames_of_zstd_may_be_there_to_be_skipped():
    """First as pzstd writes them, last as zstd:chunked has them."""
    skipped = struct.pack("<II", 0x184D2A5E, 5) + b"\nfive"
    for stream in (skipped + zstd.compress(TAR), zstd.compress(TAR) + skipped):
        assert register(io.BytesIO(stream))[0] == TAR
        assert register(Slow(stream))[0] == TAR


@compressions
def test_nothing_is_a_tar_without_members(compress):
    _, registered = register(io.BytesIO(compress(b"")))
    assert (registered.diff_id, registered.size, registered.files_size) == (diff_id(b""), 0, 0)


@of_members
@pytest.mark.parametrize("cut", [0.1, 0.5, 0.99])
def test_what_breaks_off_is_refused(compress, cut):
    data = compress(make_layer("file", size=100_000))
    with pytest.raises(InvalidLayerError, match=r"EOF|damaged"):
        register(io.BytesIO(data[: max(7, int(len(data) * cut))]))


@of_members
def test_what_is_damaged_is_refused(compress):
    data = bytearray(compress(TAR))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(InvalidLayerError):
        register(io.BytesIO(data))


@of_members
def test_what_follows_and_is_nothing_of_the_kind_is_refused(compress):
    with pytest.raises(InvalidLayerError):
        register(io.BytesIO(compress(TAR) + b"garbage"))


@compressions
def test_a_limit_ends_what_is_too_large(compress):
    assert register(io.BytesIO(compress(TAR)), limit=len(TAR))[0] == TAR
    with pytest.raises(LayerTooLargeError, match=r"more than limit="):
        register(io.BytesIO(compress(TAR)), limit=len(TAR) - 1)


def test_a_window_that_is_too_large_is_refused():
    options = {zstd.CompressionParameter.window_log: 29, zstd.CompressionParameter.enable_long_distance_matching: 1}
    compressor = zstd.ZstdCompressor(options=options)
    data = compressor.compress(TAR) + compressor.flush()
    with pytest.raises(LayerTooLargeError, match=r"zstd, more than window=134217728: give a larger one"):
        register(io.BytesIO(data))


def test_a_stream_of_text_is_a_mistake():
    with pytest.raises(TypeError, match="bytes"):
        register(io.StringIO("text"))


BOMB = """
import sys, bz2, gzip, importlib, lzma, resource, tarfile
from imagestore.content.reading import Registered
from imagestore.errors import LayerTooLargeError

member = tarfile.TarInfo("zeros")
member.size = 1 << 50
head = member.tobuf(tarfile.GNU_FORMAT)
zeros = bytes(8 << 20)
compress = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}.get(sys.argv[1]) or importlib.import_module(
    "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd").compress
first, more = compress(head), compress(zeros)
def stream():
    yield first
    while True:
        yield more
source = stream()
class Stream:
    def read(self, size):
        return next(source)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
taken = 0
try:
    for chunk in Registered(Stream(), limit=64 << 20):
        taken += len(chunk)
except LayerTooLargeError:
    print(taken >> 20, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


@pytest.mark.parametrize("kind", list(COMPRESS)[1:])
def test_a_bomb_takes_no_more_memory_than_a_layer(kind):
    done = subprocess.run([sys.executable, "-c", BOMB, kind], capture_output=True, text=True, check=True)
    taken, memory = map(int, done.stdout.split())
    assert taken == 63
    assert memory < 24  # megabytes, above the process that has compressed it


LARGE = """
import io, resource, tarfile
from imagestore.content.reading import Registered, verified

member = tarfile.TarInfo("zeros")
member.size = 1 << 30
class Stream(io.RawIOBase):
    def __init__(self):
        self.chunks = iter([member.tobuf(tarfile.GNU_FORMAT), *[bytes(1 << 20)] * (1 << 10)])
    def read(self, size):
        return next(self.chunks, b"")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
registered = Registered(Stream())
for chunk in registered:
    pass
with verified(Stream(), "name", registered.size, registered.diff_id) as stream:
    while stream.read(1 << 20):
        pass
print(registered.files_size >> 20, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


def test_a_large_layer_takes_no_more_memory_than_a_small_one():
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, check=True)
    size, memory = map(int, done.stdout.split())
    assert size == 1024
    assert memory < 16  # megabytes


def read_in(size):
    def read(stream):
        return b"".join(iter(lambda: stream.read(size), b""))

    return read


@pytest.mark.parametrize("read", [lambda stream: stream.read(), read_in(7777), read_in(10_000_000)])
def test_stored_bytes_are_verified_as_they_are_read(read):
    def reading(data):
        return verified(io.BytesIO(data), "name", len(TAR), diff_id(TAR))

    assert read(reading(TAR)) == TAR
    for damaged in (TAR[:-1], TAR + b"x", b"x" + TAR[1:], b"", TAR[:-1] + b"x"):
        with pytest.raises(CorruptContentError, match="'name'"):
            read(reading(damaged))


def test_the_last_byte_is_not_given_out_unverified():
    with (
        verified(io.BytesIO(b"x" + TAR[1:]), "name", len(TAR), diff_id(TAR)) as stream,
        pytest.raises(CorruptContentError, match="'name'"),
    ):
        stream.read(len(TAR))


def test_who_reads_a_part_may_close():
    source = io.BytesIO(TAR)
    with verified(source, "name", len(TAR), diff_id(TAR)) as stream:
        assert stream.read(1000) == TAR[:1000]
    assert source.closed


@given(st.binary(max_size=400))
def test_any_stream_is_a_layer_or_refused(data):
    for magic in (b"", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"):
        with suppress(InvalidLayerError, LayerTooLargeError):
            register(io.BytesIO(magic + data))
