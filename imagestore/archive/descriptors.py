"""The documents of an OCI image layout, and how the blobs that they name are found and verified.

Nothing of a descriptor is believed: its digest has the form of one before it becomes a path, and what lies there has the size and the
digest that the descriptor says. Its ``urls`` are never fetched.

Source: the OCI image-spec, descriptor.md, image-index.md, manifest.md and image-layout.md; documents are read as Go reads them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from imagestore.archive.platforms import UNKNOWN, Platform
from imagestore.archive.source import Archive
from imagestore.archive.tree import Body
from imagestore.digest import Digest
from imagestore.errors import InvalidArchiveError, InvalidDigestError, InvalidImageError
from imagestore.gojson import INT, TEXT, TEXT_MAP, Field, Pointer, Slice, Struct, decode, quoted
from imagestore.gojson.kinds import Kind

INDEX_TYPE: Final = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar"
INDEXES: Final = frozenset(
    (
        INDEX_TYPE,
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
)
MANIFESTS: Final = frozenset(
    (
        MANIFEST_TYPE,
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
CONFIGS: Final = frozenset(
    (
        CONFIG_TYPE,
        "application/vnd.docker.container.image.v1+json",
    )
)
_LAYER: Final = re.compile(
    r"application/vnd\.(?:oci\.image\.layer\.(?:nondistributable\.)?v1\.tar(?:\+(?:gzip|zstd))?"
    r"|docker\.image\.rootfs\.(?:diff|foreign\.diff)\.tar(?:\.(?:gzip|zstd|zst))?)"
)
NAME: Final = "io.containerd.image.name"
REF_NAME: Final = "org.opencontainers.image.ref.name"
_ATTESTATION: Final = "vnd.docker.reference.type"
_FORM: Final = re.compile(r"([a-z0-9]+(?:[+._-][a-z0-9]+)*):[a-zA-Z0-9=_-]+")
VERSION: Final = "1.0.0"
SCHEMA_VERSION: Final = 2
_ALGORITHMS: Final = ("sha256", "sha384", "sha512")
_LONGEST_DIGEST: Final = len("sha512:") + 128
_REMEDY: Final = "the archive is damaged, or was made wrongly: save or fetch the image again"


class StatedPlatform(msgspec.Struct, frozen=True, kw_only=True):
    """The platform of a descriptor, as it is written."""

    architecture: str = ""
    os: str = ""
    variant: str = ""


class Descriptor(msgspec.Struct, frozen=True, kw_only=True):
    """What names a blob; ``size`` is in bytes, ``data`` the blob itself in base64, if it is there."""

    media_type: str = ""
    digest: str = ""
    size: int = 0
    annotations: Mapping[str, str] | None = None
    data: str = ""
    stated_platform: StatedPlatform | None = None
    artifact_type: str = ""

    @property
    def shown_digest(self) -> str:
        """The digest, as messages show it, even if it is none."""
        return (
            self.digest if _FORM.fullmatch(self.digest) and len(self.digest) <= _LONGEST_DIGEST else quoted(self.digest)
        )

    @property
    def platform(self) -> Platform | None:
        """The platform that it states, if it does."""
        stated = self.stated_platform
        if stated is None or not stated.os or not stated.architecture:
            return None
        return Platform.of(stated.os, stated.architecture, stated.variant)

    @property
    def may_be_image(self) -> bool:
        """Whether it may lead to an image, by what it says itself: no attestation, no artifact, of a known media type."""
        return (
            self.media_type in INDEXES | MANIFESTS
            and self.platform != UNKNOWN
            and _ATTESTATION not in (self.annotations or {})
            and (not self.artifact_type or self.artifact_type in CONFIGS)
        )

    @property
    def is_layer(self) -> bool:
        """Whether its media type is a layer's. With what that is compressed is for its bytes to say."""
        return _LAYER.fullmatch(self.media_type) is not None


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """An index or a manifest; what is not in it, or null, is None."""

    schema_version: int = 0
    media_type: str = ""
    manifests: tuple[Descriptor, ...] | None = None
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] | None = None


