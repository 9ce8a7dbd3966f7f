"""What ``docker images`` and ``docker history`` tell of images beside their configurations: their names, and the sizes of their layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from imagestore.batches import batched
from imagestore.digest import ImageID
from imagestore.errors import InvalidReferenceError
from imagestore.image import Image
from imagestore.reference import Reference
from imagestore.sql import images, references, sizes
from imagestore.sql.references import Association
from imagestore.store import Store

T = TypeVar("T")

_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class ImageSummary:
    """An image in a listing.

    Attributes:
        image: its bytes are verified, and parsed when a field is first touched.
        names: its references in order; of a listing by pattern, those that match.
        size: bytes of the files in all of its layers, as docker counts them; None while nobody has told that of each.

    Source: moby's ``types.ImageSummary``.
    """

    image: Image
    names: tuple[Reference, ...]
    size: int | None

    @property
    def tags(self) -> list[Reference]:
        """The names with a tag."""
        return [name for name in self.names if name.digest is None]

    @property
    def digests(self) -> list[Reference]:
        """The names with a digest."""
        return [name for name in self.names if name.digest is not None]


def summaries(store: Store, pattern: str | None = None, *, everything: bool = False) -> Iterator[ImageSummary]:
    """The images that docker lists, in no order, in constant memory. A few queries for each thousand.

    Args:
        store: best a snapshot of `Store.reading`.
        pattern: only images with a name that it matches, see `Reference.familiar_match`; where it is no more than a name, nothing else
            is looked at.
        everything: also images without a name that others are built on.

    Raises:
        InvalidReferenceError: the pattern is malformed.

    Source: moby's ``ImageService.Images``.
    """
    if pattern is not None:
        yield from _matching(store, pattern)
        return
    for page in batched(store.stream(), _PAGE):
        parents = set() if everything else store.bind.read(images.find_parents, [image.image_id for image in page])
        for each in summaries_of(store, page):
            if each.names or each.image.image_id not in parents:
                yield each


def summaries_of(store: Store, page: Sequence[Image]) -> list[ImageSummary]:
    """The summaries of images, in their order. Two queries for every thousand."""
    image_ids = [image.image_id for image in page]
    names = store.bind.read(references.of_images, image_ids)
    known = store.bind.read(sizes.of_images, image_ids)
    return [ImageSummary(image, tuple(names.get(image.image_id, ())), known.get(image.image_id, 0)) for image in page]


def layer_sizes(store: Store, image: Image) -> list[int | None]:
    """The size of each layer of an image, the lowest first; None where nobody has told. One query."""
    chains = [link.chain_id for link in image.stack]
    known = store.bind.read(sizes.of_layers, chains)
    return [known.get(chain) for chain in chains]


def _matching(store: Store, pattern: str) -> Iterator[ImageSummary]:
    names: dict[ImageID, list[Reference]] = {}
    for reference, image_id in _candidates(store, pattern):
        if reference.familiar_match(pattern):
            names.setdefault(image_id, []).append(reference)
    for page in batched(names, _PAGE):
        for each in summaries_of(store, list(store.get_many(page).values())):
            yield ImageSummary(each.image, tuple(names[each.image.image_id]), each.size)


def _candidates(store: Store, pattern: str) -> Iterable[Association]:
    """All names that a pattern may match: where nothing in it stands for anything else, those of one repository."""
    if not set(pattern) & set("*?[\\"):
        try:
            return store.references.references_by_name(pattern)
        except InvalidReferenceError:
            return ()
    return store.references.stream()
