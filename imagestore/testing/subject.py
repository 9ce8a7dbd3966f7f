"""What a subclass of a contract provides: the backends or the stores that are held against it."""

from __future__ import annotations

from collections.abc import Mapping

from imagestore.backend import StoreBackend
from imagestore.digest import Digest
from imagestore.layer import LayerGetReleaser
from imagestore.store import Store


class BackendSubject:
    """The backends under test."""

    def make_backend(self) -> StoreBackend:
        """A new, empty backend; each call another one."""
        raise NotImplementedError

    def damage(self, backend: StoreBackend, digest: Digest, data: bytes) -> None:
        """Put other bytes in the place of a blob's, as a failing disk would."""
        raise NotImplementedError


class StoreSubject:
    """The stores under test."""

    def make_store(self, layer_stores: Mapping[str, LayerGetReleaser] | None = None) -> Store:
        """A new, empty store; each call another one."""
        raise NotImplementedError

    def reopen(self, store: Store, layer_stores: Mapping[str, LayerGetReleaser] | None = None) -> Store:
        """A second store over what the first one stored, as another process would open it."""
        raise NotImplementedError

    def damage(self, store: Store, digest: Digest, data: bytes) -> None:
        """Put other bytes in the place of a blob's, as a failing disk would."""
        raise NotImplementedError

    def backend(self, store: Store) -> StoreBackend:
        """The port under a store."""
        return store.backend
