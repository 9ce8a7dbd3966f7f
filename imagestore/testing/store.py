"""The rules of moby's ``image.Store``, and of what is beside it here, as suites that a store can be held against.

    class TestMyStore(StoreContract):
        def make_store(self, layer_stores=None):
            return Store(my_engine, layer_stores=layer_stores)

        def reopen(self, store, layer_stores=None): ...
        def damage(self, store, digest, data): ...

`StoreContract` holds for every store, also for one that has joined a connection or was restored over a backend. More, with the same three
methods, hold for some: `imagestore.testing.lineage.LineageContract` and `imagestore.testing.references.ReferencesContract` for those on a
database, `imagestore.testing.layer_stores.LayerStoresContract` for those that take layer stores, which is all but the joined ones, and
`imagestore.testing.transactions.TransactionsContract` for those on an engine. Nothing here imports pytest.
"""

from __future__ import annotations

from imagestore.testing.images import ImagesContract
from imagestore.testing.parents import ParentsContract


class StoreContract(ImagesContract, ParentsContract):
    """What every `imagestore.store.Store` does. Subclasses give `make_store`, `reopen` and `damage`.

    Source: moby's ``image/store.go`` and its tests.
    """
