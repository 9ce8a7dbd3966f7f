"""Column types: a SHA-256 digest as 32 raw bytes, under the name that it has in Python, and text in the order of its bytes."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Dialect, Integer, LargeBinary, Text
from sqlalchemy.types import TypeDecorator

from imagestore.digest import ChainID, DiffID, Digest, ImageID

ByteOrdered: Final = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that both engines order by its bytes, whatever the database's locale."""

Size: Final = BigInteger().with_variant(Integer(), "sqlite")
"""A number of bytes: 64 bits on both engines."""


class SHA256(TypeDecorator[Any]):
    """A SHA-256 digest: 32 bytes in SQL (BLOB, BYTEA), a `Digest` in Python."""

    impl = LargeBinary
    cache_ok = True
    made: type[Digest | DiffID | ChainID] = Digest

    def process_bind_param(self, value: Any, dialect: Dialect) -> bytes | None:
        """A digest's raw bytes; None stays None."""
        return None if value is None else (value if isinstance(value, Digest) else Digest(value)).raw

    def process_result_value(self, value: Any, dialect: Dialect) -> Digest | DiffID | ChainID | None:
        """The digest of raw bytes; None stays None."""
        return None if value is None else self.made.from_raw(value)


class ImageIDType(SHA256):
    """A SHA-256 digest that comes back as an `ImageID`."""

    cache_ok = True
    made = ImageID


class ChainIDType(SHA256):
    """A SHA-256 digest that comes back as a `ChainID`."""

    cache_ok = True
    made = ChainID


class DiffIDType(SHA256):
    """A SHA-256 digest that comes back as a `DiffID`."""

    cache_ok = True
    made = DiffID
