"""For the tests of a host, or of another backend: contract suites to subclass, makers of images, and pytest fixtures.

    backend.py        StoreBackendContract, for any `imagestore.backend.StoreBackend`, and contracts for what one may offer besides
    store.py          StoreContract, for any `imagestore.store.Store`; its parts are images.py and parents.py
    content.py        ContentContract, for any `imagestore.content.place.Content`
    layer_store.py    LayerStoreContract, for a store that has a place for content
    layer_stores.py   LayerStoresContract, for a store that takes layer stores
    lineage.py        LineageContract, for a store on a database
    references.py     ReferencesContract, likewise
    transactions.py   TransactionsContract, for a store on an engine
    subject.py        what a subclass provides
    makers.py         configurations of images, plain and random
    layers.py         a layer store that records what it is asked
    refusal.py        that a call is refused, and how
    fixtures.py       ``pytest_plugins = ["imagestore.testing.fixtures"]``: stores on SQLite and on a real PostgreSQL
    postgres.py       the server that they run on

Only the fixtures import pytest.
"""

from imagestore.testing.backend import ListsMetadataKeysContract, StoreBackendContract, WorksInBulkContract
from imagestore.testing.content import ContentContract
from imagestore.testing.layer_store import LayerStoreContract
from imagestore.testing.layer_stores import LayerStoresContract
from imagestore.testing.layers import RecordingLayerStore
from imagestore.testing.lineage import LineageContract
from imagestore.testing.makers import make_config, make_diff_id, make_digest, make_image, make_layer, make_random_config
from imagestore.testing.references import ReferencesContract
from imagestore.testing.refusal import refusal
from imagestore.testing.store import StoreContract
from imagestore.testing.transactions import TransactionsContract

__all__ = [
    "ContentContract",
    "LayerStoreContract",
    "LayerStoresContract",
    "LineageContract",
    "ListsMetadataKeysContract",
    "RecordingLayerStore",
    "ReferencesContract",
    "StoreBackendContract",
    "StoreContract",
    "TransactionsContract",
    "WorksInBulkContract",
    "make_config",
    "make_diff_id",
    "make_digest",
    "make_image",
    "make_layer",
    "make_random_config",
    "refusal",
]
