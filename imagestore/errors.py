"""Every error that imagestore raises of its own.

    ImageStoreError
    ├── NotFoundError (LookupError)
    │   ├── ImageNotFoundError          no image has this ID
    │   ├── ParentNotFoundError         the image that was to become the parent is not there
    │   ├── BlobNotFoundError           the backend holds no such blob
    │   ├── MetadataNotFoundError       the blob is there, the key is not
    │   ├── LayerNotFoundError          there is no such chain of layers, or no content of it
    │   ├── ReferenceNotFoundError      no image has this name
    │   └── LeaseExpiredError           the lease has expired, or was ended
    ├── InvalidError (ValueError)
    │   ├── InvalidDigestError          not an "algorithm:hex" digest, or not one of sha256 where that is needed
    │   ├── InvalidReferenceError       not a name of an image as docker's users write it
    │   ├── InvalidImageError           bytes that Go's image.NewFromJSON or Store.Create refuses
    │   ├── InvalidBlobError            a blob without bytes
    │   ├── InvalidKeyError             a metadata key that no file name can be
    │   ├── InvalidTimeError            not an RFC 3339 time
    │   ├── UnsupportedPlatformError    no layer store for this operating system
    │   ├── AmbiguousIDError (LookupError)   a short ID that begins several
    │   ├── UnknownRevisionError        a revision of the tables that this release does not have
    │   ├── UnusableBindError           an engine, a connection or a URL that a store cannot work on
    │   ├── UnusableDataRootError       a path in which Docker's image database is not to be found
    │   ├── InvalidLayerError           a stream that is no tar, or breaks off within one
    │   ├── LayerTooLargeError          a layer that has more bytes than a limit allows
    │   ├── InvalidArchiveError         an archive that cannot be loaded, or an image in it
    │   │   └── ArchiveLimitError       one that is larger than a named limit allows
    │   ├── UnusableContentError        a place for content that belongs to another store, or that is gone
    │   └── ReadOnlyError               a write through ``Store.reading``
    ├── ConflictError
    │   ├── ParentCycleError            the link would make an image its own ancestor
    │   ├── DependentChildrenError      the image has children, and was not to be forced
    │   ├── ReferenceConflictError      the name stands for an image already
    │   └── MultipleReferencesError     the image has several names, and was to be removed by its ID
    ├── DataLossError
    │   ├── CorruptBlobError            stored bytes that no longer have their digest
    │   ├── CorruptContentError         the same of a layer's tar
    │   ├── ContentLostError            a layer's tar is gone from where the database has it
    │   └── IncompleteCopyError         damaged blobs were left out of a copy
    └── SchemaError
        ├── SchemaMissingError          the database has no tables of ours
        ├── SchemaTooOldError           an upgrade is needed, and the command is named
        ├── SchemaTooNewError           this release is older than the database
        ├── ForeignSchemaError          tables are there that this package did not make
        └── SchemaLockedError           another process is changing them

A message names the subject and, where there is one, the remedy; the values are attributes too. Errors of the drivers stay
what they are (``sqlalchemy.exc.OperationalError`` and so on); where a remedy is known it is a note on them.
"""

from __future__ import annotations

from collections.abc import Sequence


class ImageStoreError(Exception):
    """The root of all errors of this package."""


class NotFoundError(ImageStoreError, LookupError):
    """What was asked for is not there."""


class ImageNotFoundError(NotFoundError):
    """No image has this ID."""

    def __init__(self, image_id: str) -> None:
        self.image_id = image_id
        super().__init__(f"No such image: {image_id}")


class ParentNotFoundError(NotFoundError):
    """The image that was to become the parent is not in the store."""

    def __init__(self, parent: str) -> None:
        self.parent = parent
        super().__init__(f"unknown parent image ID {parent}: create that image first")


class BlobNotFoundError(NotFoundError):
    """The backend holds no blob under this digest."""

    def __init__(self, digest: str) -> None:
        self.digest = digest
        super().__init__(f"failed to get digest {digest}: no such blob")


class MetadataNotFoundError(NotFoundError):
    """The blob is there, but has no metadata under this key."""

    def __init__(self, digest: str, key: str) -> None:
        self.digest = digest
        self.key = key
        super().__init__(f"failed to read metadata {key!r} of {digest}: no such key")


class LayerNotFoundError(NotFoundError):
    """There is no layer under this chain ID, or no content of it (moby's ``layer.ErrLayerDoesNotExist``)."""

    def __init__(self, chain_id: str) -> None:
        self.chain_id = chain_id
        super().__init__(f"failed to get layer {chain_id}: layer does not exist")


class ReferenceNotFoundError(NotFoundError):
    """No image has this name (distribution's ``ErrDoesNotExist``)."""

    def __init__(self, reference: str) -> None:
        self.reference = reference
        super().__init__(f"reference does not exist: {reference}")


