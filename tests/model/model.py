"""moby's rules as operations on dicts, with the differences that docs/from-go.md names: the truth of test_store_model.py.

The facts are ``blobs`` and ``metadata``. ``edges`` says who is whose parent, and is kept by one rule: an image has an edge exactly if its
metadata names an image that is there, and the edge closes no cycle among the edges that are there.
"""

from __future__ import annotations

import functools

from imagestore.digest import Digest, ImageID
from imagestore.errors import (
    AmbiguousIDError,
    BlobNotFoundError,
    ImageNotFoundError,
    InvalidImageError,
    MetadataNotFoundError,
    ParentCycleError,
    ParentNotFoundError,
    ReferenceConflictError,
    ReferenceNotFoundError,
)
from imagestore.gojson import GoTime
from imagestore.image import Image
from tests.model.holdings import Holdings


@functools.cache
def is_image(data):
    try:
        Image.from_json(data)
    except InvalidImageError:
        return False
    return True


@functools.cache
def stack_of(data):
    return Image.from_json(data).stack


class Model:
    """A store and the backend under it.

    Args:
        known: the IDs of all images that may ever come.
        has_content: whether the store has a place for content.

    Attributes:
        references: by their full names, the images.
        holdings: the layers.
    """

    def __init__(self, known, *, has_content=False):
        self._known = known
        self.blobs = {}
        self.metadata = {}
        self.edges = {}
        self.references = {}
        self.holdings = Holdings(has_content=has_content)

    def snapshot(self):
        other = Model(self._known)
        other.blobs, other.edges, other.references = dict(self.blobs), dict(self.edges), dict(self.references)
        other.metadata = {digest: dict(values) for digest, values in self.metadata.items()}
        other.holdings = self.holdings.copy()
        return other

    # What a store answers

    def images(self):
        return [ImageID.from_digest(digest) for digest, data in sorted(self.blobs.items()) if is_image(data)]

    def heads(self):
        return [image_id for image_id in self.images() if image_id not in self.edges.values()]

    def get(self, image_id):
        return self._there(image_id), self.blobs[image_id], self.get_parent(image_id)

    def get_parent(self, image_id):
        value = self.metadata[self._there(image_id)].get("parent")
        return None if value is None else value.decode("utf-8", "surrogateescape")

    def children(self, image_id):
        return sorted(child for child, parent in self.edges.items() if parent == image_id)

    def ancestors(self, image_id):
        found = []
        while (image_id := self.edges.get(self._there(image_id))) is not None:
            found.append(image_id)
        return found

    def descendants(self, image_id):
        generation, found = [self._there(image_id)], []
        while generation := sorted(child for parent in generation for child in self.children(parent)):
            found += generation
        return found

    def awaited(self):
        named = {values["parent"] for values in self.metadata.values() if "parent" in values}
        return sorted(image_id for image_id in self._known if image_id.encode() in named and image_id not in self.blobs)

    def kept_from_closing_a_cycle(self):
        images = self.images()
        return [one for one in images if one not in self.edges and self.get_parent(one) in images]

    def search(self, term):
        algorithm, colon, digits = term.rpartition(":")
        if (algorithm, colon) in (("", ""), ("sha256", ":")) and (digits or not colon):
            found = [image_id for image_id in self.images() if image_id.hex.startswith(digits)]
            if len(found) == 1:
                return found[0]
            if found:
                raise AmbiguousIDError(term, found[:10])
        raise ImageNotFoundError(term)

    def time(self, image_id, key):
        value = self.metadata.get(image_id, {}).get(key) if image_id in self.images() else None
        return str(GoTime.parse(value.decode("utf-8", "replace"))) if value else None

    def is_built_locally(self, image_id):
        return image_id in self.images() and self.metadata[image_id].get("builtLocally", b"")[:1] == b"\1"

    # What a store does

    def create(self, data):
        return self.create_many([data])[0]

    def create_many(self, configs):
        if not all(map(is_image, configs)):
            raise InvalidImageError
        for config in configs:
            if Digest.from_bytes(config) not in self.blobs:
                self.holdings.require(stack_of(config))
        return [ImageID.from_digest(self.set(config)) for config in configs]

    def delete(self, image_id):
        for child in self.children(self._there(image_id)):
            del self.metadata[child]["parent"]
        return self._remove(image_id, with_files=True)

    def set_parent(self, image_id, parent):
        self._there(image_id)
        if parent == image_id:
            raise ParentCycleError(image_id, parent)
        if parent not in self.images():
            raise ParentNotFoundError(parent)
        if image_id in self.ancestors(parent):
            raise ParentCycleError(image_id, parent)
        self.set_metadata(image_id, "parent", parent.encode())

    def note(self, image_id, key, value):
        self.metadata[self._there(image_id)][key] = value

    # Names, which are given in full

    def add_reference(self, name, image_id, *, force):
        if name in self.references and not (force and "@" not in name):
            raise ReferenceConflictError(name, self.references[name])
        self.references[name] = self._there(image_id)

    def delete_reference(self, name):
        return self.references.pop(name, None) is not None

    def get_reference(self, name):
        if name not in self.references:
            raise ReferenceNotFoundError(name)
        return self.references[name]

    def names(self, image_id):
        return sorted(name for name, named in self.references.items() if named == image_id)

    def of_repository(self, name):
        return {
            other: image_id for other, image_id in self.references.items() if _repository(other) == _repository(name)
        }

    # What a backend does

    def set(self, data):
        digest = Digest.from_bytes(data)
        if digest not in self.blobs and is_image(data):
            self.holdings.hold(digest, stack_of(data))
        self.blobs[digest] = data
        self.metadata.setdefault(digest, {})
        self._settle()
        return digest

    def delete_blob(self, digest):
        if digest not in self.blobs:
            raise BlobNotFoundError(digest)
        self._remove(digest, with_files=False)

    def get_metadata(self, digest, key):
        if digest not in self.blobs:
            raise BlobNotFoundError(digest)
        if key not in self.metadata[digest]:
            raise MetadataNotFoundError(digest, key)
        return self.metadata[digest][key]

    def set_metadata(self, digest, key, value):
        if digest not in self.blobs:
            raise BlobNotFoundError(digest)
        self.metadata[digest][key] = value
        if key == "parent":
            self.edges.pop(digest, None)
            self._settle(first=digest)

    def delete_metadata(self, digest, key):
        if digest in self.blobs and self.metadata[digest].pop(key, None) is not None and key == "parent":
            self.edges.pop(digest, None)
            self._settle()

    # Who is whose parent

    def _settle(self, first=None):
        """Make every edge that can be made, the one of ``first`` before all others."""
        images = self.images()
        for image_id in [*([first] if first in images else []), *images]:
            parent = self.metadata[image_id].get("parent", b"").decode("utf-8", "replace")
            if image_id not in self.edges and parent in images and image_id not in (parent, *self.ancestors(parent)):
                self.edges[image_id] = ImageID(parent)

    def _remove(self, digest, *, with_files):
        del self.blobs[digest], self.metadata[digest]
        self.edges.pop(digest, None)
        self.edges = {child: parent for child, parent in self.edges.items() if parent != digest}
        self.references = {name: image_id for name, image_id in self.references.items() if image_id != digest}
        self._settle()
        return self.holdings.let_go(digest, with_files=with_files)

    def _there(self, image_id):
        if image_id not in self.blobs or not is_image(self.blobs[image_id]):
            raise ImageNotFoundError(image_id)
        return image_id


def _repository(name):
    before, at, _ = name.partition("@")
    return before if at else before.rpartition(":")[0]
