"""Layers as values, and what the image store asks of a layer store: moby's ``image.LayerGetReleaser``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from imagestore.digest import ChainID, DiffID, chain_id, is_sha256


class Link(NamedTuple):
    """One place in the trie of layers: a layer on top of a stack, which makes a stack of its own. ``parent`` is None at the bottom."""

    chain_id: ChainID
    diff_id: DiffID
    parent: ChainID | None


def links(diff_ids: Sequence[str]) -> tuple[Link, ...]:
    """The places in the trie that a stack of layers passes, the lowest first.

    None where there are no layers, or where one of the diff IDs is no sha256 digest: Go accepts any string, the trie does not.
    """
    if not all(map(is_sha256, diff_ids)):
        return ()
    found: list[Link] = []
    parent: ChainID | None = None
    for diff_id in diff_ids:
        chain = chain_id([diff_id] if parent is None else [parent, diff_id])
        found.append(Link(chain, DiffID(diff_id), parent))
        parent = chain
    return tuple(found)


@dataclass(frozen=True, slots=True)
class StoredLayer:
    """A stack of layers that the store knows, by its topmost layer.

    Attributes:
        chain_id: of the whole stack.
        diff_id: of the topmost layer's uncompressed tar.
        parent: the stack below, None at the bottom.
        size: bytes of the files in the topmost layer, as docker counts them; None while nobody has told.
        content_size: bytes of its tar, None where the tar is not kept.
        lease: what `imagestore.store.Store.layers` took at `register`, for `release`; None for a layer that was only looked up.

    Source: moby's ``layer.Layer``.
    """

    chain_id: ChainID
    diff_id: DiffID
    parent: ChainID | None
    size: int | None = None
    content_size: int | None = None
    lease: str | None = None


@dataclass(frozen=True, slots=True)
class LayerMetadata:
    """One layer as a layer store tells of it, in particular of what a release has freed (moby's ``layer.Metadata``).

    ``size`` is of the whole chain up to this layer, ``diff_size`` of this layer alone, both in bytes; 0 where nobody has told.
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
