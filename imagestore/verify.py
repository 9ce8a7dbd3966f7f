"""Is the store sound? Bytes against digests, rows against bytes, indexes against facts; and indexes made anew.

The facts are the blobs and the metadata; the table of images is an index over them (`imagestore.sql.schema` draws all three). A damaged
fact is told and left as it is. A damaged index is told and, if wanted, made anew from the facts.

    corrupt-blob     the bytes under a digest have another one
    stray-metadata   metadata whose blob is gone; its keys are kept for the day that it comes back
    missing-row      an image's bytes are there, and the index does not know it                               repaired
    extra-row        the index has an image whose bytes are none, or are gone                                 repaired
    wrong-time       ``last_updated`` or ``last_used`` is not what the metadata says                          repaired
    wrong-parent     ``parent`` is not what the metadata says, or the index has a cycle                       repaired
    parent-cycle     metadata makes an image its own ancestor: no damage, but nobody means it

An image whose metadata names a parent that is not there, or no image at all, is as it may be: neither is told. A cycle ends with
``store.set_parent(image_id, another)`` or ``store.backend.delete_metadata(image_id, "parent")`` on one of its images; which of them
has the wrong parent, only its owner knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from sqlalchemy import Connection

from imagestore.backends.sql import image_in
from imagestore.digest import Digest, ImageID
from imagestore.sql import checks, edges, images, metadata

if TYPE_CHECKING:
    from imagestore.bind import Bind
    from imagestore.store import Store

_BLOBS: Final = 100  # in a page, whose bytes are held in memory
_ROWS: Final = 1000
_SHOWN: Final = 10  # images of a cycle that a finding names
_REPAIR: Final = "run 'imagestore verify --repair', or verify(store, repair=True)"


class FindingKind(StrEnum):
    """What is wrong."""

    CORRUPT_BLOB = "corrupt-blob"
    STRAY_METADATA = "stray-metadata"
    MISSING_ROW = "missing-row"
    EXTRA_ROW = "extra-row"
    WRONG_TIME = "wrong-time"
    WRONG_PARENT = "wrong-parent"
    PARENT_CYCLE = "parent-cycle"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        kind: what is wrong.
        subject: the blob or the image.
        cause: what was found, in words.
        remedy: what to do about it, in words.
        repaired: whether this run has set it right.
    """

    kind: FindingKind
    subject: Digest
    cause: str
    remedy: str
    repaired: bool = False


def verify(store: Store, repair: bool = False) -> Iterator[Finding]:
    """Check all that a store holds, and tell what is wrong; nothing comes from a sound one.

    Reads everything once, in pages of a hundred blobs or a thousand rows, each a transaction of its own: in use, a store may be verified
    all the same. Memory does not grow with the store. The checks run as the findings are fetched.

    Args:
        store: one that has joined a connection, or is a snapshot, is verified within that transaction.
        repair: make the damaged parts of the index anew from the facts, the findings of a page in one transaction, which commits. Facts
            are never changed, and nothing is made of what is damaged.

    Raises:
        ReadOnlyError: a snapshot was to be repaired, and there was something to repair.
    """
    bind = store._bind
    for check in (_check_blobs, _check_strays, _check_entries, _check_endless, _check_unlinked, _check_cycles):
        for damages in check(bind):
            yield from _repaired(bind, damages) if repair else [damage.finding for damage in damages]


_Repair: TypeAlias = Callable[[Connection, ImageID], object]


class _Damage(NamedTuple):
    finding: Finding
    repair: _Repair | None = None


def _repaired(bind: Bind, damages: list[_Damage]) -> list[Finding]:
    if any(damage.repair for damage in damages):
        bind.write(_repair_all, damages)
    return [replace(damage.finding, repaired=damage.repair is not None) for damage in damages]


def _repair_all(connection: Connection, damages: list[_Damage]) -> None:
    repairs = dict.fromkeys((damage.repair, ImageID.from_digest(damage.finding.subject)) for damage in damages)
    for repair, image_id in repairs:
        if repair is not None:
            repair(connection, image_id)


def _check_blobs(bind: Bind) -> Iterator[list[_Damage]]:
    after = b""
    while page := bind.read(checks.find_blobs, after, _BLOBS):
        yield [damage for blob in page if (damage := _judge_blob(blob))]
        after = page[-1].digest.raw


