"""What a real daemon saved, and stores that hold the same images."""

from __future__ import annotations

import io
import json
import tarfile

from imagestore.archive.loading import load
from imagestore.archive.writing import File, Folder, Symlink, header
from tests.archives.recorded import ARCHIVES, HERE, cases

CASES = {name: case for name, case in cases("cases.json").items() if "save" in case}
FAMILY = HERE / "data" / "daemon-siblings.tar"  # base:1, and left:1 and right:1 on it


def fill(store, name):
    """Load what the daemon had loaded before it saved."""
    case = CASES[name]
    for file in (*case.get("before", ()), case["file"]):
        load(store, ARCHIVES / file)


def names_in_order(saved):
    """The names in the order in which this call of the daemon had the images, which is another one each time."""
    (text,) = [entry["text"] for entry in saved["entries"] if entry["name"] == "manifest.json"]
    items = json.loads(text)

    def place(name):
        return next((at for at, item in enumerate(items) if name in (item["RepoTags"] or ())), 0)

    return sorted(saved["names"], key=place)


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
    return Symlink(member.linkname, time) if member.issym() else File(member.size, [], time)
