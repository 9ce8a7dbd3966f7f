"""OCI image layouts in memory, to be spoilt in one place at a time."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from imagestore.digest import Digest
from imagestore.testing.makers import make_config, make_layer
from tests.archives.built import tar

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
NAME = "org.opencontainers.image.ref.name"
FULL_NAME = "io.containerd.image.name"


class Layout:
    """An image layout.

    Attributes:
        files: what is in it, by path.
        index: index.json.
    """

    def __init__(self):
        self.files: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
        self.index: dict[str, Any] = {"schemaVersion": 2, "manifests": []}

    def blob(self, media_type, data, *, algorithm="sha256", **members):
        """Add a blob, of bytes or of what JSON can have, and return its descriptor."""
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        digits = hashlib.new(algorithm, data).hexdigest()
        self.files[f"blobs/{algorithm}/{digits}"] = data
        return {"mediaType": media_type, "digest": f"{algorithm}:{digits}", "size": len(data), **members}

    def manifest(self, config, layers, **members):
        return self.blob(MANIFEST, {"schemaVersion": 2, "config": config, "layers": layers}, **members)

    def image(self, name="image", *, layers=("layer",), media_type=LAYER, pack=bytes, config=None, **members):
        """Add the blobs of an image, and return the descriptor of its manifest."""
        tars = [layer if isinstance(layer, bytes) else make_layer(layer) for layer in layers]
        diff_ids = [str(Digest.from_bytes(each)) for each in tars]
        data = make_config(name, layers=diff_ids, **{"os": "linux", "architecture": "amd64", **(config or {})})
        return self.manifest(self.blob(CONFIG, data), [self.blob(media_type, pack(each)) for each in tars], **members)

    def nested(self, *entries, **members):
        return self.blob(INDEX, {"schemaVersion": 2, "manifests": entries}, **members)

    def add(self, *entries):
        self.index["manifests"] += entries
        return self

    def remove(self, descriptor):
        del self.files[path(descriptor)]

    def all_files(self):
        return {**self.files, "index.json": json.dumps(self.index).encode()}

    def tar(self):
        return tar(self.all_files())

    def write(self, folder):
        for name, data in self.all_files().items():
            file = Path(folder, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        return folder


def path(descriptor):
    return "blobs/" + descriptor["digest"].replace(":", "/")


def named(name):
    return {"annotations": {NAME: name}}


def on(platform):
    """A platform as descriptors have it."""
    return {"platform": dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))}
