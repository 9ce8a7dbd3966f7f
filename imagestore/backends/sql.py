"""The backend on SQL: blobs and metadata keys as rows, on SQLite or PostgreSQL.

A blob that is an image is in every `imagestore.store.Store` on the same database at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Self

from sqlalchemy import URL, Connection, Engine

from imagestore.backend import check_blob, check_digest, check_key
from imagestore.bind import Bind, Bound, EngineBind, bind_to
from imagestore.digest import Digest
from imagestore.errors import InvalidImageError, MetadataNotFoundError
from imagestore.image import Image
from imagestore.sql import blobs, images, metadata

_PAGE: Final = 1000


class SQLBackend(Bound):
    """`imagestore.backend.StoreBackend` on the tables of `imagestore.sql.schema`. Every write commits, unless its store has joined.

    Args:
        bind: the host's own Engine or Connection, as `imagestore.store.Store` takes them.
        schema: the PostgreSQL schema that has the tables.
    """

    def __init__(self, bind: Engine | Connection | Bind, *, schema: str | None = None) -> None:
        self._bind = bind_to(bind, schema=schema)

    @classmethod
    def open(cls, url: str | URL, *, schema: str | None = None, create_schema: bool = True) -> Self:
        """Open the database at a URL; see `imagestore.store.Store.open` for the arguments and the errors."""
        return cls(EngineBind.open(url, schema=schema, create_schema=create_schema))

    def walk(self) -> Iterator[Digest]:
        """Every blob's digest in order, in pages of a thousand. A blob that comes or goes meanwhile may or may not be among them."""
        after: Digest | None = None
        while found := self._bind.read(blobs.page, after, _PAGE):
            yield from found
            after = found[-1]

    def get(self, digest: str) -> bytes:
        """The bytes of a blob, verified. One read by key."""
        return self._bind.read(blobs.get, check_digest(digest))

    def get_many(self, digests: Sequence[str]) -> dict[Digest, bytes]:
        """The verified bytes of those of the blobs that are there; one query for every ten thousand."""
        return self._bind.read(blobs.get_many, [check_digest(digest) for digest in digests])

    def set(self, data: bytes) -> Digest:
        """Store a blob and return its digest. One that is an image is an image of the store from then on. Damaged bytes are mended."""
        digest = check_blob(data)
        image = image_in(data)
        if image is None:
            self._bind.write(blobs.put, digest, data)
        else:
            self._bind.write(images.create, image.image_id, image.raw_json, image.stack)
        return digest

    def set_many(self, data: Sequence[bytes]) -> list[Digest]:
        """Store blobs in one transaction; their digests, in the same order."""
        digests = [check_blob(each) for each in data]
        found = dict(zip(digests, data, strict=True))
        new = [image for each in found.values() if (image := image_in(each))]
        configs = {image.image_id for image in new}
        others = {digest: each for digest, each in found.items() if digest not in configs}
        self._bind.write(_store, new, others)
        return digests

    def delete(self, digest: str) -> None:
        """Remove a blob and its metadata. Children keep the metadata that names it.

        Raises:
            BlobNotFoundError: there is none.
        """
        self._bind.write(images.delete_blob, check_digest(digest))

    def set_metadata(self, digest: str, key: str, data: bytes) -> None:
        """Store a value beside a blob, which is verified, in place of an earlier one. A few statements by key."""
        self._bind.write(_put, check_digest(digest), check_key(key), bytes(memoryview(data)))

    def get_metadata(self, digest: str, key: str) -> bytes:
        """The value under a key. One read by key, in which the blob is verified."""
        value = self._bind.read(metadata.get, check_digest(digest), check_key(key))
        if value is None:
            raise MetadataNotFoundError(digest, key)
        return value

    def delete_metadata(self, digest: str, key: str) -> None:
        """Remove a key; a missing key or blob is no error."""
        self._bind.write(metadata.remove, check_digest(digest), check_key(key))

    def metadata_keys(self, digest: str) -> list[str]:
        """All keys of a blob, in the order of their bytes. One read by key.

        Raises:
            BlobNotFoundError: there is no such blob.
        """
        return [_key(name) for name in self._bind.read(metadata.keys, check_digest(digest))]

    def get_many_metadata(self, digests: Sequence[str]) -> dict[Digest, dict[str, bytes]]:
        """All metadata of those of the blobs that have any; one query for every ten thousand."""
        found = self._bind.read(metadata.get_many, [check_digest(digest) for digest in digests])
        return {digest: {_key(name): value for name, value in values.items()} for digest, values in found.items()}

    def set_many_metadata(self, values: Sequence[tuple[str, str, bytes]]) -> None:
        """Store many values, each as (digest, key, value), in one transaction.

        Raises:
            BlobNotFoundError: one of the blobs is missing; nothing is stored.
        """
        self._bind.write(
            metadata.put_many,
            [(check_digest(digest), check_key(key), bytes(memoryview(data))) for digest, key, data in values],
        )


def image_in(data: bytes) -> Image | None:
    """The image that a blob is, so that it has a row in the index; None where it is none. Pure."""
    try:
        return Image.from_json(data)
    except InvalidImageError:
        return None


def _store(connection: Connection, new: Sequence[Image], others: dict[Digest, bytes]) -> None:
    inserted = set(blobs.insert_many(connection, others))
    blobs.mend_many(connection, {digest: data for digest, data in others.items() if digest not in inserted})
    images.create_many(
        connection,
        {image.image_id: image.raw_json for image in new},
        {image.image_id: image.stack for image in new},
    )


def _put(connection: Connection, digest: Digest, key: bytes, value: bytes) -> None:
    blobs.get(connection, digest)
    metadata.put(connection, digest, key, value)


def _key(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
