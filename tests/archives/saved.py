"""What a real daemon saved, and stores that hold the same images."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

from imagestore.archive.writing import File, Folder, Link, header
from imagestore.content.reading import plain
from imagestore.digest import Digest
from imagestore.image import Image

ARCHIVES = Path(os.environ.get("IMAGESTORE_ARCHIVES", Path(__file__).parent / "data"))
CASES = {case["name"]: case for case in json.loads((ARCHIVES / "cases.json").read_text()) if "save" in case}
SAVED = {name: case["save"] for name, case in CASES.items() if case["save"]["exit"] == 0}
FAMILY = "daemon-siblings"  # base:1, and left:1 and right:1 on it


def fill(store, name):
    """Give a store the images of a case, as its daemon saved them; the bytes of layers are found in the archive that it had loaded."""
    texts = {entry["name"]: entry["text"].encode() for entry in SAVED[name]["entries"] if "text" in entry}
    layers = {str(Digest.from_bytes(data)): data for data in files_of(ARCHIVES / CASES[name]["file"])}
    manifest = json.loads(texts["manifest.json"])
    for item in manifest:
        image = Image.from_json(texts[item["Config"]])
        with store.lease() as lease:
            for link in image.stack:
                store.layers.register(io.BytesIO(layers[str(link.diff_id)]), link.parent, lease=lease)
            store.create(image.raw_json)
        for tag in item["RepoTags"] or ():
            store.references.add_tag(tag, image.image_id)
    for item in manifest:
        if "Parent" in item:
            store.set_parent(f"sha256:{item['Config'].removesuffix('.json')}", item["Parent"])


def files_of(path):
    """All files in an archive, plain."""
    with path.open("rb") as file:
        data = b"".join(plain(file))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [b"".join(plain(io.BytesIO(read(tar, member)))) for member in tar if member.isfile()]


def read(tar, name):
    return tar.extractfile(name).read()


def with_times_of(saved, archive):
    """An archive of ours, with the times of the call that the daemon gave to the folders of linked layers."""
    times = {entry["name"]: entry["mtime"] for entry in saved["entries"]}
    linked = {entry["name"].partition("/")[0] for entry in saved["entries"] if entry["type"] == "symlink"}
    changed = bytearray(archive)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            if member.name.partition("/")[0] in linked:
                changed[member.offset : member.offset + 512] = header(member.name, made_at(member, times[member.name]))
    return bytes(changed)


def made_at(member, time):
    if member.isdir():
        return Folder(time)
    return Link(member.linkname, time) if member.issym() else File(member.size, [], time)
