"""What is in an OCI image layout: the images that index.json leads to.

Entries of one name are alternatives, one for each platform, and lie in index.json itself or in indexes below it; one is taken of each
name. What is no image, an attestation or a signature, is passed over. Only what is taken is looked into, so what the layout has for
other platforms need not be there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from imagestore.archive.descriptors import (
    CONFIGS,
    INDEXES,
    NAME,
    REF_NAME,
    Descriptor,
    blob_path,
    check_layout,
    find_blob,
    read_blob,
    read_index,
    read_manifest,
)
from imagestore.archive.platforms import DEFAULT, Platform
from imagestore.archive.source import Archive
from imagestore.archive.taking import LayerFile, Taker, check_os
from imagestore.errors import ArchiveLimitError, InvalidArchiveError, InvalidImageError, InvalidReferenceError
from imagestore.gojson import quoted
from imagestore.image import Image
from imagestore.reference import Reference


def read(archive: Archive, taker: Taker, wanted: Platform | None = None) -> None:
    """Hand on the images of a layout. Whatever its documents say is checked before the first layer is read.

    Args:
        archive: the layout.
        taker: what takes the images.
        wanted: the platform of the images; None: linux/amd64 where there is a choice.

    Raises:
        InvalidArchiveError: the layout or an image in it cannot be loaded; those before one with a bad layer stay.
        ArchiveLimitError: it has more than a limit allows.

    Source: the OCI image-spec, image-layout.md and image-index.md; containerd's importer.
    """
    check_layout(archive)
    layout = _Layout(archive, wanted)
    chosen = layout.choose()
    for manifest, _ in chosen:
        with taker.attempt():
            layout.read_image(manifest)
    for manifest, tags in chosen:
        with taker.attempt():
            image, files = layout.read_image(manifest)
            taker.add_layers(image, files)
            taker.add_image(image, tags)
            if not tags:
                taker.tell(f"Loaded image ID: {image.id}\n")


class _Found(NamedTuple):
    """What entries lead to: the first image for the platform; else the first image at all, and whether there is another one."""

    match: Descriptor | None = None
    other: Descriptor | None = None
    has_more: bool = False


class _Group(NamedTuple):
    """Entries of index.json that are alternatives, and the tag that their name gives."""

    name: str
    tag: Reference | None
    entries: list[Descriptor]


class _Layout:
    """The images of an archive for a platform.

    An index is read once. Manifests and configurations are read to choose, to check and to load: of all images together they may be
    more than is to be in memory at once.
    """

    def __init__(self, archive: Archive, wanted: Platform | None) -> None:
        self._archive = archive
        self._limits = archive.limits
        self._wanted = wanted
        self._platform = wanted or DEFAULT
        self._indexes: dict[tuple[str, str], _Found] = {}
        self._platforms: dict[tuple[str, str], Platform | None] = {}

    def choose(self) -> list[tuple[Descriptor, list[Reference]]]:
        """The manifests that are taken, with the tags that they give."""
        entries = read_index(self._archive)
        chosen: dict[str, tuple[Descriptor, list[Reference]]] = {}
        for group in _groups([entry for entry in entries if self._may_be_image(entry)]):
            manifest = self._choose_from(group)
            if manifest is not None:
                _, tags = chosen.setdefault(manifest.digest, (manifest, []))
                tags += [] if group.tag is None else [group.tag]
        if entries and not chosen:
            kinds = ", ".join(sorted({quoted(entry.media_type) for entry in entries})[:5])
            raise InvalidArchiveError(
                "unsupported-media-type",
                f"index.json leads to no image, but to artifacts or attestations alone: {kinds}",
            )
        if len(chosen) > self._limits.images:
            raise ArchiveLimitError("images", self._limits.images, f"index.json names {len(chosen)} images")
        return list(chosen.values())

    def read_image(self, descriptor: Descriptor) -> tuple[Image, list[LayerFile]]:
        """The image of a manifest, and where its layers are; all is checked but the bytes of these."""
        of = f"of the manifest {descriptor.shown_digest}"
        config, layers = read_manifest(self._archive, descriptor)
        if not _is_image(config, layers):
            raise InvalidArchiveError(
                "unsupported-media-type",
                f"the config {quoted(config.media_type)} {of} is no image's: there is nothing to load",
            )
        if len(layers) > self._limits.layers:
            raise ArchiveLimitError("layers", self._limits.layers, f"the image {of} has {len(layers)} layers")
        image = self._read_config(config, of)
        _check(image, of)
        diff_ids = (image.rootfs.diff_ids if image.rootfs else ()) or ()
        if len(diff_ids) != len(layers):
            raise InvalidArchiveError(
                "layer-count",
                f"the configuration {of} has {len(diff_ids)} diff IDs, and the manifest {len(layers)} layers",
            )
        return image, [self._find_layer(layer, place, of) for place, layer in enumerate(layers)]

    def _may_be_image(self, entry: Descriptor) -> bool:
        """Whether an entry of index.json may lead to an image; one without a name and a platform is looked into for that."""
        says_more = entry.media_type in INDEXES or entry.platform is not None or _name(entry)
        return entry.may_be_image and (bool(says_more) or self._platform_of(entry) is not None)

    def _choose_from(self, group: _Group) -> Descriptor | None:
        """The first image of a group for the platform; the only one for another, if none was asked for; None: it has no image."""
        found = self._search(group.entries, 0)
        if found.match is not None or found.other is None:
            return found.match
        if self._wanted is None and not found.has_more:
            return found.other if self._platform_of(found.other) is not None else None
        raise InvalidArchiveError(
            "platform",
            f"there is no image for {self._platform} of {quoted(group.name) if group.name else 'the archive'}: "
            "ask for a platform that there is",
        )

    def _search(self, entries: Iterable[Descriptor], depth: int) -> _Found:
        other: Descriptor | None = None
        has_more = False
        for entry in entries:
            found = self._look_at(entry, depth)
            if found.match is not None:
                return found
            if found.other is not None:
                has_more |= found.has_more or (other is not None and other.digest != found.other.digest)
                other = other or found.other
        return _Found(None, other, has_more)

    def _look_at(self, entry: Descriptor, depth: int) -> _Found:
        if not entry.may_be_image:
            return _Found()
        if entry.media_type in INDEXES:
            return self._look_into(entry, depth + 1)
        stated = entry.platform
        if stated is not None and stated != self._platform:
            return _Found(other=entry)
        found = self._platform_of(entry)
        if found is None:
            return _Found()
        return _Found(match=entry) if self._platform in (stated, found) else _Found(other=entry)

    def _look_into(self, entry: Descriptor, depth: int) -> _Found:
        """What is in an index, which is read once, however often it is named."""
        find_blob(self._archive, entry, f"the index {entry.shown_digest}")
        key = (entry.media_type, entry.digest)
        if key not in self._indexes:
            if depth > self._limits.depth:
                raise ArchiveLimitError(
                    "depth",
                    self._limits.depth,
                    f"the index {entry.digest} lies below {depth - 1} others",
                    reason="too-deep",
                )
            self._indexes[key] = self._search(read_index(self._archive, entry), depth)
        return self._indexes[key]

    def _platform_of(self, entry: Descriptor) -> Platform | None:
        """The platform of a manifest's image by its configuration; None where it is that of something else."""
        find_blob(self._archive, entry, f"the manifest {entry.shown_digest}")
        key = (entry.media_type, entry.digest)
        if key not in self._platforms:
            config, layers = read_manifest(self._archive, entry)
            self._platforms[key] = None
            if _is_image(config, layers):
                image = self._read_config(config, f"of the manifest {entry.shown_digest}")
                self._platforms[key] = Platform.of(image.operating_system, image.base_img_arch, image.variant)
        return self._platforms[key]

    def _read_config(self, config: Descriptor, of: str) -> Image:
        subject = f"the configuration {config.shown_digest} {of}"
        data = read_blob(self._archive, config, subject)
        try:
            return Image.from_json(data)
        except InvalidImageError as error:
            raise InvalidArchiveError("schema", f"{subject} cannot be read: {error}") from error

    def _find_layer(self, layer: Descriptor, place: int, of: str) -> LayerFile:
        subject = f"layer {place} {of}, {layer.shown_digest},"
        if not layer.is_layer:
            raise InvalidArchiveError(
                "unsupported-media-type",
                f"{subject} has the media type {quoted(layer.media_type)}, which is no layer's",
            )
        body = find_blob(self._archive, layer, subject)
        return LayerFile(body, blob_path(layer), layer.digest)


