"""Images into an archive: `save` to a stream, `save_to` a file, and the members of docker's archive.

Nothing is copied on disk but layers that are to be compressed: what a member is named, how large it is and where it stands is known from
the database, and the bytes of layers go from the store to the archive as they are read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final, Literal

import msgspec

from imagestore.archive.docker import MANIFEST, MANIFEST_ITEMS, REPOSITORIES, ManifestItem
from imagestore.archive.layout import Compression, layout_members
from imagestore.archive.selection import SelectedLayer, Selection, selected
from imagestore.archive.whole_file import whole_file
from imagestore.archive.writing import File, Folder, Link, write_tar
from imagestore.digest import DiffID, Digest
from imagestore.errors import InvalidError
from imagestore.gojson import TEXT_MAP, GoTime, encode, encode_members
from imagestore.image import V1_IMAGE, Image, V1Image
from imagestore.store import Store
from imagestore.v1 import create_id

Format = Literal["docker", "oci"]

_EPOCH: Final = GoTime(0)
_LAST: Final = (9_223_372_036, 854_775_807)  # seconds and nanoseconds that the daemon can set a file's time to


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
            write_tar(out, _docker_members(selection))
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


_OF_V1: Final = tuple(name for name in V1Image.__struct_fields__ if name not in ("id", "parent"))


def _docker_members(selection: Selection) -> dict[str, Folder | Link | File]:
    """The members of docker's archive.

    Source: moby's ``saveSession.save``.
    """
    members: dict[str, Folder | Link | File] = {}
    first_paths: dict[DiffID, str] = {}
    repositories: dict[str, dict[str, str]] = {}
    manifest = []
    saved = {each.image.image_id for each in selection.images}
    for image, tags, layers in selection.images:
        time = _time(image.created)
        folders = []
        for v1_image, layer in _v1_images(image, layers):
            folder = v1_image.id
            folders.append(folder)
            if folder in members:
                continue
            path = f"{folder}/layer.tar"
            first = first_paths.setdefault(layer.diff_id, path)
            members[folder] = Folder(time)
            members[f"{folder}/VERSION"] = File.of(b"1.0", time)
            members[f"{folder}/json"] = File.of(encode(V1_IMAGE, v1_image), time)
            members[path] = (
                File(layer.size, selection.chunks(layer), time) if first == path else Link(f"../{first}", time)
            )
        for tag in tags if folders else ():
            repositories.setdefault(tag.familiar_name, {})[str(tag.tag)] = folders[-1]
        parent = image.parent or ""
        item = ManifestItem(
            config=f"{image.image_id.hex}.json",
            repo_tags=tuple(tag.familiar for tag in tags) or None,
            layers=tuple(f"{folder}/layer.tar" for folder in folders),
            parent=parent if parent in saved and parent != image.image_id else "",
        )
        members[item.config] = File.of(image.raw_json, time)
        manifest.append(item)
    members[MANIFEST] = File.of(encode(MANIFEST_ITEMS, manifest) + b"\n", 0)
    if repositories:
        names = encode_members({name: encode(TEXT_MAP, tags) for name, tags in repositories.items()})
        members[REPOSITORIES] = File.of(names + b"\n", 0)
    return members


def _v1_images(image: Image, layers: Iterable[SelectedLayer]) -> Iterator[tuple[V1Image, SelectedLayer]]:
    """An image for each layer, as they were before 1.10: the topmost one has the configuration.

    Source: moby's ``saveSession.saveImage``.
    """
    parent: Digest | None = None
    left = len(image.stack)
    for layer in layers:
        left -= 1
        made = V1Image(created=_EPOCH) if left else V1Image(**{name: getattr(image, name) for name in _OF_V1})
        v1_id = create_id(made, layer.chain_id, parent or "")
        above = parent.hex if parent is not None else ""
        yield msgspec.structs.replace(made, id=v1_id.hex, parent=above, os=image.os), layer
        parent = v1_id


def _time(created: GoTime) -> int:
    """The time that a file can have; what is out of range is the beginning of Unix (moby's ``system.Chtimes``)."""
    in_range = created.seconds >= 0 and (created.seconds, created.nanosecond) <= _LAST
    return created.seconds if in_range else 0