class LeaseExpiredError(NotFoundError):
    """The lease has expired, or was ended; what it held may have been collected."""

    def __init__(self, lease: str) -> None:
        self.lease = lease
        super().__init__(
            f"lease {lease} has expired or was ended: take one with a longer ttl, or renew it in time, and start again"
        )


class InvalidError(ImageStoreError, ValueError):
    """An argument that cannot be right, whatever the store holds."""


class InvalidDigestError(InvalidError):
    """A text that is no digest of the wanted kind."""

    def __init__(self, text: object, reason: str) -> None:
        self.text = text
        self.reason = reason
        super().__init__(f"invalid digest {_shown(text)}: {reason}")


class InvalidReferenceError(InvalidError):
    """A text that names no image; ``reason`` says why as the daemon says it, the message as ``docker tag`` does."""

    def __init__(self, text: object, reason: str) -> None:
        self.text = text
        self.reason = reason
        super().__init__(f"{_shown(text)} is not a valid repository/tag: {reason}")


class InvalidImageError(InvalidError):
    """Bytes that are no image configuration."""


class InvalidBlobError(InvalidError):
    """A blob without bytes, which no backend stores."""

    def __init__(self) -> None:
        super().__init__("invalid empty data: a blob has at least one byte")


class InvalidKeyError(InvalidError):
    """A metadata key that Docker's directory could not hold as a file name."""

    def __init__(self, key: object, reason: str) -> None:
        self.key = key
        self.reason = reason
        super().__init__(f"invalid metadata key {_shown(key)}: {reason}")


class InvalidTimeError(InvalidError):
    """A text that is no RFC 3339 time as Go reads it."""


class UnsupportedPlatformError(InvalidError):
    """The image's operating system has no layer store."""

    def __init__(self, operating_system: str, known: Sequence[str]) -> None:
        self.operating_system = operating_system
        self.known = tuple(known)
        stores = ", ".join(repr(name) for name in self.known) or "none"
        super().__init__(
            f"unsupported image operating system {operating_system!r}: layer stores are given for {stores}"
        )


class AmbiguousIDError(InvalidError, LookupError):
    """A short ID that is the beginning of several images' IDs; ``candidates`` has at most ten of them."""

    def __init__(self, term: str, candidates: Sequence[str]) -> None:
        self.term = term
        self.candidates = tuple(candidates)
        super().__init__(f"ambiguous image ID {term!r}: it may be {', '.join(self.candidates)}; give more digits")


class UnknownRevisionError(InvalidError):
    """A revision of the tables that this release does not have."""

    def __init__(self, revision: str, known: Sequence[str]) -> None:
        self.revision = revision
        self.known = tuple(known)
        super().__init__(f"no revision {revision!r}: there are 'base', {', '.join(map(repr, self.known))} and 'head'")


class UnusableBindError(InvalidError):
    """An engine, a connection or a URL that a store cannot work on; the message says what to change."""


class UnusableDataRootError(InvalidError):
    """A path in which Docker's image database is not to be found; the message says what was looked for."""


class InvalidLayerError(InvalidError):
    """A stream that is no tar, or breaks off within one; the message says where, and ``reason`` is "corrupt-layer" or "truncated"."""

    def __init__(self, message: str, *, reason: str = "corrupt-layer") -> None:
        self.reason = reason
        super().__init__(message)


class LayerTooLargeError(InvalidError):
    """A layer with more bytes than a limit allows, or that asks for more memory to be decompressed; ``limit`` names the setting."""

    def __init__(self, limit: str, value: int, what: str) -> None:
        self.limit = limit
        self.value = value
        self.what = what
        super().__init__(f"{what}, more than {limit}={value}: give a larger one if that is meant")


class InvalidArchiveError(InvalidError):
    """An archive that cannot be loaded, or an image in it; in the daemon's words where it has any.

    ``reason`` is one word for programs, as "truncated", "digest-mismatch" or "platform".
    """

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class ArchiveLimitError(InvalidArchiveError):
    """An archive that is larger than a limit allows; ``limit`` names it, a field of `imagestore.archive.Limits`."""

    def __init__(self, limit: str, value: int, what: str, *, reason: str = "limit") -> None:
        self.limit = limit
        super().__init__(reason, f"{what}, more than the limit {limit}={value}: give a larger one if that is meant")

    @classmethod
    def of(cls, error: LayerTooLargeError, subject: str = "") -> ArchiveLimitError:
        """What a layer that is too large is in an archive, where ``subject`` names it: the ``limit`` of one is called ``layer`` there."""
        limit = "layer" if error.limit == "limit" else error.limit
        return cls(limit, error.value, f"{subject}: {error.what}" if subject else error.what)


class UnusableContentError(InvalidError):
    """A place for content that belongs to another store, or in which what the database has written is gone."""


class ReadOnlyError(InvalidError):
    """A write was tried through a snapshot of ``Store.reading``."""


class ConflictError(ImageStoreError):
    """The request is sound, but what the store holds forbids it."""


