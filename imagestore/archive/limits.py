"""How much an archive may ask for before it is refused."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from imagestore.content.reading import LIMIT, WINDOW
from imagestore.errors import InvalidError

_LARGEST: Final = 2**63 - 1
_LARGEST_WINDOW: Final = 1 << 31  # which zstd knows no more than
_DEEPEST: Final = 100  # of calls that go as deep


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an archive may have at most. One that asks for more raises `imagestore.errors.ArchiveLimitError`, which names the field.

    Attributes:
        entries: files, folders and links, with the folders that their names imply; each takes some 700 bytes of memory, and counts once
            more for each 512 bytes of its name.
        document: bytes of one JSON document, be it a configuration or a manifest; parsed, it may take fifty times as many.
        documents: bytes of all JSON documents that are read, each time that they are; of all files that are set aside on disk as a pipe is
            read, because they are no layers; and of all configurations that are made for images of the layout before 1.10.
        layer: bytes of one layer's tar, once plain.
        archive: bytes of the archive itself, once plain.
        images: images that are named in it.
        tags: tags of one image; in the layout before 1.10 of all.
        layers: layers of one image.
        depth: indexes of an OCI layout one in another.
        window: bytes of memory that what is compressed may ask for.

    Raises:
        InvalidError: a limit is no whole number, less than one, or larger than what is ever counted.
    """

    entries: int = 100_000
    document: int = 4 << 20
    documents: int = 1 << 30
    layer: int = LIMIT
    archive: int = 4 * LIMIT
    images: int = 10_000
    tags: int = 10_000
    layers: int = 1_000
    depth: int = 8
    window: int = WINDOW

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            largest = {"window": _LARGEST_WINDOW, "depth": _DEEPEST}.get(field.name, _LARGEST)
            if not isinstance(value, int) or not 1 <= value <= largest:
                raise InvalidError(f"the limit {field.name}= is a whole number from 1 to {largest}, not {value!r}")
