"""Column types: a SHA-256 digest as 32 raw bytes, and raw bytes on both engines."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Dialect, LargeBinary
from sqlalchemy.types import TypeDecorator

from imagestore.digest import Digest, ImageID


class SHA256(TypeDecorator[Digest]):
    """A SHA-256 digest: 32 bytes in SQL (BLOB, BYTEA), a `Digest` in Python."""

    impl = LargeBinary
    cache_ok = True
    made: type[Digest] = Digest

    def process_bind_param(self, value: Any, dialect: Dialect) -> bytes | None:
        """A digest's raw bytes; None stays None."""
        return None if value is None else (value if isinstance(value, Digest) else Digest(value)).raw

    def process_result_value(self, value: Any, dialect: Dialect) -> Digest | None:
        """The digest of raw bytes; None stays None."""
        return None if value is None else self.made.trusted("sha256:" + value.hex())


class ImageIDType(SHA256):
    """A SHA-256 digest that comes back as an `ImageID`."""

    cache_ok = True
    made = ImageID
