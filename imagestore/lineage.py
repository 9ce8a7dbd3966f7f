"""Lineage: `Store.lineage`, what is built on what, by recorded parents and by layers."""

from __future__ import annotations

from collections.abc import Iterable

from imagestore.arguments import check_limit
from imagestore.bind import Bind
from imagestore.digest import ImageID
from imagestore.errors import UnusableBindError
from imagestore.layer import StoredLayer
from imagestore.sql import lineage, sharing, trie
from imagestore.sql.sharing import Sizes, Totals
from imagestore.sql.trie import Base, Derived


class Lineage:
    """What is built on what: `Store.lineage`.

    A child that was built here has a recorded parent: `ancestors` and `descendants` follow it. Most images that were pulled or loaded have
    none, but all that are built on the same image begin with its layers, wherever that was done: the others ask the trie of layers. In no
    trie is an image without layers, or with a diff ID that is no sha256 digest; it has no bases, and nothing is derived from it.

    An ID is an `ImageID` or its text; of one that names no image every method raises `ImageNotFoundError`.
    """

    def __init__(self, bind: Bind, *, has_layers: bool = True) -> None:
        self._bind = bind
        self._has_layers = has_layers

    def ancestors(self, image_id: str) -> list[ImageID]:
        """The parent, its parent and so on, nearest first. One query, of the depth of the ancestry."""
        return self._bind.read(lineage.ancestors, ImageID(image_id))

    def descendants(self, image_id: str) -> list[ImageID]:
        """The children, their children and so on, breadth first, each generation in order. One query; costs what it returns."""
        return self._bind.read(lineage.descendants, ImageID(image_id))

    def bases(self, image_id: str, after: Base | None = None, limit: int = 100) -> list[Base]:
        """The other images that this one is built on: all of their layers are the lowest of its own.

        One that has the very same layers is among them, and this one is among its: which was built on which, layers do not tell.

        One query; costs what it returns, and the number of the image's layers.

        Args:
            image_id: the image.
            after: the base that the page follows; it need not exist any more.
            limit: how many at most.

        Returns:
            The nearest first: that with the most layers; of several in the order of their IDs.
        """
        return self._trie.read(trie.bases, ImageID(image_id), after, check_limit(limit))

    def derived(self, image_id: str, after: Derived | None = None, limit: int = 100) -> list[Derived]:
        """The other images that are built on this one: their lowest layers are all of its own, and each has this one among its `bases`.

        One query, which reads the layers of the images that it returns, however many there are. What comes or goes between two pages
        may or may not be in them; of all else, nothing is left out or comes twice.

        Args:
            image_id: the image.
            after: the last image of the page before; it need not exist any more.
            limit: how many at most.

        Returns:
            In the order in which the trie is walked: an image before those that are built on it, else by chain IDs, and then by ID. With
            each when it was last touched.
        """
        return self._trie.read(trie.derived, ImageID(image_id), after, check_limit(limit))

    def layers(self, image_id: str) -> list[StoredLayer]:
        """The layers of an image, the lowest first. One query, of their number."""
        return self._trie.read(trie.stack, ImageID(image_id))

    def shared_layers(self, image_id: str, other: str) -> list[StoredLayer]:
        """The layers that two images both have, the lowest first. One query, of the number of their layers.

        These are the stacks that both begin with. A tar that they have on top of different stacks is not among them.
        """
        return self._trie.read(trie.shared_layers, ImageID(image_id), ImageID(other))

    def sizes(self, image_id: str) -> Sizes:
        """What an image weighs, what of that others share, and what deleting it would take off the disk.

        One query: a few probes of indexes for each layer, whatever shares it.
        """
        return self._trie.read(sharing.sizes, ImageID(image_id))

    def sizes_of(self, image_ids: Iterable[str]) -> dict[ImageID, Sizes]:
        """`sizes` of those of the images that are there, for instance of a page; one query for every ten thousand.

        What is freed is told of each image as if it alone were deleted.
        """
        return self._trie.read(sharing.sizes_of, [ImageID(image_id) for image_id in image_ids])

    def sizes_page(self, after: str | None = None, limit: int = 100) -> dict[ImageID, Sizes]:
        """`sizes` of the next images, in the order of their IDs. Two queries; costs what it returns, wherever it is.

        No configuration is read: an image whose bytes are damaged weighs what its layers do.

        Args:
            after: the ID that the page follows; it need not exist (any more).
            limit: how many images at most.
        """
        return self._trie.read(sharing.page, None if after is None else ImageID(after), check_limit(limit))

    def totals(self) -> Totals:
        """What all layers weigh, each once. One query, which grows with the store."""
        return self._trie.read(sharing.totals)

    @property
    def _trie(self) -> Bind:
        if not self._has_layers:
            raise UnusableBindError(
                "a restored store knows no layers: copy its backend to a database and open a Store there"
            )
        return self._bind
