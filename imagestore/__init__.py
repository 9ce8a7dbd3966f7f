"""Docker's image store on SQL: images, parents and heads in a database that many processes share. See `imagestore.store.Store`.

A name is loaded with its module when it is first used, so that the command line starts without what it does not need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from imagestore.backend import StoreBackend, copy
    from imagestore.backends.filesystem import FSBackend
    from imagestore.backends.sql import SQLBackend
    from imagestore.collect import Collected
    from imagestore.container import Config, HealthConfig
    from imagestore.content.local import LocalContent
    from imagestore.content.place import Content
    from imagestore.digest import ChainID, DiffID, Digest, ImageID, chain_id
    from imagestore.errors import (
        AmbiguousIDError,
        ConflictError,
        DataLossError,
        ImageNotFoundError,
        ImageStoreError,
        InvalidError,
        InvalidImageError,
        NotFoundError,
        ParentCycleError,
        ParentNotFoundError,
        SchemaError,
    )
    from imagestore.gojson import GoTime
    from imagestore.image import TYPE_LAYERS, ChildConfig, History, Image, RootFS, V1Image
    from imagestore.layer import Layer, LayerGetReleaser, LayerMetadata, StoredLayer
    from imagestore.layers import content_beside
    from imagestore.lease import Lease
    from imagestore.leases import HeldLease
    from imagestore.reference import Reference
    from imagestore.sql.engine import configure
    from imagestore.sql.references import Association
    from imagestore.sql.sharing import Sizes, Totals
    from imagestore.sql.trie import Base, Derived
    from imagestore.sql.uses import Use
    from imagestore.store import Store

__all__ = [
    "TYPE_LAYERS",
    "AmbiguousIDError",
    "Association",
    "Base",
    "ChainID",
    "ChildConfig",
    "Collected",
    "Config",
    "ConflictError",
    "Content",
    "DataLossError",
    "Derived",
    "DiffID",
    "Digest",
    "FSBackend",
    "GoTime",
    "HealthConfig",
    "HeldLease",
    "History",
    "Image",
    "ImageID",
    "ImageNotFoundError",
    "ImageStoreError",
    "InvalidError",
    "InvalidImageError",
    "Layer",
    "LayerGetReleaser",
    "LayerMetadata",
    "Lease",
    "LocalContent",
    "NotFoundError",
    "ParentCycleError",
    "ParentNotFoundError",
    "Reference",
    "RootFS",
    "SQLBackend",
    "SchemaError",
    "Sizes",
    "Store",
    "StoreBackend",
    "StoredLayer",
    "Totals",
    "Use",
    "V1Image",
    "chain_id",
    "configure",
    "content_beside",
    "copy",
]

_MODULES: Final = {
    "backend": ("StoreBackend", "copy"),
    "backends.filesystem": ("FSBackend",),
    "backends.sql": ("SQLBackend",),
    "collect": ("Collected",),
    "container": ("Config", "HealthConfig"),
    "content.local": ("LocalContent",),
    "content.place": ("Content",),
    "digest": ("ChainID", "DiffID", "Digest", "ImageID", "chain_id"),
    "errors": (
        "AmbiguousIDError",
        "ConflictError",
        "DataLossError",
        "ImageNotFoundError",
        "ImageStoreError",
        "InvalidError",
        "InvalidImageError",
        "NotFoundError",
        "ParentCycleError",
        "ParentNotFoundError",
        "SchemaError",
    ),
    "gojson": ("GoTime",),
    "image": ("TYPE_LAYERS", "ChildConfig", "History", "Image", "RootFS", "V1Image"),
    "layer": ("Layer", "LayerGetReleaser", "LayerMetadata", "StoredLayer"),
    "layers": ("content_beside",),
    "lease": ("Lease",),
    "leases": ("HeldLease",),
    "reference": ("Reference",),
    "sql.engine": ("configure",),
    "sql.references": ("Association",),
    "sql.sharing": ("Sizes", "Totals"),
    "sql.trie": ("Base", "Derived"),
    "sql.uses": ("Use",),
    "store": ("Store",),
}
_HOMES: Final = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
