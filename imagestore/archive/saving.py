"""Images into an archive: `save` to a stream, and `save_to` a file.

Nothing is copied on disk but layers that are to be compressed: what a member is named, how large it is and where it stands is known from
the database, and the bytes of layers go from the store to the archive as they are read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import BinaryIO, Literal

from imagestore.archive.docker_members import docker_members
from imagestore.archive.layout import Compression, layout_members
from imagestore.archive.selection import selected
from imagestore.archive.whole_file import whole_file
from imagestore.archive.writing import write_tar
from imagestore.errors import InvalidError
from imagestore.store import Store

Format = Literal["docker", "oci"]


def save(
    store: Store,
    names: Iterable[str],
    out: BinaryIO,
    *,
    format: Format = "docker",
    compression: Compression | None = None,
) -> None:
    """Write images to a stream, as ``docker save`` does. The same images, named in the same order, are the same bytes.

    All is looked up and held first, so that most errors come before the first byte. Then layers are read, verified and written, one after
    the other, each once, in memory that their size does not change. The configurations of all images, and the documents that are made for
    them, are held at once.

    Args:
        store: has ``content``; one that has joined reads in the caller's transaction, and holds nothing.
        names: a name with a tag, a name alone for all of its tags, an ID, or the beginning of one; see `selected`.
        out: is neither flushed nor closed.
        format: "docker" for what docker 20.10 writes, "oci" for an OCI image layout.
        compression: of the layers of an OCI image layout, which are plain otherwise. Its result is kept on disk in between, in the folder
            for temporary files.

    Raises:
        ImageNotFoundError, ReferenceNotFoundError, AmbiguousIDError, InvalidReferenceError: a name means nothing.
        LayerNotFoundError: of an image that is known, a layer's bytes are not there.
        ContentLostError, CorruptContentError: they are damaged; only reading them to the end may tell.
        LeaseExpiredError: what was held meanwhile was ended by someone else.
        UnusableContentError: the store has no place for content.
        InvalidError: there are no names, or the archive cannot be made like that.
        OSError: the archive cannot be written.

    Source: moby's ``tarexporter.Save``.
    """
    if format not in ("docker", "oci") or compression not in (None, "gzip", "zstd"):
        raise InvalidError(
            f"an archive is 'docker' or 'oci', its layers 'gzip', 'zstd' or None: not {format!r}, {compression!r}"
        )
    if format == "docker" and compression is not None:
        raise InvalidError("docker's archive has plain layers: leave out compression=, or take format='oci'")
    with selected(store, names) as selection:
        if format == "docker":
            write_tar(out, docker_members(selection))
        else:
            with layout_members(selection, compression) as members:
                write_tar(out, members)


def save_to(
    store: Store,
    names: Iterable[str],
    path: str | os.PathLike[str],
    *,
    format: Format = "docker",
    compression: Compression | None = None,
) -> None:
    """`save` to a file, which is there whole or not at all, whatever happens meanwhile; one that is there already is replaced.

    Raises:
        OSError: the file cannot be written, or the path is that of something else than a file.
        ImageStoreError: as `save`.
    """
    with whole_file(path) as file:
        save(store, names, file, format=format, compression=compression)
