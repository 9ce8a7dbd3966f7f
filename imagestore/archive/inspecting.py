"""Looking into an archive without loading it: `inspect`.

The readers of the formats do the same as for a load, and so refuse the same; but nothing is stored, of layers in a file no more is
read than their beginning, and behind an image that is refused it goes on.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO, Final, NamedTuple

from imagestore.archive import formats
from imagestore.archive.bodies import Kept, Unreadable
from imagestore.archive.limits import Limits
from imagestore.archive.platforms import Platform
from imagestore.archive.source import opened
from imagestore.archive.taking import LayerFile, check_diff_id, compression_of, measure, read_layer
from imagestore.archive.tree import Body
from imagestore.digest import ChainID, ImageID, chain_id
from imagestore.errors import (
    ArchiveLimitError,
    InvalidArchiveError,
    InvalidError,
    InvalidImageError,
    InvalidLayerError,
    InvalidReferenceError,
    LayerTooLargeError,
)
from imagestore.image import Image
from imagestore.layers import WrittenLayer
from imagestore.reference import Reference

_LIMITS: Final = Limits()
_REASONS: Final[Mapping[type[InvalidError], str]] = {
    InvalidImageError: "schema",
    InvalidLayerError: "corrupt-layer",
    InvalidReferenceError: "invalid-reference",
    LayerTooLargeError: "limit",
}


class InspectedLayer(NamedTuple):
    """A layer of an image in an archive.

    Attributes:
        name: of the file in the archive.
        diff_id: that the image's configuration says.
        size: bytes of the file; 0 where it is not there.
        compression: "gzip", "bzip2", "xz" or "zstd"; None: it is plain, or not there.
    """

    name: str
    diff_id: str
    size: int
    compression: str | None


class InspectedImage(NamedTuple):
    """An image in an archive, with the tags that a load would give it, and its layers from the lowest to the topmost."""

    image: Image
    tags: tuple[Reference, ...]
    layers: tuple[InspectedLayer, ...]


class Problem(NamedTuple):
    """What a load would refuse: one word for programs, as `imagestore.errors.InvalidArchiveError.reason`, and a sentence."""

    reason: str
    text: str


class Inspection(NamedTuple):
    """What is in an archive: the images in its order, and what is wrong with it; a load stores the images before the first problem."""

    images: tuple[InspectedImage, ...]
    problems: tuple[Problem, ...]


def inspect(
    source: BinaryIO | str | os.PathLike[str],
    *,
    platform: str | None = None,
    limits: Limits = _LIMITS,
    verify: bool = False,
) -> Inspection:
    """Look into an archive without loading it.

    Of a file that can be sought in, headers, documents and the beginnings of layers are read; of the layout before 1.10 the layers too,
    as nothing else tells the images' IDs. A pipe is read once, to its end, and layers that pass in it are verified. The memory that is
    taken is that of the documents.

    Args:
        source, platform, limits: as for `imagestore.archive.loading.load`.
        verify: read all layers, and compare their digests and diff IDs.

    Raises:
        InvalidError: no platform is written so.
        OSError: the archive cannot be read.
    """
    wanted = None if platform is None else Platform.parse(platform)
    looking = _Looking(limits, verify=verify)
    with looking.attempt(), opened(source, limits, looking.keep) as archive:
        formats.read(archive, looking, wanted)
    return Inspection(tuple(looking.images.values()), tuple(looking.problems))


class _Looking:
    """The `imagestore.archive.taking.Taker` that notes what it is handed, and each problem once."""

    def __init__(self, limits: Limits, *, verify: bool) -> None:
        self.images: dict[ImageID, InspectedImage] = {}
        self.problems: dict[Problem, None] = {}
        self._limits = limits
        self._verify = verify
        self._measured: dict[tuple[Body, str], WrittenLayer] = {}
        self._layers: dict[str, InspectedLayer] = {}
        self._there: dict[ChainID, InspectedLayer] = {}

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Note a refusal, and go on behind it."""
        try:
            yield
        except InvalidError as error:
            reason = error.reason if isinstance(error, InvalidArchiveError) else _REASONS.get(type(error))
            if reason is None:
                raise
            self.problems[Problem(reason, str(error))] = None

    def tell(self, text: str) -> None:
        """Nothing."""

    def keep(self, stream: BinaryIO, name: str, size: int) -> WrittenLayer:
        """Measure what passes in a pipe."""
        return self._measure(stream)

    def add_layers(self, image: Image, files: Iterable[LayerFile]) -> None:
        """Note an image and its layers; they are read if they are to be verified."""
        layers = []
        diff_ids = image.rootfs.diff_ids if image.rootfs else ()
        chains = [link.chain_id for link in image.stack]
        for place, (diff_id, file) in enumerate(zip(diff_ids, files, strict=True)):
            chain = chains[place] if chains else None
            if chain in self._there and isinstance(file.body, Unreadable):
                layers.append(self._there[chain])
                continue
            problems = len(self.problems)
            layers.append(self._look_at(file, diff_id))
            if chain in self._there:
                continue  # an image before has brought it, so a load does not look at it again
            if self._verify or isinstance(file.body, Kept):
                with self.attempt():
                    check_diff_id(place, diff_id, self.layer(file, diff_id))
            if chain is not None and len(self.problems) == problems:
                self._there[chain] = layers[-1]
        self.images.setdefault(image.image_id, InspectedImage(image, (), tuple(layers)))

    def layer(self, file: LayerFile, shown: str) -> WrittenLayer:
        """Read a layer, once."""
        key = file.body, file.digest
        if key not in self._measured:
            written = self._measured[key] = read_layer(file, self._measure)
            self._layers[written.diff_id] = self._look_at(file, written.diff_id)
        return self._measured[key]

    def link(self, written: WrittenLayer, parent: ChainID | None) -> ChainID:
        """The place that a layer would have."""
        return chain_id([written.diff_id] if parent is None else [parent, written.diff_id])

    def add_image(self, image: Image, tags: Iterable[Reference] = ()) -> None:
        """Note an image's tags; and one whose layers have been read, as nothing else told of them."""
        if image.image_id not in self.images:
            layers = [self._layers[diff_id] for diff_id in image.rootfs.diff_ids] if image.rootfs else []
            self.images[image.image_id] = InspectedImage(image, (), tuple(layers))
        if len(self.images) > self._limits.images:
            raise ArchiveLimitError("images", self._limits.images, "the archive has more images")
        self.add_again(image.image_id, tags)

    def add_again(self, image_id: ImageID, tags: Iterable[Reference]) -> None:
        """Note more tags."""
        self.add_tags((tag, image_id) for tag in tags)

    def add_tags(self, tags: Iterable[tuple[Reference, ImageID]]) -> None:
        """Note tags of several images."""
        for place, (tag, image_id) in enumerate(tags):
            if place == self._limits.tags:
                raise ArchiveLimitError("tags", self._limits.tags, "the archive has more tags")
            found = self.images[image_id]
            self.images[image_id] = found._replace(tags=(*found.tags, tag))

    def get(self, image_id: ImageID) -> Image:
        """An image that was noted."""
        return self.images[image_id].image

    def set_parent(self, image_id: ImageID, parent: ImageID) -> None:
        """Nothing."""

    def _look_at(self, file: LayerFile, diff_id: str) -> InspectedLayer:
        kind = None
        with self.attempt():
            kind = compression_of(file.body)
        return InspectedLayer(file.name, diff_id, file.body.size, kind)

    def _measure(self, stream: BinaryIO) -> WrittenLayer:
        return measure(stream, self._limits)
