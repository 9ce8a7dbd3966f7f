"""A layer store that is no more than its protocol: it knows chains by their ID, and who holds them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from imagestore.digest import ChainID
from imagestore.errors import LayerNotFoundError
from imagestore.layer import Layer, LayerMetadata
from imagestore.testing.makers import make_diff_id


@dataclass(frozen=True)
class HeldLayer:
    """What `RecordingLayerStore.get` returns."""

    chain_id: ChainID


@dataclass
class RecordingLayerStore:
    """An `imagestore.layer.LayerGetReleaser` that has every layer but those it is told to miss, and tells what it was asked.

    Attributes:
        missing: chain IDs for which `get` raises LayerNotFoundError.
        calls: ("get", chain ID) and ("release", chain ID), in order.
        held: how many times each chain is held now.
    """

    missing: Iterable[str] = ()
    calls: list[tuple[str, str]] = field(default_factory=list)
    held: Counter[str] = field(default_factory=Counter)

    def get(self, chain_id: ChainID) -> Layer:
        """Hold a layer."""
        self.calls.append(("get", chain_id))
        if chain_id in self.missing:
            raise LayerNotFoundError(chain_id)
        self.held[chain_id] += 1
        return HeldLayer(chain_id)

    def release(self, layer: Layer) -> list[LayerMetadata]:
        """Let go of a layer; it is removed when nobody holds it any more."""
        self.calls.append(("release", layer.chain_id))
        self.held[layer.chain_id] -= 1
        if self.held[layer.chain_id]:
            return []
        del self.held[layer.chain_id]
        return [LayerMetadata(layer.chain_id, make_diff_id("released"), size=2, diff_size=1)]
