"""An OCI image layout as a tar: oci-layout, index.json, and blobs under their digests.

A configuration is stored as it is, so that the image's ID stays the same. A manifest names it and its layers; the index names the
manifest, once for each tag: in full for containerd, and by the tag alone for skopeo and umoci. No member has a time.

Source: the image specification of OCI, ``image-layout.md``, and its annotations as containerd reads them.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, BinaryIO, Final, Literal, Protocol

from imagestore.archive.selection import SelectedImage, SelectedLayer, Selection
from imagestore.archive.whole_file import telling_of
from imagestore.archive.writing import File, Folder, Symlink
from imagestore.digest import Digest

Compression = Literal["gzip", "zstd"]
Descriptor = dict[str, Any]

_CHUNK: Final = 1 << 20
_GZIP_LEVEL: Final = 6
_ZSTD_LEVEL: Final = 3
_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_INDEX: Final = "application/vnd.oci.image.index.v1+json"
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
_NAME: Final = "io.containerd.image.name"
_REF_NAME: Final = "org.opencontainers.image.ref.name"


@contextmanager
def layout_members(
    selection: Selection, compression: Compression | None
) -> Iterator[dict[str, Folder | Symlink | File]]:
    """The members of the archive, to be written in the block. Layers are compressed before, each once, into one temporary file."""
    with tempfile.TemporaryFile() as spool:
        blobs = _Blobs(selection, compression, spool)
        entries = [entry for image in selection.images for entry in _entries(image, blobs)]
        yield {
            "blobs": Folder(0),
            "blobs/sha256": Folder(0),
            **{f"blobs/sha256/{digest.hex}": file for digest, file in blobs.files.items()},
            "index.json": File.of(_encode({"schemaVersion": 2, "mediaType": _INDEX, "manifests": entries}), 0),
            "oci-layout": File.of(_encode({"imageLayoutVersion": "1.0.0"}), 0),
        }


def _entries(selected: SelectedImage, blobs: _Blobs) -> list[Descriptor]:
    """What the index has of an image, which without tags has no name there."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": blobs.add(_CONFIG, selected.image.raw_json),
        "layers": [blobs.add_layer(layer) for layer in selected.layers],
    }
    entry = blobs.add(_MANIFEST, _encode(manifest))
    named = [{**entry, "annotations": {_NAME: str(tag), _REF_NAME: tag.tag}} for tag in selected.tags]
    return named or [entry]


class _Blobs:
    """The blobs of a layout by their digests.

    Attributes:
        files: those that are there.
    """

    def __init__(self, selection: Selection, compression: Compression | None, spool: BinaryIO) -> None:
        self.files: dict[Digest, File] = {}
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
                self._add(_LAYER, Digest.trusted(layer.diff_id), File(layer.size, chunks, 0))
                if self._compression is None
                else self._add(f"{_LAYER}+{self._compression}", *self._compressed(chunks, self._compression))
            )
        return self._layers[layer.diff_id]

    def _add(self, media_type: str, digest: Digest, file: File) -> Descriptor:
        self.files[digest] = file
        return {"mediaType": media_type, "digest": digest, "size": file.size}

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
        zstd: Any = import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
        compressor = zstd.ZstdCompressor(_ZSTD_LEVEL)
    for chunk in chunks:
        yield compressor.compress(chunk)
    yield compressor.flush()


def _encode(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")
