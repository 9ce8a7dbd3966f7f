"""What a check tells, and how it is repaired."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

ROWS: Final = 1000
"""Rows of a page."""

REPAIR: Final = "run 'imagestore verify --repair', or verify(store, repair=True)"


class FindingKind(StrEnum):
    """What is wrong."""

    CORRUPT_BLOB = "corrupt-blob"
    STRAY_METADATA = "stray-metadata"
    MISSING_ROW = "missing-row"
    EXTRA_ROW = "extra-row"
    WRONG_TIME = "wrong-time"
    WRONG_PARENT = "wrong-parent"
    PARENT_CYCLE = "parent-cycle"
    WRONG_TOP = "wrong-top"
    WRONG_LAYER = "wrong-layer"
    WRONG_REFERENCE = "wrong-reference"
    WRONG_LEASE = "wrong-lease"
    CONTENT_LOST = "content-lost"
    CORRUPT_CONTENT = "corrupt-content"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        kind: what is wrong.
        subject: the digest of the blob, the ID of the image, the chain ID of the layer, the name, the ID of the
            lease, or the diff ID of the content.
        cause: what was found, in words.
        remedy: what to do about it, in words.
        repaired: whether this run has set it right.
    """

    kind: FindingKind
    subject: str
    cause: str
    remedy: str
    repaired: bool = False


class Damage(NamedTuple):
    """A finding, and what sets it right, if anything does: a function of a connection and the finding's subject."""

    finding: Finding
    repair: Callable[[Connection, Any], object] | None = None
