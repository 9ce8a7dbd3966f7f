"""The members of docker's archive: manifest.json and ``repositories``, configurations, and a folder as before 1.10 for each layer.

Source: moby's ``image/tarexport/save.go``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from imagestore.archive.docker import MANIFEST, MANIFEST_ITEMS, REPOSITORIES, ManifestItem
from imagestore.archive.selection import SelectedLayer, Selection
from imagestore.archive.writing import File, Folder, Symlink
from imagestore.digest import DiffID, Digest
from imagestore.gojson import TEXT_MAP, GoTime, encode, encode_members
from imagestore.image import V1_IMAGE, Image, V1Image
from imagestore.v1 import create_id

_EPOCH: Final = GoTime(0)
_LAST: Final = (9_223_372_036, 854_775_807)  # seconds and nanoseconds that the daemon can set a file's time to
_OF_V1: Final = tuple(name for name in V1Image.__struct_fields__ if name not in ("id", "parent"))


def docker_members(selection: Selection) -> dict[str, Folder | Symlink | File]:
    """The members of the archive. Configurations and documents are in memory; layers are read when they are written.

    The bytes of a layer are there once; from its other places a link leads to them.

    Source: moby's ``saveSession.save``.
    """
    members: dict[str, Folder | Symlink | File] = {}
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
                File(layer.size, selection.chunks(layer), time) if first == path else Symlink(f"../{first}", time)
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