def _judge_blob(blob: checks.StoredBlob) -> _Damage | None:
    found = Digest.from_bytes(blob.data)
    if found != blob.digest:
        cause = f"the {len(blob.data)} bytes that are stored have the digest {found}"
        remedy = "store the sound bytes again, from a backup or another store: they take the place of these"
        return _Damage(Finding(FindingKind.CORRUPT_BLOB, blob.digest, cause, remedy))
    image = image_in(blob.data)
    if (image is not None) == blob.has_row:
        return None
    if image is None:
        cause = "the index has it as an image, which its bytes are not"
        finding = Finding(FindingKind.EXTRA_ROW, blob.digest, cause, _REPAIR)
        return _Damage(finding, checks.delete_row)
    cause = "its bytes are those of an image, which the index does not have"
    return _Damage(
        Finding(FindingKind.MISSING_ROW, blob.digest, cause, _REPAIR), partial(images.adopt, stack=image.stack)
    )


def _check_strays(bind: Bind) -> Iterator[list[_Damage]]:
    after = b""
    while rows := bind.read(checks.find_rows_alone, after, _ROWS):
        yield [_Damage(_lost(image_id), checks.delete_row_alone) for image_id in rows]
        after = rows[-1].raw
    after = b""
    while digests := bind.read(checks.find_metadata_alone, after, _ROWS):
        yield [_Damage(_stray(digest)) for digest in digests]
        after = digests[-1].raw


def _lost(image_id: ImageID) -> Finding:
    cause = "the index has it as an image, and its bytes are gone"
    remedy = "create it again from a backup; repair takes it out of the index"
    return Finding(FindingKind.EXTRA_ROW, image_id, cause, remedy)


def _stray(digest: Digest) -> Finding:
    cause = "it has metadata, and its bytes are gone"
    remedy = "store the bytes again from a backup, or delete its rows from imagestore_metadata"
    return Finding(FindingKind.STRAY_METADATA, digest, cause, remedy)


def _check_entries(bind: Bind) -> Iterator[list[_Damage]]:
    after = b""
    while page := bind.read(checks.find_index, after, _ROWS):
        yield [_Damage(finding, metadata.reindex) for row in page for finding in _judge_entry(row)]
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
            yield Finding(FindingKind.WRONG_TIME, row.id, cause, _REPAIR)
    named = edges.named(row.parent_value or b"")
    if row.parent is not None and row.parent != named:
        yield _wrong_parent(row.id, f"its parent is {row.parent} in the index, {_or_nothing(named)} by the metadata")
    elif row.parent is not None and not row.parent_is_there:
        yield _wrong_parent(row.id, f"its parent is {row.parent} in the index, which has no such image")


def _check_endless(bind: Bind) -> Iterator[list[_Damage]]:
    known: list[ImageID] = []
    while True:
        with bind.reading() as snapshot:
            path, cycle = snapshot.read(_climb, known)
        if not path:
            return
        known.append(cycle[0] if cycle else path[-1])
        if cycle:
            finding = _wrong_parent(cycle[0], f"the index makes it its own ancestor: {_told(cycle)}")
            yield [_Damage(finding, metadata.reindex)]


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


def _check_unlinked(bind: Bind) -> Iterator[list[_Damage]]:
    for unlinked in _unlinked(bind):
        yield [
            _Damage(_wrong_parent(image_id, f"it has none in the index, {parent} by the metadata"), metadata.reindex)
            for image_id, (parent, cycle) in unlinked.items()
            if not cycle
        ]


def _check_cycles(bind: Bind) -> Iterator[list[_Damage]]:
    for unlinked in _unlinked(bind):
        yield [_Damage(_in_cycle(image_id, cycle)) for image_id, (_, cycle) in unlinked.items() if cycle]


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
    page = checks.find_unlinked(connection, after, _ROWS)
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
    return Finding(FindingKind.WRONG_PARENT, image_id, cause, _REPAIR)


def _told(cycle: list[ImageID]) -> str:
    shown = [*cycle[:_SHOWN], *(["…"] if len(cycle) > _SHOWN else []), cycle[0]]
    return " < ".join(shown)


def _or_nothing(value: str | None) -> str:
    return "nothing" if value is None else value
