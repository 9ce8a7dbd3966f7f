"""Images from before content addresses: moby's package ``image/v1``.

Their IDs are no hashes of their configurations, and each layer had a configuration of its own. Bytes that are no image raise
`InvalidImageError` here as they do in `Image.from_json`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from imagestore.digest import Digest
from imagestore.errors import InvalidDigestError
from imagestore.gojson import TEXT, Field, Pointer, Slice, Struct, decode, decode_members, encode, encode_members
from imagestore.image import HISTORY, ROOT_FS, V1_IMAGE, History, Image, RootFS, V1Image


def create_id(image: V1Image, layer_id: str, parent: str = "") -> Digest:
    """An ID for a V1 image, for clients that know no others.

    Args:
        image: its own ID does not matter.
        layer_id: the chain ID of its topmost layer.
        parent: the ID that this function gave its parent; empty without one, and then the image's own ``parent`` counts.

    Source: moby's ``v1.CreateID``.
    """
    return Digest.from_bytes(id_json(image, layer_id, parent))


def id_json(image: V1Image, layer_id: str, parent: str = "") -> bytes:
    """The JSON of which `create_id` is the digest."""
    members = V1_IMAGE.write_members(msgspec.structs.replace(image, id=""))
    members["layer_id"] = encode(TEXT, layer_id)
    if parent:
        members["parent"] = encode(TEXT, parent)
    return encode_members(members)


def history_from_config(image_json: bytes, empty_layer: bool) -> History:
    """The step of history that a V1 configuration tells of.

    Raises:
        InvalidImageError: it is none.

    Source: moby's ``v1.HistoryFromConfig``.
    """
    image: V1Image = decode(V1_IMAGE, image_json)
    return History(
        created=image.created,
        author=image.author,
        created_by=" ".join(image.container_config.cmd or ()),
        comment=image.comment,
        empty_layer=empty_layer,
    )


def make_config_from_v1_config(image_json: bytes, rootfs: RootFS | None, history: Sequence[History] | None) -> bytes:
    """The configuration of an image from a V1 configuration, its layers and its history.

    What a Docker before 1.8.3 wrote, or does not say who wrote, loses the keys that are not known; of anything else they stay.

    Raises:
        InvalidImageError: it is none.

    Source: moby's ``v1.MakeConfigFromV1Config``.
    """
    if _is_older(decode(_VERSIONED, image_json).docker_version, "1.8.3"):
        image_json = encode(V1_IMAGE, decode(V1_IMAGE, image_json))
    members = decode_members(image_json)
    for key in ("id", "parent", "Size", "parent_id", "layer_id", "throwaway"):
        members.pop(key, None)
    members["rootfs"] = encode(Pointer(ROOT_FS), rootfs)
    members["history"] = encode(Slice(HISTORY), history)
    return encode_members(members)


def make_v1_config_from_config(image: Image, v1_id: str, parent_v1_id: str = "", throwaway: bool = False) -> bytes:
    """The V1 configuration of an image: its own bytes without what V1 did not have.

    Args:
        image: one with bytes, so not a new child.
        v1_id: the ID to state.
        parent_v1_id: that of the parent; empty to leave what the configuration states.
        throwaway: whether to mark it as made only to fill up a chain.

    Source: moby's ``v1.MakeV1ConfigFromConfig``.
    """
    members = decode_members(image.raw_json)
    for key in ("rootfs", "history", "os.version", "os.features"):
        members.pop(key, None)
    members["id"] = encode(TEXT, v1_id)
    if parent_v1_id:
        members["parent"] = encode(TEXT, parent_v1_id)
    if throwaway:
        members["throwaway"] = b"true"
    return encode_members(members)


def validate_id(image_id: str) -> None:
    """Check that this is a V1 ID: 64 lower-case hexadecimal digits.

    Raises:
        InvalidDigestError: it is none.

    Source: moby's ``v1.ValidateID``.
    """
    if not re.fullmatch("[a-f0-9]{64}", image_id):
        raise InvalidDigestError(image_id, "a V1 image ID is 64 lower-case hexadecimal digits")


class _Versioned(msgspec.Struct, frozen=True):
    docker_version: str = ""


_VERSIONED: Final = Struct(_Versioned, Field("docker_version", "docker_version", TEXT))


def _is_older(version: str, other: str) -> bool:
    """Whether a version is less than another, part by part (moby's ``versions.LessThan``)."""
    parts, other_parts = ([_atoi(part) for part in text.split(".")] for text in (version, other))
    width = max(len(parts), len(other_parts))
    return [*parts, *[0] * (width - len(parts))] < [*other_parts, *[0] * (width - len(other_parts))]


def _atoi(text: str) -> int:
    """What Go's ``strconv.Atoi`` answers beside its error: 0 for what is no number, the nearest of 64 bits if out of range."""
    sign, digits, rest = re.fullmatch(r"([+-]?)([0-9]*)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    number = int(digits.lstrip("0")[:21] or "0")
    if rest and number < 2**64:
        return 0
    return max(-number, -(2**63)) if sign == "-" else min(number, 2**63 - 1)
