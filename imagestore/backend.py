"""The port under the store: moby's ``image.StoreBackend``, and `copy` from any such backend to any other.

Implementations are `imagestore.backends.sql.SQLBackend` and `imagestore.backends.filesystem.FSBackend`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from imagestore.digest import Digest


@runtime_checkable
class StoreBackend(Protocol):
    """Blobs under their SHA-256 digest, and metadata keys beside each.

    A key is a ``str`` in which bytes that are no UTF-8 stand as lone surrogates ("surrogateescape"); a value is bytes.
    A digest that is none raises `InvalidDigestError`, a key that could not be a file name `InvalidKeyError`.

    Source: moby's ``image.StoreBackend``.
    """

    def walk(self) -> Iterator[Digest]:
        """Every blob's digest, in order, whether its bytes are sound or not. Constant memory."""
        ...

    def get(self, digest: str) -> bytes:
        """The bytes of a blob, verified.

        Raises:
            BlobNotFoundError: there is none.
            CorruptBlobError: the stored bytes do not have this digest.
        """
        ...

    def set(self, data: bytes) -> Digest:
        """Store a blob, durably, and return its digest. Twice is once."""
        ...

    def delete(self, digest: str) -> None:
        """Remove a blob and all of its metadata; a missing one is no error."""
        ...

    def set_metadata(self, digest: str, key: str, data: bytes) -> None:
        """Store a value beside a blob, in place of an earlier one.

        Raises:
            BlobNotFoundError: there is no such blob.
            CorruptBlobError: the blob is damaged.
        """
        ...

    def get_metadata(self, digest: str, key: str) -> bytes:
        """The value under a key.

        Raises:
            BlobNotFoundError: there is no such blob.
            MetadataNotFoundError: the blob has no such key.
            CorruptBlobError: the blob is damaged.
        """
        ...

    def delete_metadata(self, digest: str, key: str) -> None:
        """Remove a key; a missing key or blob is no error."""
        ...
