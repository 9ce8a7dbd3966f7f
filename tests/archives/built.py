"""Archives made in memory: of any files, and docker's of images with a manifest.json."""

from __future__ import annotations

import io
import json
import tarfile

from imagestore.digest import Digest
from imagestore.testing.makers import make_config, make_layer

HISTORY = {"created": "2020-01-01T00:00:00Z", "created_by": "step"}


def tar(files):
    """A tar of bytes by name, of `tarfile.TarInfo`, and of folders, whose name ends with a slash; of pairs, where a name comes twice."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as made:
        for name, data in files.items() if isinstance(files, dict) else files:
            if isinstance(data, tarfile.TarInfo):
                data.name = name
                made.addfile(data)
                continue
            member = tarfile.TarInfo(name.rstrip("/"))
            member.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            member.size = len(data)
            made.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def link(target, kind=tarfile.SYMTYPE):
    made = tarfile.TarInfo()
    made.type, made.linkname = kind, target
    return made


class Built:
    """An archive with a manifest.json.

    Attributes:
        files: what is in it, by name.
        items: those of manifest.json.
    """

    def __init__(self):
        self.files = {}
        self.items = []

    def add(self, name, *, layers=("layer",), tags=None, config=None, **item):
        """Add an image, whose layers are bytes or names of made ones; returns its item in the manifest."""
        tars = [layer if isinstance(layer, bytes) else make_layer(layer) for layer in layers]
        data = config_of(name, tars, **(config or {}))
        paths = [f"{Digest.from_bytes(layer).hex}/layer.tar" for layer in tars]
        self.files.update(zip(paths, tars, strict=True))
        self.files[f"{name}.json"] = data
        made = {"Config": f"{name}.json", "RepoTags": [f"{name}:1"] if tags is None else tags, "Layers": paths, **item}
        self.items.append(made)
        return made

    def id(self, name):
        return str(Digest.from_bytes(self.files[f"{name}.json"]))

    def bytes(self, manifest=None):
        document = json.dumps(self.items).encode() if manifest is None else manifest
        return tar({**self.files, "manifest.json": document})


def config_of(name, tars=(), **members):
    """A configuration for Linux with these layers, and with a step of history for each."""
    diff_ids = [str(Digest.from_bytes(layer)) for layer in tars]
    history = [{**HISTORY, "comment": str(place)} for place in range(len(tars))]
    fields = {"os": "linux", "architecture": "amd64", "created": "2020-01-01T00:00:00Z", "history": history, **members}
    return make_config(name, layers=diff_ids, **{key: value for key, value in fields.items() if value is not None})


def image(**options):
    """An archive with one image, "app:1"."""
    made = Built()
    made.add("app", **options)
    return made
