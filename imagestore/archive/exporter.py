"""moby's Exporter: load and save over a store, for who works with streams of the daemon's messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO, Protocol

from imagestore.archive.loading import load
from imagestore.archive.messages import Message, Progress
from imagestore.archive.saving import save
from imagestore.store import Store


class Exporter(Protocol):
    """What loads and saves archives of images (moby's ``image.Exporter``)."""

    def load(self, tar: BinaryIO, out: BinaryIO, quiet: bool = False) -> None:
        """Load an archive, and write the daemon's JSON messages of it."""
        ...

    def save(self, names: Iterable[str], out: BinaryIO) -> None:
        """Write images to an archive."""
        ...


class TarExporter:
    """An Exporter over a store (moby's ``tarexport.NewTarExporter``).

    Args:
        store: has ``content``.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def load(self, tar: BinaryIO, out: BinaryIO, quiet: bool = False) -> None:
        """`imagestore.archive.loading.load`, with the daemon's JSON messages on ``out``; ``quiet`` leaves progress out.

        Raises:
            ImageStoreError, OSError: as there.
        """

        def report(message: Message) -> None:
            if not (quiet and isinstance(message, Progress)):
                out.write(message.to_json())

        load(self._store, tar, report=report)

    def save(self, names: Iterable[str], out: BinaryIO) -> None:
        """`imagestore.archive.saving.save`, as docker's archive.

        Raises:
            ImageStoreError, OSError: as there.
        """
        save(self._store, names, out)
