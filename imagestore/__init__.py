"""Docker's image store on SQL: images, parents and heads in a database that many processes share. See `imagestore.store.Store`."""

from imagestore.backend import StoreBackend, copy
from imagestore.backends.filesystem import FSBackend
from imagestore.backends.sql import SQLBackend
from imagestore.container import Config, HealthConfig
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
from imagestore.layer import Layer, LayerGetReleaser, LayerMetadata
from imagestore.sql.engine import configure
from imagestore.store import Store

__all__ = [
    "TYPE_LAYERS",
    "AmbiguousIDError",
    "ChainID",
    "ChildConfig",
    "Config",
    "ConflictError",
    "DataLossError",
    "DiffID",
    "Digest",
    "FSBackend",
    "GoTime",
    "HealthConfig",
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
    "NotFoundError",
    "ParentCycleError",
    "ParentNotFoundError",
    "RootFS",
    "SQLBackend",
    "SchemaError",
    "Store",
    "StoreBackend",
    "V1Image",
    "chain_id",
    "configure",
    "copy",
]