class ParentCycleError(ConflictError):
    """The link would make an image its own ancestor."""

    def __init__(self, image_id: str, parent: str) -> None:
        self.image_id = image_id
        self.parent = parent
        relation = "itself" if image_id == parent else f"its descendant {parent}"
        super().__init__(f"cannot make {relation} the parent of image {image_id}: an image cannot be its own ancestor")


class DependentChildrenError(ConflictError):
    """The image has children; ``children`` names them."""

    def __init__(self, image_id: str, children: Sequence[str]) -> None:
        self.image_id = image_id
        self.children = tuple(children)
        more = f" and {len(self.children) - 10} more" if len(self.children) > 10 else ""
        super().__init__(
            f"conflict: unable to delete {_short(image_id)} (cannot be forced) - image has dependent child images: "
            f"{', '.join(map(_short, self.children[:10]))}{more}; remove them first"
        )


class ReferenceConflictError(ConflictError):
    """The name stands for an image already, and was not to be forced; or it is a digest, which never stands for another."""

    def __init__(self, reference: str, image_id: str, digest: str | None = None) -> None:
        self.reference = reference
        self.image_id = image_id
        super().__init__(
            f"Conflict: Tag {reference} is already set to image {image_id}, if you want to replace it, please use the force option"
            if digest is None
            else f"Cannot overwrite digest {digest}"
        )


class MultipleReferencesError(ConflictError):
    """The image was named by its ID, and has several names, which go only if that is forced."""

    def __init__(self, image_id: str) -> None:
        self.image_id = image_id
        super().__init__(
            f"conflict: unable to delete {_short(image_id)} (must be forced) - image is referenced in multiple repositories"
        )


class DataLossError(ImageStoreError):
    """Something that was stored is damaged."""


class CorruptBlobError(DataLossError):
    """Stored bytes that no longer have the digest under which they lie."""

    def __init__(self, digest: str) -> None:
        self.digest = digest
        super().__init__(f"failed to verify: {digest}: the stored bytes are damaged; store the sound ones again")


class CorruptContentError(DataLossError):
    """The bytes that are kept of a layer no longer have its diff ID."""

    def __init__(self, diff_id: str, name: str) -> None:
        self.diff_id = diff_id
        self.name = name
        super().__init__(
            f"failed to verify: {diff_id}: its content {name!r} is damaged: remove that, and register the layer again"
        )


class ContentLostError(DataLossError):
    """What is kept of a layer is not where the database has it."""

    def __init__(self, diff_id: str, name: str) -> None:
        self.diff_id = diff_id
        self.name = name
        super().__init__(
            f"the content {name!r} of {diff_id} is gone: register the layer again, or restore it from a backup"
        )


class IncompleteCopyError(DataLossError):
    """Blobs of the source are damaged and were left out; ``blobs`` and ``metadata`` count what was written, ``damaged`` names them."""

    def __init__(self, blobs: int, metadata: int, damaged: Sequence[str]) -> None:
        self.blobs = blobs
        self.metadata = metadata
        self.damaged = tuple(damaged)
        more = f" and {len(self.damaged) - 10} more" if len(self.damaged) > 10 else ""
        super().__init__(
            f"everything was copied but {len(self.damaged)} damaged blobs of the source: {', '.join(self.damaged[:10])}{more}; "
            "restore them from elsewhere and copy again"
        )


class SchemaError(ImageStoreError):
    """The database's tables are not those of this release."""


class SchemaMissingError(SchemaError):
    """The database has no tables of ours, and none were to be created."""


class SchemaTooOldError(SchemaError):
    """The database stands at an earlier revision; ``command`` is what brings it up."""

    def __init__(self, current: str, head: str, command: str = "imagestore db upgrade") -> None:
        self.current = current
        self.head = head
        super().__init__(f"the database is at revision {current}, this release needs {head}: run '{command}'")


class SchemaTooNewError(SchemaError):
    """The database stands at a revision that this release does not know."""

    def __init__(self, current: str, head: str) -> None:
        self.current = current
        self.head = head
        super().__init__(
            f"the database is at revision {current}, which is newer than {head}, the newest that this release knows: "
            "install the release that wrote it, or a later one"
        )


class ForeignSchemaError(SchemaError):
    """There are imagestore_* tables, but no revision of ours: something else made them."""


class SchemaLockedError(SchemaError):
    """Another process is changing the tables."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        super().__init__(
            f"another process has been changing the imagestore tables of this database for more than {timeout:g} seconds: "
            "wait for it, or look in pg_locks for who holds the advisory lock"
        )


def _short(image_id: str) -> str:
    """The twelve digits of an ID that docker shows."""
    return image_id.removeprefix("sha256:")[:12]


def _shown(value: object) -> str:
    """A value as a message quotes it: all of it, or the beginning of a long one."""
    shown = repr(value)
    return shown if len(shown) <= 160 else shown[:150] + "…"
