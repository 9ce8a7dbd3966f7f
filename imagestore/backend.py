"""The port under the store: moby's ``image.StoreBackend``, and `copy` from any such backend to any other.

Implementations are `imagestore.backends.sql.SQLBackend` and `imagestore.backends.filesystem.FSBackend`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal, Protocol, runtime_checkable

from imagestore.digest import Digest
from imagestore.errors import (
    BlobNotFoundError,
    CorruptBlobError,
    IncompleteCopyError,
    InvalidBlobError,
    InvalidDigestError,
    InvalidKeyError,
    MetadataNotFoundError,
)

DOCKER_KEYS: Final = ("parent", "lastUpdated", "builtLocally")
"""The metadata keys that moby's daemon writes."""

_LONGEST_KEY: Final = 240  # bytes: moby writes to ".tmp-<key><up to ten digits>" first, and a file name has at most 255
_PAGE: Final = 100  # blobs: what `copy` holds in memory


@runtime_checkable
class StoreBackend(Protocol):
    """Blobs under their SHA-256 digest, and metadata keys beside each.

    A key is a ``str`` in which bytes that are no UTF-8 stand as lone surrogates ("surrogateescape"); a value is bytes.
    A digest that is none raises `InvalidDigestError` (see `check_digest`), a key that could not be a file name `InvalidKeyError` (see
    `check_key`).

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
        """Store a blob, durably, and return its digest. Twice is once.

        Raises:
            InvalidBlobError: it has no bytes.
        """
        ...

    def delete(self, digest: str) -> None:
        """Remove a blob and all of its metadata.

        Raises:
            BlobNotFoundError: there is no such blob; metadata that was left under its digest is removed all the same.
        """
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


@runtime_checkable
class ListsMetadataKeys(Protocol):
    """What a backend offers that can tell which keys a blob has; `copy` asks for it."""

    def metadata_keys(self, digest: str) -> list[str]:
        """All keys of a blob, in the order of their bytes.

        Raises:
            BlobNotFoundError: there is no such blob.
            CorruptBlobError: the blob is damaged.
        """
        ...


@runtime_checkable
class WorksInBulk(Protocol):
    """What a backend offers that handles many blobs faster than one by one; `copy` asks for it."""

    def get_many(self, digests: Sequence[Digest], /) -> dict[Digest, bytes]:
        """The verified bytes of those that are there.

        Raises:
            CorruptBlobError: one of them is damaged.
        """
        ...

    def set_many(self, datas: Sequence[bytes], /) -> list[Digest]:
        """Store blobs, durably, and return their digests, in the order of the data."""
        ...

    def get_many_metadata(self, digests: Sequence[Digest], /) -> dict[Digest, dict[str, bytes]]:
        """All metadata of those of the blobs that have any."""
        ...

    def set_many_metadata(self, values: Sequence[tuple[str, str, bytes]], /) -> None:
        """Store many values, each as (digest, key, value), durably.

        Raises:
            BlobNotFoundError: one of the blobs is missing; nothing is stored.
        """
        ...


class Progress(Protocol):
    """What `copy` tells, once at the beginning of a phase and then after each page."""

    def __call__(self, done: int, total: int, phase: Literal["blobs", "metadata"], /) -> object:
        """Be told.

        Args:
            done: the blobs of the source that this phase is through with.
            total: the blobs that the source had at the beginning.
            phase: "blobs", then "metadata".
        """
        ...


@dataclass(frozen=True, slots=True)
class Copied:
    """What one run of `copy` has written: ``blobs`` and ``metadata`` values that were not in the target yet."""

    blobs: int
    metadata: int


def check_key(key: str) -> bytes:
    """The bytes of a metadata key, which are its file name in Docker's directory. Pure.

    Raises:
        InvalidKeyError: no file can have this name, or in Go it names a file outside the blob's own folder; or it has more than
            240 bytes, so that moby's temporary name for it can be too long.
    """
    if not isinstance(key, str):
        raise InvalidKeyError(key, f"expected a str, not {type(key).__name__}")
    try:
        name = key.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InvalidKeyError(
            key, "a lone surrogate stands for a byte from 0x80 to 0xff, and this one for none"
        ) from None
    if name in (b"", b".", b".."):
        raise InvalidKeyError(key, "it names a folder")
    if b"/" in name or b"\0" in name:
        raise InvalidKeyError(key, "a file name has no '/' and no NUL")
    if len(name) > _LONGEST_KEY:
        raise InvalidKeyError(key, f"it has {len(name)} bytes, and may have {_LONGEST_KEY}")
    return name


def check_digest(digest: str) -> Digest:
    """The digest under which a blob may be stored. Pure.

    Raises:
        InvalidDigestError: it is none, or one of another algorithm than SHA-256.
    """
    checked = Digest(digest)
    if not checked.startswith("sha256:"):
        raise InvalidDigestError(digest, "blobs are stored under their sha256 digest")
    return checked


def check_blob(data: bytes) -> Digest:
    """The digest under which a blob is stored. Pure.

    Raises:
        InvalidBlobError: it has no bytes.
    """
    if not data:
        raise InvalidBlobError
    return Digest.from_bytes(data)


def copy(
    source: StoreBackend, target: StoreBackend, keys: Sequence[str] | None = None, progress: Progress | None = None
) -> Copied:
    """Copy all blobs, and then all metadata, from one backend to another.

    Args:
        source: is only read. What is added to it meanwhile may be left for the next run.
        target: what it holds besides stays. Each blob and each value is committed by itself, or in pages where it offers that.
        keys: the metadata keys to copy. By default all that the source has, where it can list them (`ListsMetadataKeys`); one that
            cannot is asked for moby's own, `DOCKER_KEYS`.
        progress: is called from time to time; what it raises ends the copy.

    Returns:
        What has been written. What is there already, sound and equal, is not written again: run once more after an interruption,
        it goes on where it was.

    Raises:
        IncompleteCopyError: blobs of the source are damaged. It is raised at the end, when all else has been copied, and names them.
        CorruptBlobError: a blob of the target is damaged, and the target did not take the sound one in its place.

    Memory does not grow with the store (only with the damage): a page of blobs is held. Each blob is read twice from the source.
    """
    total = sum(1 for _ in source.walk()) if progress else 0
    damaged: dict[Digest, CorruptBlobError] = {}
    blobs = metadata = 0
    for page in _pages(source, total, "blobs", progress):
        broken: dict[Digest, CorruptBlobError] = {}
        there = _read(target, page, broken)
        found = _read(source, [digest for digest in page if digest not in there], damaged)
        _write(target, list(found.values()))
        blobs += len(found)
        for digest in broken.keys() & found.keys():
            target.get(digest)
    for page in _pages(source, total, "metadata", progress):
        held = _read_metadata(source, dict.fromkeys(page, keys), damaged)
        has = _read_metadata(target, {digest: list(values) for digest, values in held.items()}, {})
        metadata += _write_metadata(target, _differences(held, has))
    if damaged:
        raise IncompleteCopyError(blobs, metadata, list(damaged)) from next(iter(damaged.values()))
    return Copied(blobs, metadata)


def _pages(
    source: StoreBackend, total: int, phase: Literal["blobs", "metadata"], progress: Progress | None
) -> Iterator[list[Digest]]:
    digests = source.walk()
    done = 0
    while True:
        if progress:
            progress(done, total, phase)
        page = list(islice(digests, _PAGE))
        if not page:
            return
        yield page
        done += len(page)


def _read(
    backend: StoreBackend, digests: Sequence[Digest], damaged: dict[Digest, CorruptBlobError]
) -> dict[Digest, bytes]:
    if isinstance(backend, WorksInBulk):
        try:
            return backend.get_many(digests)
        except CorruptBlobError:
            pass  # one by one, to learn which
    found = {}
    for digest in digests:
        try:
            found[digest] = backend.get(digest)
        except BlobNotFoundError:
            continue
        except CorruptBlobError as error:
            damaged[digest] = error
    return found


def _write(backend: StoreBackend, datas: Sequence[bytes]) -> None:
    if isinstance(backend, WorksInBulk):
        backend.set_many(datas)
    else:
        for data in datas:
            backend.set(data)


def _read_metadata(
    backend: StoreBackend, asked: Mapping[Digest, Sequence[str] | None], damaged: dict[Digest, CorruptBlobError]
) -> dict[Digest, dict[str, bytes]]:
    """The values of each blob under the keys that are asked for; None asks for all."""
    if isinstance(backend, WorksInBulk):
        found = backend.get_many_metadata(list(asked))
        return {digest: _only(values, asked[digest]) for digest, values in found.items()}
    found = {}
    for digest, keys in asked.items():
        try:
            names = _keys(backend, digest) if keys is None else keys
            found[digest] = {key: value for key in names if (value := _value(backend, digest, key)) is not None}
        except BlobNotFoundError:
            continue
        except CorruptBlobError as error:
            damaged[digest] = error
    return found


def _keys(backend: StoreBackend, digest: Digest) -> Sequence[str]:
    return backend.metadata_keys(digest) if isinstance(backend, ListsMetadataKeys) else DOCKER_KEYS


def _only(values: dict[str, bytes], keys: Sequence[str] | None) -> dict[str, bytes]:
    return values if keys is None else {key: value for key, value in values.items() if key in keys}


def _value(backend: StoreBackend, digest: Digest, key: str) -> bytes | None:
    try:
        return backend.get_metadata(digest, key)
    except MetadataNotFoundError:
        return None


def _differences(
    held: Mapping[Digest, Mapping[str, bytes]], has: Mapping[Digest, Mapping[str, bytes]]
) -> list[tuple[Digest, str, bytes]]:
    return [
        (digest, key, value)
        for digest, values in held.items()
        for key, value in values.items()
        if has.get(digest, {}).get(key) != value
    ]


def _write_metadata(backend: StoreBackend, values: Sequence[tuple[Digest, str, bytes]]) -> int:
    """Returns how many were written: a blob that came to the source after its page is not in the target."""
    if isinstance(backend, WorksInBulk):
        try:
            backend.set_many_metadata(values)
            return len(values)
        except BlobNotFoundError:
            pass  # one by one, without it
    written = 0
    for digest, key, value in values:
        try:
            backend.set_metadata(digest, key, value)
            written += 1
        except BlobNotFoundError:
            continue
    return written