def _check(image: Image, of: str) -> None:
    """What docker checks of an image's configuration."""
    check_os(image.os, f" (the configuration {of} says so)")
    try:
        image.check_history()
    except InvalidImageError as error:
        raise InvalidArchiveError("layer-count", f"the configuration {of} has {error}") from error


def _groups(entries: Sequence[Descriptor]) -> Iterable[_Group]:
    """The entries by their names. Those without one are images of their own, unless each is for a platform of its own."""
    nameless = [entry for entry in entries if not _name(entry)]
    platforms = {entry.platform for entry in nameless} - {None}
    are_alternatives = len(platforms) == len(nameless)
    groups: dict[str | int, _Group] = {}
    for place, entry in enumerate(entries):
        name = _name(entry)
        tag = _tag(entry)
        key = str(tag or name) or (-1 if are_alternatives else place)
        groups.setdefault(key, _Group(name, tag, [])).entries.append(entry)
    return groups.values()


def _name(entry: Descriptor) -> str:
    """What an entry of index.json is called: containerd's full reference, or else what the image-spec leaves open."""
    annotations = entry.annotations or {}
    return annotations.get(NAME) or annotations.get(REF_NAME) or ""


def _tag(entry: Descriptor) -> Reference | None:
    """The tag that its name gives. A bare word is a tag without a repository, and a name with a digest alone has none."""
    annotations = entry.annotations or {}
    name = _name(entry)
    if not annotations.get(NAME) and "/" not in name and ":" not in name:
        return None
    try:
        reference = Reference.parse(name).tagged
    except InvalidReferenceError as error:
        raise InvalidArchiveError(
            "invalid-reference", f"index.json has a name that gives no tag, for {entry.shown_digest}: {error}"
        ) from error
    return None if reference.tag is None else replace(reference, digest=None)


def _is_image(config: Descriptor, layers: Sequence[Descriptor]) -> bool:
    """Whether a manifest is an image's: signatures have a configuration of the same type, and layers of none that is known."""
    return config.media_type in CONFIGS and (not layers or any(layer.is_layer for layer in layers))
