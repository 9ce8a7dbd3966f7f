"""Blobs: bytes under their SHA-256 digest. Those that are images have a row in `imagestore.sql.images` beside."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from sqlalchemy import Connection, LargeBinary, bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from imagestore.digest import Digest
from imagestore.errors import BlobNotFoundError, CorruptBlobError
from imagestore.sql.driver import Read, Write
from imagestore.sql.engine import pieces
from imagestore.sql.schema import blobs
from imagestore.sql.types import SHA256

D = TypeVar("D", bound=Digest)

_INSERT: Final = Write(insert(blobs).on_conflict_do_nothing().returning(blobs.c.digest), few=True)
_MEND: Final = Write(
    update(blobs)
    .where(blobs.c.digest == bindparam("blob", type_=SHA256), blobs.c.data != bindparam("sound"))
    .values(data=bindparam("sound", type_=LargeBinary)),
    few=True,
)
_DELETE: Final = Write(delete(blobs).where(blobs.c.digest == bindparam("blob", type_=SHA256)), few=True)
SELECT: Final = Read(select(blobs.c.data).where(blobs.c.digest == bindparam("blob", type_=SHA256)), few=True)
_SELECT_MANY: Final = select(blobs.c.digest, blobs.c.data).where(blobs.c.digest.in_(bindparam("blobs", expanding=True)))
PAGE: Final = Read(
    select(blobs.c.digest)
    .where(blobs.c.digest > bindparam("after", type_=LargeBinary))
    .order_by(blobs.c.digest)
    .limit(bindparam("limit"))
)


def get(connection: Connection, digest: Digest) -> bytes:
    """A blob's bytes, verified. One read by key.

    Raises:
        BlobNotFoundError: there is none.
        CorruptBlobError: the stored bytes have another digest.
    """
    row = SELECT.first(connection, blob=digest.raw)
    if row is None:
        raise BlobNotFoundError(digest)
    return verified(digest, row[0])


def get_many(connection: Connection, digests: Sequence[Digest]) -> dict[Digest, bytes]:
    """The verified bytes of those of the blobs that are there; one query for every ten thousand.

    Raises:
        CorruptBlobError: the bytes of one have another digest.
    """
    return {
        digest: verified(digest, data)
        for some in pieces(digests)
        for digest, data in connection.execute(_SELECT_MANY, {"blobs": some})
    }


def put(connection: Connection, digest: Digest, data: bytes) -> None:
    """Store a blob; of one that is there, damaged bytes are mended. Two statements by key."""
    if not insert_one(connection, digest, data):
        mend_one(connection, digest, data)


def insert_one(connection: Connection, digest: Digest, data: bytes) -> bool:
    """Store a blob; returns whether it is new. The caller has taken the digest from the data."""
    return _INSERT.first(connection, digest=digest.raw, data=data) is not None


def insert_many(connection: Connection, data: Mapping[D, bytes]) -> list[Digest]:
    """Store blobs; returns those that are new. One statement for a thousand. What is there already is left to `mend_many`.

    They go in the order of the digests, so that two callers never wait for each other crosswise.
    """
    rows = [{"digest": digest, "data": data[digest]} for digest in sorted(data)]
    return list(connection.execute(_INSERT.statement, rows).scalars()) if rows else []


def mend_one(connection: Connection, digest: Digest, data: bytes) -> None:
    """Put sound bytes in place of damaged ones, of a blob that is there. A sound one is not written."""
    _MEND.run(connection, blob=digest.raw, sound=data)


def mend_many(connection: Connection, data: Mapping[D, bytes]) -> None:
    """`mend_one` for many blobs; one statement for all."""
    if data:
        _MEND.run_many(connection, [{"blob": digest.raw, "sound": data[digest]} for digest in sorted(data)])


def delete_one(connection: Connection, digest: Digest) -> None:
    """Remove a blob; its metadata and its row of images go with it.

    Raises:
        BlobNotFoundError: there is none.
    """
    if _DELETE.run(connection, blob=digest.raw) == 0:
        raise BlobNotFoundError(digest)


def page(connection: Connection, after: Digest | None, limit: int) -> list[Digest]:
    """The next digests in order, at most ``limit``; costs what it returns."""
    rows = PAGE.all(connection, after=after.raw if after else b"", limit=limit)
    return [Digest.from_raw(raw) for (raw,) in rows]


def verified(digest: Digest, data: bytes) -> bytes:
    """The data, if it has this digest.

    Raises:
        CorruptBlobError: it has another.
    """
    if hashlib.sha256(data).hexdigest() != digest[7:]:
        raise CorruptBlobError(digest)
    return data
