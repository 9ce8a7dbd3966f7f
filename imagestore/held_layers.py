"""What a store asks of the layer stores that it was given, and the layers that it holds there until its images are deleted.

Layer stores cannot be rolled back. So a layer is got before the transaction that creates its image, and let go of after the commit of
the one that deletes it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from imagestore.digest import ImageID
from imagestore.errors import UnsupportedPlatformError
from imagestore.image import Image
from imagestore.layer import Layer, LayerGetReleaser, LayerMetadata


class HeldLayers:
    """The layers that one store holds, by image; safe to use from several threads.

    Args:
        layer_stores: one for each operating system, under Go's name for it ("linux", "windows").
    """

    def __init__(self, layer_stores: Mapping[str, LayerGetReleaser]) -> None:
        self._layer_stores = dict(layer_stores)
        self._held: dict[ImageID, Layer | None] = {}
        self._lock = threading.Lock()

    @contextmanager
    def holding(self, images: Sequence[Image]) -> Iterator[None]:
        """Get the topmost layers of images that the block creates, and hold them; on an exception, let go of them.

        Raises:
            UnsupportedPlatformError: there is no layer store for an image's operating system.
            LayerNotFoundError: a layer store has no such layer (or whatever else it raises).
        """
        with ExitStack() as undo:
            got = []
            for image in images:
                layer = self._get(image)
                undo.callback(self.release, image, layer)
                got.append((image, layer))
            yield
            undo.pop_all()
        for image, layer in got:
            self.hold(image, layer)

    def hold(self, image: Image, layer: Layer | None) -> None:
        """Keep a layer until `take`, or let go of it where one is held for this image already."""
        with self._lock:
            kept = self._held.setdefault(image.image_id, layer)
        if kept is not layer:
            self.release(image, layer)

    def take(self, image: Image) -> Layer | None:
        """The layer that is held for an image that is to be deleted; where another process created it, one that is got now.

        Raises:
            UnsupportedPlatformError: there is no layer store for the operating system.
        """
        self._layer_store(image)
        with self._lock:
            if image.image_id in self._held:
                return self._held.pop(image.image_id)
        try:
            return self._get(image)
        except LookupError:
            return None  # the layer is gone: there is nothing to let go of

    def release(self, image: Image, layer: Layer | None) -> list[LayerMetadata]:
        """Let go of a layer; returns what its layer store has removed."""
        return [] if layer is None else list(self._layer_store(image).release(layer) or ())

    def _get(self, image: Image) -> Layer | None:
        chain_id = image.chain_id
        return self._layer_store(image).get(chain_id) if chain_id else None

    def _layer_store(self, image: Image) -> LayerGetReleaser:
        layer_store = self._layer_stores.get(image.operating_system)
        if layer_store is None:
            raise UnsupportedPlatformError(image.operating_system, sorted(self._layer_stores))
        return layer_store
