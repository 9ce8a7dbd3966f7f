"""A lease as a value: what holds layers that no image refers to yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imagestore.gojson import GoTime


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease as `imagestore.store.Store.leases` lists it.

    Attributes:
        id: 32 hexadecimal digits.
        expires: when it ends by itself, by the database's clock.
        labels: what its owner has noted on it.
    """

    id: str
    expires: GoTime
    labels: Mapping[str, str]
