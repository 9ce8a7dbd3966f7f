"""What a store asks of the layer stores that it was given, and the layers that it holds there until its images are deleted.

Layer stores cannot be rolled back. So a layer is got before the transaction that creates its image, and let go of after the commit of
the one that deletes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
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
                undo.callback(self._release, image, layer)
                got.append((image, layer))
            yield
            undo.pop_all()
        for image, layer in got:
            self._hold(image, layer)

    def release_after(self, delete: Callable[[ImageID], object], image: Image) -> list[LayerMetadata]:
        """Delete an image, and then let go of its layer.

        That is the layer held for it, or where another process created the image, one that is got now.

        Returns:
            What the layer store has removed because nobody holds it any more.

        Raises:
            UnsupportedPlatformError: there is no layer store for the operating system.
        """
        layer = self._take(image)
        try:
            delete(image.image_id)
        except BaseException:
            self._hold(image, layer)
            raise
        return self._release(image, layer)

    def _take(self, image: Image) -> Layer | None:
        self._layer_store(image)
        with self._lock:
            if image.image_id in self._held:
                return self._held.pop(image.image_id)
        try:
            return self._get(image)
        except LookupError:
            return None  # the layer is gone: there is nothing to let go of

    def _hold(self, image: Image, layer: Layer | None) -> None:
        with self._lock:
            held = self._held.setdefault(image.image_id, layer)
        if held is not layer:
            self._release(image, layer)

    def _release(self, image: Image, layer: Layer | None) -> list[LayerMetadata]:
        return [] if layer is None else list(self._layer_store(image).release(layer) or ())

    def _get(self, image: Image) -> Layer | None:
        chain_id = image.chain_id
        return self._layer_store(image).get(chain_id) if chain_id else None

    def _layer_store(self, image: Image) -> LayerGetReleaser:
        layer_store = self._layer_stores.get(image.operating_system)
        if layer_store is None:
            raise UnsupportedPlatformError(image.operating_system, sorted(self._layer_stores))
        return layer_store