class Layout(msgspec.Struct, frozen=True):
    """What oci-layout says."""

    version: str = ""


_PLATFORM: Final = Struct(
    StatedPlatform,
    Field("architecture", "architecture", TEXT),
    Field("os", "os", TEXT),
    Field("variant", "variant", TEXT),
)
_DESCRIPTOR: Final = Struct(
    Descriptor,
    Field("media_type", "mediaType", TEXT),
    Field("digest", "digest", TEXT),
    Field("size", "size", INT),
    Field("annotations", "annotations", TEXT_MAP, omitempty=True),
    Field("data", "data", TEXT, omitempty=True),
    Field("stated_platform", "platform", Pointer(_PLATFORM), omitempty=True),
    Field("artifact_type", "artifactType", TEXT, omitempty=True),
)
_KIND: Final = (Field("schema_version", "schemaVersion", INT), Field("media_type", "mediaType", TEXT))
_ENTRIES: Final = Field("manifests", "manifests", Slice(_DESCRIPTOR))
_IMAGE: Final = (Field("config", "config", Pointer(_DESCRIPTOR)), Field("layers", "layers", Slice(_DESCRIPTOR)))
_DOCUMENT: Final = Struct(Document, *_KIND, _ENTRIES, *_IMAGE)
INDEX: Final = Struct(Document, *_KIND, _ENTRIES)
MANIFEST: Final = Struct(Document, *_KIND, *_IMAGE)
LAYOUT: Final = Struct(Layout, Field("version", "imageLayoutVersion", TEXT))


def check_layout(archive: Archive) -> None:
    """Check that an archive is an image layout of the one version that there is.

    Raises:
        InvalidArchiveError: it is none.
    """
    for name in ("oci-layout", "index.json"):
        if name not in archive:
            raise InvalidArchiveError(
                "no-layout",
                f"the archive has no {name} at its root, so it is no OCI image layout: save the image again",
            )
    version = _decoded(LAYOUT, archive.read("oci-layout"), "oci-layout").version
    if version != VERSION:
        raise InvalidArchiveError(
            "unsupported-version", f"oci-layout says version {quoted(version)}: only {VERSION} is known"
        )


def read_index(archive: Archive, descriptor: Descriptor | None = None) -> tuple[Descriptor, ...]:
    """The entries of an index: of index.json, or of the one that a descriptor names.

    Raises:
        InvalidArchiveError: it is none, or not the blob that the descriptor means.
    """
    if descriptor is None:
        subject = "index.json"
        document = _document(archive.read(subject), subject)
        if document.media_type and document.media_type not in INDEXES:
            raise _schema(subject, f"its mediaType is {quoted(document.media_type)}, which is no index")
    else:
        subject = f"the index {descriptor.shown_digest}"
        document = _named_document(archive, descriptor, subject)
    if document.manifests is None:
        raise _schema(subject, "it has no list of manifests")
    if document.config is not None or document.layers is not None:
        raise _schema(subject, "it has the config or the layers of a manifest too, so it is not clear which it is")
    return document.manifests


def read_manifest(archive: Archive, descriptor: Descriptor) -> tuple[Descriptor, tuple[Descriptor, ...]]:
    """The configuration and the layers of the manifest that a descriptor names.

    Raises:
        InvalidArchiveError: it is none, or not the blob that the descriptor means.
    """
    subject = f"the manifest {descriptor.shown_digest}"
    document = _named_document(archive, descriptor, subject)
    if document.config is None:
        raise _schema(subject, "it has no config")
    if document.manifests is not None:
        raise _schema(subject, "it has the manifests of an index too, so it is not clear which it is")
    return document.config, document.layers or ()


