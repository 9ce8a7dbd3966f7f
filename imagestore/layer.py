"""What the image store asks of a layer store, and nothing more: moby's ``image.LayerGetReleaser``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from imagestore.digest import ChainID, DiffID


@dataclass(frozen=True, slots=True)
class LayerMetadata:
    """One layer as a layer store tells of it, in particular of what a release has freed (moby's ``layer.Metadata``).

    ``size`` is of the whole chain up to this layer, ``diff_size`` of this layer alone, both in bytes.
    """

    chain_id: ChainID
    diff_id: DiffID
    size: int
    diff_size: int


class Layer(Protocol):
    """A layer that a layer store holds for a caller until it is released."""

    @property
    def chain_id(self) -> ChainID:
        """The chain that ends with this layer."""
        ...


class LayerGetReleaser(Protocol):
    """A layer store of one operating system, as ``Store(layer_stores={"linux": ...})`` takes it.

    Source: moby's ``image.LayerGetReleaser``.
    """

    def get(self, chain_id: ChainID) -> Layer:
        """Hold the layer and return it.

        Raises:
            LayerNotFoundError: there is no such layer.
        """
        ...

    def release(self, layer: Layer) -> list[LayerMetadata]:
        """Let go of a layer that `get` returned; returns what was removed because nobody holds it any more."""
        ...
