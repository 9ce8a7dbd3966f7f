"""Lineage: `Store.lineage`, what is built on what."""

from __future__ import annotations

from imagestore.bind import Bind
from imagestore.digest import ImageID
from imagestore.sql import lineage


class Lineage:
    """What is built on what: `Store.lineage`."""

    def __init__(self, bind: Bind) -> None:
        self._bind = bind

    def ancestors(self, image_id: str) -> list[ImageID]:
        """The parent, its parent and so on, nearest first. One query, of the depth of the ancestry."""
        return self._bind.read(lineage.ancestors, ImageID(image_id))

    def descendants(self, image_id: str) -> list[ImageID]:
        """The children, their children and so on, breadth first, each generation in order. One query; costs what it returns."""
        return self._bind.read(lineage.descendants, ImageID(image_id))
