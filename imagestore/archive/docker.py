"""What is in docker's archives: the images of a manifest.json, and those of the layout before 1.10.

Everything is checked in the daemon's order, and said in its words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from hashlib import sha256
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from imagestore import v1
from imagestore.archive.limits import Limits
from imagestore.archive.source import Archive
from imagestore.archive.taking import LayerFile, Taker, check_os
from imagestore.archive.tree import Body
from imagestore.digest import ImageID
from imagestore.errors import ArchiveLimitError, InvalidArchiveError, InvalidImageError, InvalidReferenceError
from imagestore.gojson import (
    TEXT,
    TEXT_MAP,
    Field,
    Map,
    Slice,
    Struct,
    Text,
    decode_in_words,
    draft_in_words,
    encode,
    quoted,
    shortened,
)
from imagestore.gojson.kinds import Kind
from imagestore.image import HISTORY, IMAGE, V1_IMAGE, Image, RootFS
from imagestore.reference import Reference
from imagestore.references import check_tag

_T = TypeVar("_T")

MANIFEST: Final = "manifest.json"
REPOSITORIES: Final = "repositories"


class ManifestItem(msgspec.Struct, frozen=True, kw_only=True):
    """An image in a manifest.json: where its configuration and its layers are, its tags, and the image that it was made from.

    Source: moby's ``tarexport.manifestItem``.
    """

    config: str = ""
    repo_tags: tuple[str, ...] | None = None
    layers: tuple[str, ...] | None = None
    parent: str = ""
    sources: Mapping[str, object] | None = None  # of layers for Windows: only looked at as Go does, by type


_SOURCE: Final = Struct(dict, go="distribution.Descriptor")
MANIFEST_ITEMS: Final = Slice(
    Struct(
        ManifestItem,
        Field("config", "Config", TEXT),
        Field("repo_tags", "RepoTags", Slice(TEXT)),
        Field("layers", "Layers", Slice(TEXT)),
        Field("parent", "Parent", Text(go="image.ID"), omitempty=True),
        Field("sources", "LayerSources", Map(_SOURCE, go="map[layer.DiffID]distribution.Descriptor"), omitempty=True),
        go="tarexport.manifestItem",
    )
)


class _V1(msgspec.Struct, frozen=True):
    os: str = ""
    parent: str = ""


_V1_IMAGE: Final = Struct(
    _V1,
    Field("os", "OS", TEXT),
    Field("parent", "Parent", TEXT),
    go="struct { OS string; Parent string }",
)
_REPOSITORIES: Final = Map(TEXT_MAP)
_STEPS: Final = Slice(HISTORY)


def read(archive: Archive, taker: Taker) -> None:
    """Hand on the images of a manifest.json.

    Raises:
        InvalidArchiveError: an image cannot be loaded; those before it stay, without parents.

    Source: moby's ``tarexport.Load``.
    """
    items: tuple[ManifestItem, ...] = _decoded(MANIFEST_ITEMS, archive.read(MANIFEST), first=True) or ()
    _check_limits(items, archive.limits)
    loaded: dict[Body, _Loaded] = {}
    links: dict[tuple[ImageID, str], None] = {}
    ids: list[ImageID] = []
    for item in items:
        with taker.attempt():
            body = archive.file(item.config)
            if body in loaded:
                _add_again(archive, taker, item, loaded[body])
            else:
                loaded[body] = _add(archive, taker, item)
            ids.append(loaded[body].id)
            links[ids[-1], item.parent] = None
    _link(taker, links, {each.id: each for each in loaded.values()})
    if not (items and items[-1].repo_tags):
        taker.tell("".join(f"Loaded image ID: {each}\n" for each in ids))


def read_legacy(archive: Archive, taker: Taker) -> None:
    """Hand on the images of the layout before 1.10: a folder each, and the file "repositories".

    Raises:
        InvalidArchiveError: an image cannot be loaded, or a name is none; what came before stays.

    Source: moby's ``tarexport.legacyLoad``.
    """
    legacy = _Legacy(archive, taker)
    for folder in archive.tree.folders():
        with taker.attempt():
            legacy.read(folder)
    repositories = _decoded(_REPOSITORIES, archive.read(REPOSITORIES), first=True) or {}
    taker.add_tags(_named(repositories, legacy.loaded))


class _Loaded(NamedTuple):
    """What is kept of an image until its parent is set: digests of its history with its last step and without it."""

    id: ImageID
    layers: int
    steps: int
    history: bytes
    history_before: bytes


def _check_limits(items: tuple[ManifestItem, ...], limits: Limits) -> None:
    if len(items) > limits.images:
        raise ArchiveLimitError("images", limits.images, f"{MANIFEST} names {len(items)} images")
    layers = max((len(item.layers or ()) for item in items), default=0)
    if layers > limits.layers:
        raise ArchiveLimitError("layers", limits.layers, f"an image of {MANIFEST} has {layers} layers")


def _add(archive: Archive, taker: Taker, item: ManifestItem) -> _Loaded:
    image = _worded(Image.from_json, IMAGE, archive.read(item.config))
    check_os(image.os)
    diff_ids = (image.rootfs.diff_ids if image.rootfs else None) or ()
    _check_layers(item, len(diff_ids))
    taker.add_layers(image, _layer_files(archive, item))
    image.check_history()
    taker.add_image(image, _tags(item))
    steps = image.history
    digests = (sha256(encode(_STEPS, each)).digest() for each in (steps, steps[:-1]))
    return _Loaded(image.image_id, len(diff_ids), len(steps), *digests)


def _add_again(archive: Archive, taker: Taker, item: ManifestItem, known: _Loaded) -> None:
    """Give an image that this load has added the tags that it has in another place, and read nothing again."""
    _check_layers(item, known.layers)
    for _ in _layer_files(archive, item):
        pass
    taker.add_again(known.id, _tags(item))


def _check_layers(item: ManifestItem, actual: int) -> None:
    expected = len(item.layers or ())
    if expected != actual:
        raise InvalidArchiveError(
            "layer-count", f"invalid manifest, layers length mismatch: expected {expected}, got {actual}"
        )


def _layer_files(archive: Archive, item: ManifestItem) -> Iterator[LayerFile]:
    """The layers of an image, each looked up in its turn; of one that is not there, who reads it is told."""
    for path in item.layers or ():
        yield LayerFile(archive.named(path), path)


def _tags(item: ManifestItem) -> Iterator[Reference]:
    for text in item.repo_tags or ():
        reference = _parsed(text)
        if reference.tag is None:
            raise InvalidArchiveError("invalid-reference", f"invalid tag {quoted(text)}")
        yield _tag(reference)


def _parsed(text: str) -> Reference:
    try:
        return Reference.parse(text)
    except InvalidReferenceError as error:
        raise InvalidArchiveError("invalid-reference", error.reason) from error


def _tag(reference: Reference) -> Reference:
    """A tag that can be given; of one that cannot, the daemon says that it has given it."""
    try:
        return check_tag(reference)
    except InvalidReferenceError as error:
        raise InvalidArchiveError("invalid-reference", f"{reference.familiar}: {error.reason}") from error


def _link(taker: Taker, links: Mapping[tuple[ImageID, str], None], loaded: Mapping[str, _Loaded]) -> None:
    """Set the parents that are in the archive too (moby's ``validatedParentLinks``, ``checkValidParent``)."""
    for image_id, parent_id in links:
        parent = loaded.get(parent_id)
        if parent is None or parent_id == image_id:
            continue
        image = loaded[image_id]
        is_next = image.steps == parent.steps + 1 and image.history_before == parent.history
        if not is_next and (image.steps or parent.steps):
            raise InvalidArchiveError("parent", f"image {parent_id} is not a valid parent for {image_id}")
        taker.set_parent(image_id, parent.id)


class _Legacy:
    """The images of the layout before 1.10.

    Attributes:
        loaded: what their IDs are now, by those that they had.
    """

    def __init__(self, archive: Archive, taker: Taker) -> None:
        self.loaded: dict[str, ImageID] = {}
        self._archive = archive
        self._taker = taker
        self._made = 0  # bytes of all configurations, each of which repeats those of its ancestors

    def read(self, folder: str) -> None:
        """Hand on the image in a folder, and before it those that it was made from (moby's ``legacyLoadImage``)."""
        limit = self._archive.limits.layers
        pending = {folder: None}  # each was made from the next
        while pending:
            old_id = next(reversed(pending))
            if old_id in self.loaded:
                del pending[old_id]
                continue
            document = self._archive.read(f"{old_id}/json")
            image: _V1 = _decoded(_V1_IMAGE, document)
            check_os(image.os)
            if image.parent in pending:
                raise InvalidArchiveError("schema", f"image {shortened(image.parent)} is its own ancestor")
            if not image.parent or image.parent in self.loaded:
                self.loaded[old_id] = self._add(old_id, document, self.loaded.get(image.parent))
                continue
            if len(pending) == limit:
                raise ArchiveLimitError("layers", limit, f"image {folder} has more layers")
            pending[image.parent] = None

    def _add(self, old_id: str, document: bytes, parent_id: ImageID | None) -> ImageID:
        parent = None if parent_id is None else self._taker.get(parent_id)
        rootfs = (parent.rootfs if parent else None) or RootFS()
        path = f"{old_id}/layer.tar"
        written = self._taker.layer(LayerFile(self._archive.file(path), path), old_id)
        self._taker.link(written, rootfs.chain_id or None)
        step = _worded(partial(v1.history_from_config, empty_layer=False), V1_IMAGE, document)
        history = (*(parent.history if parent else ()), step)
        config = v1.make_config_from_v1_config(document, rootfs.append(written.diff_id), history)
        self._check_size(old_id, len(config))
        image = _worded(Image.from_json, IMAGE, config)
        image.check_history()
        self._taker.add_image(image)
        if parent is not None:
            self._taker.set_parent(image.image_id, parent.image_id)
        return image.image_id

    def _check_size(self, old_id: str, size: int) -> None:
        limits = self._archive.limits
        self._made += size
        what = f"image {shortened(old_id)}, with the history of its ancestors,"
        if size > limits.document:
            raise ArchiveLimitError("document", limits.document, f"{what} has {size} bytes")
        if self._made > limits.documents:
            raise ArchiveLimitError(
                "documents", limits.documents, f"{what} and those before it have {self._made} bytes"
            )


def _named(
    repositories: Mapping[str, Mapping[str, str] | None], loaded: Mapping[str, ImageID]
) -> Iterator[tuple[Reference, ImageID]]:
    """The tags of a file "repositories", in the order of their names; in docker's they come in any order."""
    for name, tags in sorted(repositories.items()):
        for tag, old_id in sorted((tags or {}).items()):
            if old_id not in loaded:
                raise InvalidArchiveError("missing-blob", f"invalid target ID: {shortened(old_id)}")
            try:
                reference = _parsed(name).with_tag(tag)
            except InvalidReferenceError as error:
                raise InvalidArchiveError("invalid-reference", error.reason) from error
            yield _tag(reference), loaded[old_id]


def _worded(read: Callable[[bytes], _T], kind: Kind, document: bytes) -> _T:
    """What is stored of a document. Who reads it for that says the place of what is wrong; the daemon's words take another reading."""
    try:
        return read(document)
    except InvalidImageError:
        draft_in_words(kind, document)
        raise


def _decoded(kind: Kind, document: bytes, *, first: bool = False) -> Any:
    try:
        return decode_in_words(kind, document, first=first)
    except InvalidImageError as error:
        raise InvalidArchiveError("schema", str(error)) from error