def read_blob(archive: Archive, descriptor: Descriptor, subject: str) -> bytes:
    """The bytes of the document that a descriptor names, verified; ``subject`` names it in messages.

    Raises:
        InvalidArchiveError: as for `find_blob`; or the bytes have another digest.
        ArchiveLimitError: it is larger than ``limits.document``.
    """
    find_blob(archive, descriptor, subject)
    data = archive.read(blob_path(descriptor))
    _check_bytes(descriptor, data, f"{subject} has other bytes than its digest says")
    return data


def find_blob(archive: Archive, descriptor: Descriptor, subject: str) -> Body:
    """The blob that a descriptor names, of the size that it says; the bytes are not read.

    Raises:
        InvalidArchiveError: the digest is none, the blob is not there, or it has another size.
    """
    _check_digest(descriptor, subject)
    path = blob_path(descriptor)
    if path not in archive:
        raise InvalidArchiveError(
            "missing-blob", f"{subject} is not in the archive: there is no {path}; save the image with all its blobs"
        )
    body = archive.file(path)
    if body.size != descriptor.size:
        raise InvalidArchiveError(
            "size-mismatch", f"{subject} has {body.size} bytes, and its descriptor says {descriptor.size}: {_REMEDY}"
        )
    if descriptor.data:
        _check_data(descriptor, subject)
    return body


def _check_digest(descriptor: Descriptor, subject: str) -> None:
    form = _FORM.fullmatch(descriptor.digest)
    if form is not None and form[1] not in _ALGORITHMS:
        raise InvalidArchiveError(
            "unsupported-digest", f"{subject} cannot be verified: only {', '.join(_ALGORITHMS)} are known"
        )
    try:
        Digest(descriptor.digest)
    except InvalidDigestError as error:
        raise InvalidArchiveError("invalid-digest", f"{subject} is named wrongly: {error}") from error


def _check_data(descriptor: Descriptor, subject: str) -> None:
    try:
        data = base64.b64decode(descriptor.data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _schema(subject, f"the data of its descriptor is no base64: {error}") from error
    if len(data) != descriptor.size:
        raise InvalidArchiveError(
            "size-mismatch",
            f"{subject} has {len(data)} bytes in the data of its descriptor, which says {descriptor.size}: {_REMEDY}",
        )
    _check_bytes(descriptor, data, f"{subject} has other bytes in the data of its descriptor than the digest says")


def _check_bytes(descriptor: Descriptor, data: bytes, what: str) -> None:
    algorithm, _, digits = descriptor.digest.partition(":")
    found = hashlib.new(algorithm, data).hexdigest()
    if found != digits:
        raise InvalidArchiveError("digest-mismatch", f"{what}: they have {algorithm}:{found}; {_REMEDY}")


def blob_path(descriptor: Descriptor) -> str:
    """Where the layout has the blob of a descriptor, whose digest has been checked."""
    return f"blobs/{descriptor.digest.replace(':', '/')}"


def _named_document(archive: Archive, descriptor: Descriptor, subject: str) -> Document:
    document = _document(read_blob(archive, descriptor, subject), subject)
    if document.media_type not in ("", descriptor.media_type):
        raise _schema(
            subject,
            f"its mediaType is {quoted(document.media_type)}, and its descriptor's {quoted(descriptor.media_type)}",
        )
    return document


def _document(data: bytes, subject: str) -> Document:
    document: Document = _decoded(_DOCUMENT, data, subject)
    if document.schema_version != SCHEMA_VERSION:
        raise _schema(subject, f"its schemaVersion is {document.schema_version}, and has to be {SCHEMA_VERSION}")
    return document


def _decoded(kind: Kind, data: bytes, subject: str) -> Any:
    try:
        return decode(kind, data)
    except InvalidImageError as error:
        raise _schema(subject, str(error).removeprefix("invalid image JSON: ")) from error


def _schema(subject: str, what: str) -> InvalidArchiveError:
    return InvalidArchiveError("schema", f"{subject} cannot be read: {what}")
