"""Content addresses: digests, image IDs, diff IDs and chain IDs.

All of them are ``str``, so that they print, compare, sort and serialise as what they are. A `Digest` is checked when it is
made. `DiffID` and `ChainID` are not: Go's image package accepts any string there and hashes it as it stands.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Final, Self

from imagestore.errors import InvalidDigestError

_HEX_LENGTHS: Final = {"sha256": 64, "sha384": 96, "sha512": 128}
_FORM: Final = re.compile(r"[A-Za-z0-9]+(?:[.+_-][A-Za-z0-9]+)*:[A-Za-z0-9=_-]+", re.ASCII)
_LOWER_HEX: Final = re.compile(r"[0-9a-f]*", re.ASCII)


class Digest(str):
    """A content address: an algorithm, a colon and lower-case hexadecimal digits.

    Args:
        text: "sha256:", "sha384:" or "sha512:" and as many digits as the algorithm has.

    Raises:
        InvalidDigestError: the text is none; the message says what is wrong with it.

    Source: go-digest's ``digest.Parse``, OCI image-spec "Digests".
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check the text; see the class."""
        if type(text) is cls:
            return text
        _check(text)
        return str.__new__(cls, text)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The SHA-256 digest of ``data`` (go-digest's ``FromBytes``)."""
        return cls.trusted("sha256:" + hashlib.sha256(data).hexdigest())

    @classmethod
    def from_raw(cls, raw: bytes) -> Self:
        """The SHA-256 digest whose 32 raw bytes are ``raw``, as SQL columns hold them."""
        if len(raw) != 32:
            raise InvalidDigestError(raw, f"a raw SHA-256 digest has 32 bytes, this one {len(raw)}")
        return str.__new__(cls, f"sha256:{raw.hex()}")

    @classmethod
    def trusted(cls, text: str) -> Self:
        """``text`` as it stands, unchecked: for what was checked before."""
        return str.__new__(cls, text)

    @property
    def algorithm(self) -> str:
        """What stands before the colon."""
        return self.partition(":")[0]

    @property
    def hex(self) -> str:
        """What stands after the colon."""
        return self.partition(":")[2]

    @property
    def raw(self) -> bytes:
        """The 32 bytes of a SHA-256 digest.

        Raises:
            InvalidDigestError: it is one of another algorithm (SQL columns hold SHA-256 only).
        """
        if not self.startswith("sha256:"):
            raise InvalidDigestError(str(self), "only sha256 digests are stored")
        return bytes.fromhex(self[7:])

    def __reduce__(self) -> tuple[Callable[[str], Self], tuple[str]]:
        return type(self).trusted, (str(self),)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str.__repr__(self)})"


class ImageID(Digest):
    """The ID of an image: the SHA-256 digest of its configuration bytes.

    Raises:
        InvalidDigestError: not "sha256:" and 64 lower-case hexadecimal digits.

    Source: moby's ``image.ID``.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check the text; see the class."""
        if type(text) is cls:
            return text
        made = super().__new__(cls, text)
        if not made.startswith("sha256:"):
            raise InvalidDigestError(text, "an image ID is a sha256 digest")
        return made

    @classmethod
    def from_digest(cls, digest: Digest) -> Self:
        """The ID of the image whose configuration has this digest (moby's ``IDFromDigest``)."""
        return cls(str(digest))

    @classmethod
    def stated(cls, text: str) -> ImageID:
        """``text`` as a configuration or a metadata row states it, whatever it is; checked when it is used as an ID."""
        return _StatedID.trusted(text)

    @property
    def digest(self) -> Digest:
        """The digest of the configuration bytes (moby's ``ID.Digest``).

        Raises:
            InvalidDigestError: this is what a damaged or foreign metadata row holds, and no digest.
        """
        return Digest(str(self))


class _StatedID(ImageID):
    """An ID that nobody has checked: as it is of another class, ``ImageID(it)`` does, and so does every call that takes an ID."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"ImageID({str.__repr__(self)})"


class _LayerID(str):
    """What names layers: a SHA-256 digest wherever it is in the trie, else any string."""

    __slots__ = ()

    @classmethod
    def from_raw(cls, raw: bytes) -> Self:
        """The one that is the SHA-256 digest of these 32 raw bytes, as SQL columns hold them."""
        return str.__new__(cls, "sha256:" + raw.hex())

    @property
    def raw(self) -> bytes:
        """The 32 bytes of one for which `is_sha256` is true; not checked again."""
        return bytes.fromhex(self[7:])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str.__repr__(self)})"


class DiffID(_LayerID):
    """The digest of a layer's uncompressed tar. Go's image package accepts any string, so it is not checked here."""

    __slots__ = ()


class ChainID(_LayerID):
    """The identity of a stack of layers, from the lowest to the topmost; empty for no layers."""

    __slots__ = ()


def chain_id(diff_ids: Iterable[str]) -> ChainID:
    """The chain ID of a stack of diff IDs, the lowest first.

    Nothing is validated: as in Go, empty diff IDs in front are skipped, later ones are hashed, and a single one is its own chain.

    Source: moby's ``layer.CreateChainID``; OCI image-spec "Layer ChainID".
    """
    chain = ""
    for diff_id in diff_ids:
        if chain:
            link = f"{chain} {diff_id}".encode("utf-8", "surrogateescape")
            chain = "sha256:" + hashlib.sha256(link).hexdigest()
        else:
            chain = str(diff_id)
    return ChainID(chain)


def is_sha256(text: object) -> bool:
    """Whether it is "sha256:" and 64 lower-case hexadecimal digits."""
    return (
        isinstance(text, str)
        and len(text) == 71
        and text.startswith("sha256:")
        and _LOWER_HEX.fullmatch(text, 7) is not None
    )


def _check(text: str) -> None:
    if not isinstance(text, str):
        raise InvalidDigestError(text, f"expected a str, not {type(text).__name__}")
    if not text:
        raise InvalidDigestError(text, "it is empty")
    algorithm, colon, digits = text.partition(":")
    if not colon:
        raise InvalidDigestError(text, "it has no algorithm; write 'sha256:' before the digits")
    wanted = _HEX_LENGTHS.get(algorithm)
    if wanted is None:
        if _FORM.fullmatch(text) and algorithm.lower() not in _HEX_LENGTHS:
            raise InvalidDigestError(text, f"unsupported digest algorithm {algorithm!r}")
        raise InvalidDigestError(text, "expected 'sha256:' and 64 lower-case hexadecimal digits")
    if not _LOWER_HEX.fullmatch(digits):
        raise InvalidDigestError(text, "digits are 0 to 9 and a to f, in lower case")
    if len(digits) != wanted:
        raise InvalidDigestError(text, f"{algorithm} has {wanted} digits, this one {len(digits)}")
