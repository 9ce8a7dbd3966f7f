"""Blobs against their digests, and metadata and the table of images against the blobs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from sqlalchemy import Connection

from imagestore.backends.sql import image_in
from imagestore.bind import Bind
from imagestore.digest import Digest, ImageID
from imagestore.image import Image
from imagestore.sql import checks, edges, images, layers, metadata, tops
from imagestore.verify.finding import REPAIR, ROWS, Damage, Finding, FindingKind

_BLOBS: Final = 100  # in a page, whose bytes are held in memory
_UNNAME: Final = "delete its names, then repair takes it out of the index"
_SHOWN: Final = 10  # images of a cycle that a finding names


def check(bind: Bind) -> Iterator[list[Damage]]:
    """Compare each blob, each key of metadata, and each row of an image."""
    for part in (_check_blobs, _check_strays, _check_entries, _check_endless, _check_unlinked, _check_cycles):
        yield from part(bind)


def sound_images(bind: Bind) -> Iterator[Image]:
    """All images whose bytes are sound, whether or not the index has them."""
    for page in _blobs(bind):
        for blob in page:
            if Digest.from_bytes(blob.data) == blob.digest and (image := image_in(blob.data)) is not None:
                yield image


def _check_blobs(bind: Bind) -> Iterator[list[Damage]]:
    for page in _blobs(bind):
        yield [damage for blob in page if (damage := _judge_blob(blob))]


def _blobs(bind: Bind) -> Iterator[list[checks.StoredBlob]]:
    after = b""
    while page := bind.read(checks.find_blobs, after, _BLOBS):
        yield page
        after = page[-1].digest.raw


def _judge_blob(blob: checks.StoredBlob) -> Damage | None:
    found = Digest.from_bytes(blob.data)
    if found != blob.digest:
        cause = f"the {len(blob.data)} bytes that are stored have the digest {found}"
        remedy = "store the sound bytes again, from a backup or another store: they take the place of these"
        return Damage(Finding(FindingKind.CORRUPT_BLOB, blob.digest, cause, remedy))
    image_id = ImageID.from_digest(blob.digest)
    image = image_in(blob.data)
    if image is None:
        return _no_image(image_id, blob.has_names) if blob.has_row else None
    if not blob.has_row:
        cause = "its bytes are those of an image, which the index does not have"
        finding = Finding(FindingKind.MISSING_ROW, image_id, cause, REPAIR)
        return Damage(finding, partial(images.adopt, stack=image.stack))
    top = layers.top_of(image.stack)
    if blob.top == top and (top is None or blob.top_is_there):
        return None
    cause = f"its topmost layer is {_or_nothing(blob.top)} in the index, {_or_nothing(top)} by its configuration"
    if blob.top == top:
        cause = f"its topmost layer {top} is missing"
    return Damage(Finding(FindingKind.WRONG_TOP, image_id, cause, REPAIR), partial(tops.set_top, stack=image.stack))


def _no_image(image_id: ImageID, has_names: bool) -> Damage:
    cause = "the index has it as an image, which its bytes are not"
    if has_names:
        return Damage(Finding(FindingKind.EXTRA_ROW, image_id, f"{cause}; it has names", _UNNAME))
    return Damage(Finding(FindingKind.EXTRA_ROW, image_id, cause, REPAIR), checks.delete_row)


def _check_strays(bind: Bind) -> Iterator[list[Damage]]:
    after = b""
    while rows := bind.read(checks.find_rows_alone, after, ROWS):
        yield [_lost(*row) for row in rows]
        after = rows[-1][0].raw
    after = b""
    while digests := bind.read(checks.find_metadata_alone, after, ROWS):
        yield [Damage(_stray(digest)) for digest in digests]
        after = digests[-1].raw


def _lost(image_id: ImageID, has_names: bool) -> Damage:
    cause = "the index has it as an image, and its bytes are gone"
    if has_names:
        remedy = f"create it again from a backup, or {_UNNAME}"
        return Damage(Finding(FindingKind.EXTRA_ROW, image_id, f"{cause}; it has names", remedy))
    remedy = "create it again from a backup; repair takes it out of the index"
    return Damage(Finding(FindingKind.EXTRA_ROW, image_id, cause, remedy), checks.delete_row_alone)


def _stray(digest: Digest) -> Finding:
    cause = "it has metadata, and its bytes are gone"
    remedy = "store the bytes again from a backup, or delete its rows from imagestore_metadata"
    return Finding(FindingKind.STRAY_METADATA, digest, cause, remedy)


def _check_entries(bind: Bind) -> Iterator[list[Damage]]:
    after = b""
    while page := bind.read(checks.find_index, after, ROWS):
        yield [Damage(finding, metadata.reindex) for row in page for finding in _judge_entry(row)]
        after = page[-1].id.raw


def _judge_entry(row: checks.IndexRow) -> Iterator[Finding]:
    times = {
        "last_updated": (row.last_updated, row.last_updated_value),
        "last_used": (row.last_used, row.last_used_value),
    }
    for column, (indexed, value) in times.items():
        expected = metadata.indexed_time(value)
        if indexed != expected:
            cause = f"{column} is {_or_nothing(indexed)} in the index, {_or_nothing(expected)} by the metadata"
            yield Finding(FindingKind.WRONG_TIME, row.id, cause, REPAIR)
    named = edges.named(row.parent_value or b"")
    if row.parent is not None and row.parent != named:
        yield _wrong_parent(row.id, f"its parent is {row.parent} in the index, {_or_nothing(named)} by the metadata")
    elif row.parent is not None and not row.parent_is_there:
        yield _wrong_parent(row.id, f"its parent is {row.parent} in the index, which has no such image")


def _check_endless(bind: Bind) -> Iterator[list[Damage]]:
    known: list[ImageID] = []
    while True:
        with bind.reading() as snapshot:
            path, cycle = snapshot.read(_climb, known)
        if not path:
            return
        known.append(cycle[0] if cycle else path[-1])
        if cycle:
            finding = _wrong_parent(cycle[0], f"the index makes it its own ancestor: {_told(cycle)}")
            yield [Damage(finding, metadata.reindex)]


def _climb(connection: Connection, known: list[ImageID]) -> tuple[list[ImageID], list[ImageID]]:
    """The ancestry of an image that does not end in a root, and the cycle in which it ends, from its lowest ID."""
    start = checks.find_endless(connection, known)
    if start is None:
        return [], []
    above = checks.find_ancestry(connection, start)
    path: dict[ImageID, None] = {}
    step: ImageID | None = start
    while step is not None and step in above and step not in path:
        path[step] = None
        step = above[step]
    if step not in path:
        return list(path), []  # a parent that is not there, of which _check_entries tells
    cycle = list(path)[list(path).index(step) :]
    lowest = cycle.index(min(cycle))
    return list(path), cycle[lowest:] + cycle[:lowest]


def _check_unlinked(bind: Bind) -> Iterator[list[Damage]]:
    for unlinked in _unlinked(bind):
        yield [
            Damage(_wrong_parent(image_id, f"it has none in the index, {parent} by the metadata"), metadata.reindex)
            for image_id, (parent, cycle) in unlinked.items()
            if not cycle
        ]


def _check_cycles(bind: Bind) -> Iterator[list[Damage]]:
    for unlinked in _unlinked(bind):
        yield [Damage(_in_cycle(image_id, cycle)) for image_id, (_, cycle) in unlinked.items() if cycle]


def _unlinked(bind: Bind) -> Iterator[dict[ImageID, tuple[ImageID, list[ImageID]]]]:
    """Images that have no parent in the index though the metadata names one that is there, with the cycle that it would close."""
    after: bytes | None = b""
    while after is not None:
        with bind.reading() as snapshot:
            found, after = snapshot.read(_find_unlinked, after)
        yield found


def _find_unlinked(
    connection: Connection, after: bytes
) -> tuple[dict[ImageID, tuple[ImageID, list[ImageID]]], bytes | None]:
    page = checks.find_unlinked(connection, after, ROWS)
    named = {image_id: parent for image_id, value in page if (parent := edges.named(value))}
    there = images.find_existing(connection, list(named.values()))
    found = {
        image_id: (parent, _cycle(image_id, parent, checks.find_ancestry(connection, parent)))
        for image_id, parent in named.items()
        if parent in there
    }
    return found, page[-1][0].raw if page else None


def _cycle(image_id: ImageID, parent: ImageID, above: dict[ImageID, ImageID | None]) -> list[ImageID]:
    """The images from this one up to itself, as the edge to the parent would have it; none where the ancestry ends elsewhere."""
    cycle = [image_id]
    step: ImageID | None = parent
    while step is not None and step != image_id and step in above and len(cycle) <= len(above):
        cycle.append(step)
        step = above[step]
    return cycle if step == image_id else []


def _in_cycle(image_id: ImageID, cycle: list[ImageID]) -> Finding:
    cause = f"the metadata makes it its own ancestor: {_told(cycle)}"
    remedy = "give one of them another parent, or delete its metadata 'parent'; till then the first is taken for a root"
    return Finding(FindingKind.PARENT_CYCLE, image_id, cause, remedy)


def _wrong_parent(image_id: ImageID, cause: str) -> Finding:
    return Finding(FindingKind.WRONG_PARENT, image_id, cause, REPAIR)


def _told(cycle: list[ImageID]) -> str:
    shown = [*cycle[:_SHOWN], *(["…"] if len(cycle) > _SHOWN else []), cycle[0]]
    return " < ".join(shown)


def _or_nothing(value: str | None) -> str:
    return "nothing" if value is None else value
