"""What callers give, checked before anything runs: configurations, IDs, limits of pages, and what a lease is taken with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from operator import index
from typing import Final

from imagestore.digest import ChainID, ImageID, is_sha256
from imagestore.errors import InvalidDigestError, InvalidError
from imagestore.image import Image

_LONGEST_PAGE: Final = 2**63 - 1  # the databases count no further
_LEASE: Final = re.compile("[0-9a-f]{0,32}", re.ASCII)
_LONGEST_LEASE: Final = 100 * 365 * 86400.0


def creatable(config: bytes) -> Image:
    """The image of a configuration that `Store.create` accepts.

    Raises:
        InvalidImageError: the bytes are no image configuration, or its history has more layers than its rootfs.
    """
    image = Image.from_json(config)
    image.check_history()
    return image


def possible_id(text: str) -> ImageID | None:
    """The ID, or None for what is no ID and so names no image."""
    try:
        return ImageID(text)
    except InvalidDigestError:
        if isinstance(text, str):
            return None
        raise


def check_chain_id(chain: str) -> ChainID:
    """A chain ID that a layer of the trie can have.

    Raises:
        InvalidDigestError: it is none.
    """
    if not is_sha256(chain):
        raise InvalidDigestError(chain, "a chain ID is 'sha256:' and 64 lower-case hexadecimal digits")
    return ChainID(chain)


def check_limit(limit: int) -> int:
    """How many rows a page or a batch has at most, as a database can count them.

    Raises:
        InvalidError: it is less than one.
    """
    if limit < 1:
        raise InvalidError(f"a page, and a batch, has at least one row, not {limit}")
    return min(index(limit), _LONGEST_PAGE)


def check_bytes(limit: object) -> int:
    """How many bytes the plain tar of a layer has at most.

    Raises:
        InvalidError: it is no whole number, or less than one.
    """
    if not isinstance(limit, int) or limit < 1:
        raise InvalidError(
            f"the limit= of a layer is a number of bytes above 0, not {limit!r}: leave it out for the default"
        )
    return limit


def check_lease(lease: object) -> str:
    """The ID of a lease, or the beginning of one.

    Raises:
        InvalidError: it is no text of hexadecimal digits.
    """
    if not (isinstance(lease, str) and _LEASE.fullmatch(lease)):
        raise InvalidError(f"a lease's ID has at most 32 hexadecimal digits, not {str(lease)[:100]!r}")
    return lease


def check_ttl(ttl: float) -> float:
    """The seconds of a lease.

    Raises:
        InvalidError: they are not more than none, or more than a hundred years.
    """
    if not 0 < ttl <= _LONGEST_LEASE:
        raise InvalidError(f"a lease lasts more than 0 and at most {_LONGEST_LEASE:.0f} seconds, not {ttl!r}")
    return float(ttl)


def check_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels of a lease.

    Raises:
        InvalidError: they are no texts, or hold what a database cannot.
    """
    texts: list[object] = [*labels, *labels.values()]
    for text in texts:
        if not (isinstance(text, str) and text.isprintable()):
            raise InvalidError(f"a lease's labels are printable texts under printable names, not {text!r}")
    return dict(labels)
