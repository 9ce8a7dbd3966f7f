"""An OCI image layout as a tar: oci-layout, index.json, and blobs under their digests.

A configuration is stored as it is, so that the image's ID stays the same. A manifest names it and its layers; the index names the
manifest, once for each tag: in full for containerd, and by the tag alone for skopeo and umoci. No member has a time.

Source: the image specification of OCI, ``image-layout.md``, and its annotations as containerd reads them.
"""

from __future__ import annotations

import hashlib
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final, Literal, Protocol

import msgspec

from imagestore.archive.descriptors import (
    CONFIG_TYPE,
    INDEX,
    INDEX_TYPE,
    LAYER_TYPE,
    LAYOUT,
    MANIFEST,
    MANIFEST_TYPE,
    NAME,
    REF_NAME,
    SCHEMA_VERSION,
    VERSION,
    Descriptor,
    Document,
    Layout,
    blob_path,
)
from imagestore.archive.selection import SelectedImage, SelectedLayer, Selection
from imagestore.archive.whole_file import telling_of
from imagestore.archive.writing import File, Folder, Symlink
from imagestore.digest import Digest
from imagestore.gojson import encode

Compression = Literal["gzip", "zstd"]

_CHUNK: Final = 1 << 20
_GZIP_LEVEL: Final = 6
_ZSTD_LEVEL: Final = 3


@contextmanager
def layout_members(
    selection: Selection, compression: Compression | None
) -> Iterator[dict[str, Folder | Symlink | File]]:
    """The members of the archive, to be written in the block. Layers are compressed before, each once, into one temporary file."""
    with tempfile.TemporaryFile() as spool:
        blobs = _Blobs(selection, compression, spool)
        entries = tuple(entry for image in selection.images for entry in _entries(image, blobs))
        index = Document(schema_version=SCHEMA_VERSION, media_type=INDEX_TYPE, manifests=entries)
        yield {
            "blobs": Folder(0),
            "blobs/sha256": Folder(0),
            **blobs.files,
            "index.json": File.of(encode(INDEX, index), 0),
            "oci-layout": File.of(encode(LAYOUT, Layout(VERSION)), 0),
        }


def _entries(selected: SelectedImage, blobs: _Blobs) -> list[Descriptor]:
    """What the index has of an image, which without tags has no name there."""
    manifest = Document(
        schema_version=SCHEMA_VERSION,
        media_type=MANIFEST_TYPE,
        config=blobs.add(CONFIG_TYPE, selected.image.raw_json),
        layers=tuple(blobs.add_layer(layer) for layer in selected.layers),
    )
    entry = blobs.add(MANIFEST_TYPE, encode(MANIFEST, manifest))
    names = [{NAME: str(tag), REF_NAME: str(tag.tag)} for tag in selected.tags]
    return [msgspec.structs.replace(entry, annotations=each) for each in names] or [entry]


class _Blobs:
    """The blobs of a layout.

    Attributes:
        files: those that are there, by their paths.
    """

    def __init__(self, selection: Selection, compression: Compression | None, spool: BinaryIO) -> None:
        self.files: dict[str, File] = {}
        self._selection = selection
        self._compression = compression
        self._spool = spool
        self._layers: dict[str, Descriptor] = {}

    def add(self, media_type: str, data: bytes) -> Descriptor:
        """Add these bytes, and return what names them."""
        return self._add(media_type, Digest.from_bytes(data), File.of(data, 0))

    def add_layer(self, layer: SelectedLayer) -> Descriptor:
        """Add a layer, if it is not there yet, and return what names it."""
        if layer.diff_id not in self._layers:
            chunks = self._selection.chunks(layer)
            self._layers[layer.diff_id] = (
                self._add(LAYER_TYPE, Digest.trusted(layer.diff_id), File(layer.size, chunks, 0))
                if self._compression is None
                else self._add(f"{LAYER_TYPE}+{self._compression}", *self._compressed(chunks, self._compression))
            )
        return self._layers[layer.diff_id]

    def _add(self, media_type: str, digest: Digest, file: File) -> Descriptor:
        descriptor = Descriptor(media_type=media_type, digest=digest, size=file.size)
        self.files[blob_path(descriptor)] = file
        return descriptor

    def _compressed(self, chunks: Iterable[bytes], compression: Compression) -> tuple[Digest, File]:
        digest = hashlib.sha256()
        start = self._spool.tell()
        for chunk in _compress(chunks, compression):
            digest.update(chunk)
            with telling_of(tempfile.gettempdir()):
                self._spool.write(chunk)
                self._spool.flush()  # before anything is written to the archive
        size = self._spool.tell() - start
        return Digest(f"sha256:{digest.hexdigest()}"), File(size, self._spooled(start, size), 0)

    def _spooled(self, start: int, size: int) -> Iterator[bytes]:
        self._spool.seek(start)
        while size:
            chunk = self._spool.read(min(size, _CHUNK))
            size -= len(chunk)
            self._selection.keep_alive()
            yield chunk


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


def _compress(chunks: Iterable[bytes], compression: Compression) -> Iterator[bytes]:
    """The bytes, compressed: the same ones by the same version of zlib or zstd."""
    compressor: _Compressor
    if compression == "gzip":
        compressor = zlib.compressobj(_GZIP_LEVEL, wbits=zlib.MAX_WBITS | 16)  # a header without a name and a time
    else:
        from imagestore.content.zstd import zstd

        compressor = zstd.ZstdCompressor(_ZSTD_LEVEL)
    for chunk in chunks:
        yield compressor.compress(chunk)
    yield compressor.flush()
