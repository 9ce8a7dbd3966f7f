"""Archives that ask for much: each limit by its name, bombs, and sizes that lie."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import io
import lzma
import tarfile
from typing import Any

import pytest

from imagestore.archive.limits import Limits
from imagestore.archive.loading import load
from imagestore.content.zstd import zstd
from imagestore.errors import ArchiveLimitError, InvalidArchiveError, InvalidError, InvalidLayerError
from imagestore.testing.makers import make_layer
from tests.archives.built import tar
from tests.archives.conftest import Pipe
from tests.archives.layouts import Layout, named

SOURCES: list[Any] = [io.BytesIO, Pipe]
COMPRESSORS: list[Any] = [bytes, gzip.compress, bz2.compress, lzma.compress, zstd.compress]
sources = pytest.mark.parametrize("source", SOURCES)
compressors = pytest.mark.parametrize("compress", COMPRESSORS)


def layout(**arguments):
    made = Layout()
    return made.add(made.image(**named("app:1"), **arguments))


def refused(store, archive, limits):
    with pytest.raises(InvalidArchiveError) as caught:
        load(store, archive, limits=limits)
    assert len(store) == 0
    store.collect()
    assert list(store.content.names()) == []
    return caught.value


def with_large_window(data):
    options = {zstd.CompressionParameter.window_log: 31, zstd.CompressionParameter.enable_long_distance_matching: 1}
    compressor = zstd.ZstdCompressor(options=options)
    return compressor.compress(data) + compressor.flush()


def nested():
    made = Layout()
    return made.add(made.nested(made.nested(made.image())))


def tagged(*names):
    made = Layout()
    return made.add(*(made.image(**named(name)) for name in names))


def many():
    made = Layout()
    return made.add(made.image("1"), made.image("2"))


EXCEEDED = {
    "entries": (layout().tar(), 5),  # five files, and the folders "blobs" and "blobs/sha256"
    "document": (layout().tar(), 100),
    "documents": (layout().tar(), 1000),
    "layer": (layout().tar(), 5000),
    "archive": (layout().tar(), 10_000),
    "images": (many().tar(), 1),
    "tags": (tagged("a:1", "a:2").tar(), 1),
    "layers": (layout(layers=("1", "2")).tar(), 1),
    "depth": (nested().tar(), 1),
    "window": (layout(layers=(make_layer(size=1 << 17),), pack=lzma.compress).tar(), 1 << 16),
}


@sources
@pytest.mark.parametrize("name", EXCEEDED)
def test_an_error_names_the_limit(sqlite_stocked, source, name):
    archive, value = EXCEEDED[name]
    error = refused(sqlite_stocked, source(archive), Limits(**{name: value}))
    assert isinstance(error, ArchiveLimitError)
    assert error.limit == name
    assert error.reason == ("too-deep" if name == "depth" else "limit")
    assert f"{name}={value}" in str(error)
    assert load(sqlite_stocked, source(archive))


def test_every_limit_is_tried():
    assert set(EXCEEDED) == {field.name for field in dataclasses.fields(Limits)}


@pytest.mark.parametrize("value", [0, -1, "5", None, 2.5, 1 << 80])
@pytest.mark.parametrize("name", EXCEEDED)
def test_a_limit_is_a_number(name, value):
    with pytest.raises(InvalidError, match=f"{name}= is a whole number"):
        Limits(**{name: value})


@sources
@compressors
def test_a_layer_is_refused_where_it_is_too_large(sqlite_stocked, source, compress):
    bomb = layout(layers=(make_layer(size=3 << 20),), pack=compress).tar()
    error = refused(sqlite_stocked, source(bomb), Limits(layer=1 << 20))
    assert (error.limit, error.reason) == ("layer", "limit")


@sources
@compressors
def test_an_archive_is_refused_where_it_is_too_large(sqlite_stocked, source, compress):
    bomb = compress(layout(layers=(make_layer(size=3 << 20),)).tar())
    error = refused(sqlite_stocked, source(bomb), Limits(archive=1 << 20))
    assert (error.limit, error.reason) == ("archive", "limit")


def test_a_folder_is_refused_where_it_is_too_large(sqlite_stocked, tmp_path):
    made = layout()
    size = sum(map(len, made.all_files().values()))
    folder = made.write(tmp_path / "layout")
    error = refused(sqlite_stocked, folder, Limits(archive=size - 1))
    assert (error.limit, error.reason) == ("archive", "limit")
    assert load(sqlite_stocked, folder, limits=Limits(archive=size))


@sources
@pytest.mark.parametrize("is_outer", [True, False])
def test_a_window_of_two_gigabytes_is_refused(sqlite_stocked, source, is_outer):
    layers = (make_layer(size=300_000),)
    archive = (
        with_large_window(layout(layers=layers).tar())
        if is_outer
        else layout(layers=layers, pack=with_large_window).tar()
    )
    error = refused(sqlite_stocked, source(archive), Limits())
    assert (error.limit, error.reason) == ("window", "limit")


@sources
@pytest.mark.parametrize("size", [-1, 0, 2**62, 2**63 - 1])
def test_a_descriptor_may_lie(sqlite_stocked, source, size):
    made = Layout()
    entry = made.image()
    made.add({**entry, "size": size})
    assert refused(sqlite_stocked, source(made.tar()), Limits()).reason == "size-mismatch"


@sources
@pytest.mark.parametrize("size", [2**63, 10**30, 1.5, "5", None, [5]])
def test_a_size_is_a_number_of_64_bits(sqlite_stocked, source, size):
    made = Layout()
    entry = made.image()
    made.add({**entry, "size": size})
    assert refused(sqlite_stocked, source(made.tar()), Limits()).reason in {"schema", "size-mismatch"}


@sources
def test_a_header_may_lie(sqlite_stocked, source):
    """A petabyte, of which nothing comes."""
    made = layout()
    member = tarfile.TarInfo("blobs/sha256/large")
    member.size = 1 << 50
    tar = made.tar().rstrip(b"\0")
    tar += bytes(-len(tar) % 512) + member.tobuf() + bytes(5000)
    assert refused(sqlite_stocked, source(tar), Limits()).reason == "truncated"


@sources
def test_an_index_with_a_million_entries_is_too_large(sqlite_stocked, source):
    made = Layout()
    made.index["manifests"] = [made.image()] * 50_000
    error = refused(sqlite_stocked, source(made.tar()), Limits())
    assert error.limit == "document"


@sources
def test_entries_without_anything_are_no_images(sqlite_stocked, source):
    files = {**Layout().files, "index.json": b'{"schemaVersion":2,"manifests":[%s]}' % b",".join([b"{}"] * 100_000)}
    assert refused(sqlite_stocked, source(tar(files)), Limits()).reason == "unsupported-media-type"


@sources
def test_a_manifest_may_name_one_layer_often(sqlite_stocked, source):
    made = Layout()
    layer = make_layer()
    entry = made.image(layers=(layer,) * 100)
    made.add(entry)
    (found,) = load(sqlite_stocked, source(made.tar()))
    assert len(sqlite_stocked.get(found.id).stack) == 100
    assert len(list(sqlite_stocked.content.names())) == 1


@sources
def test_deep_json_is_refused(sqlite_stocked, source):
    files = {**Layout().files, "index.json": b"[" * 1_000_000}
    assert refused(sqlite_stocked, source(tar(files)), Limits()).reason == "schema"


@sources
def test_a_sparse_layer_is_refused(sqlite_stocked, source):
    made = Layout()
    entry = made.image(layers=(make_layer(),))
    made.add(entry)
    files = made.all_files()
    layer = next(name for name, data in files.items() if data.startswith(b"layer\0"))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            if name == layer:
                member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "5"}
            tar.addfile(member, io.BytesIO(data))
    assert refused(sqlite_stocked, source(out.getvalue()), Limits()).reason == "corrupt-layer"


@sources
@pytest.mark.parametrize("cut", [1, 5, 20])
@pytest.mark.parametrize("compress", COMPRESSORS[1:])
def test_a_layer_that_breaks_off_is_corrupt(sqlite_stocked, source, compress, cut):
    made = layout(pack=lambda tar: compress(tar)[:-cut])
    with pytest.raises(InvalidLayerError) as caught:
        load(sqlite_stocked, source(made.tar()))
    assert caught.value.reason == "truncated"
    assert len(sqlite_stocked) == 0


@sources
@pytest.mark.parametrize("cut", [1, 5, 20])
@pytest.mark.parametrize("compress", COMPRESSORS[1:])
def test_an_archive_that_breaks_off_is_truncated(sqlite_stocked, source, compress, cut):
    archive = compress(layout().tar())[:-cut]
    assert refused(sqlite_stocked, source(archive), Limits()).reason == "truncated"


@sources
def test_a_cut_at_any_block_loads_all_or_nothing(sqlite_stocked, source):
    archive = layout().tar()
    end = len(archive.rstrip(b"\0"))
    for cut in sorted({at + more for at in range(0, end, 512) for more in (0, 1, 511)} | {end - 1, len(archive) - 1}):
        if cut >= end:
            (found,) = load(sqlite_stocked, source(archive[:cut]))
            sqlite_stocked.delete(found.id)
        else:
            reason = refused(sqlite_stocked, source(archive[:cut]), Limits()).reason
            assert reason in ("truncated", "no-layout", "missing-blob"), cut
