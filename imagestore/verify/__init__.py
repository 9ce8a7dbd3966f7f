"""Is the store sound? Bytes against digests, rows against bytes, indexes against facts; and indexes made anew.

The facts are the blobs and the metadata; the table of images is an index over them (`imagestore.sql.schema` draws all three), and so
are the layers that images have. Layers that were registered, names, and contents are facts of their own. A damaged fact is told and
left as it is. A damaged index is told and, if wanted, made anew from the facts.

    corrupt-blob     the bytes under a digest have another one
    stray-metadata   metadata whose blob is gone; its keys are kept for the day that it comes back
    missing-row      an image's bytes are there, and the index does not know it                               repaired
    extra-row        the index has an image whose bytes are none, or are gone                                 repaired if it has no name
    wrong-time       ``last_updated`` or ``last_used`` is not what the metadata says                          repaired
    wrong-parent     ``parent`` is not what the metadata says, or the index has a cycle                       repaired
    parent-cycle     metadata makes an image its own ancestor: no damage, but nobody means it
    wrong-top        ``top`` is not the chain of the layers that the configuration has, or is not there       repaired
    wrong-layer      a layer's chain ID is not that of its parent and its diff ID, or its parent is missing   repaired if an image has it
    wrong-reference  ``repository`` is not that of the name                                                   repaired
                     a name that is none, or that stands for an image that is not there
    wrong-lease      a lease that is gone holds layers still                                                  repaired
                     its ID, time or labels cannot be read, or a layer that it holds is not there
    content-lost     a layer's tar is gone from where the database has it
    corrupt-content  it has another size; or, where all bytes are read, another digest

An image whose metadata names a parent that is not there, or no image at all, is as it may be: neither is told. A cycle ends with
``store.set_parent(image_id, another)`` or ``store.backend.delete_metadata(image_id, "parent")`` on one of its images; which of them
has the wrong parent, only its owner knows. Expired leases, and layers, contents and files that nothing needs, are no damage:
`imagestore.collect` removes them.

    finding     what is told
    images      blobs, metadata, and the table of images
    layers      the trie, and contents
    names       references
    leases      leases, and what they hold
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from imagestore.sql import contents
from imagestore.verify import images, layers, leases, names
from imagestore.verify.finding import Damage, Finding, FindingKind

if TYPE_CHECKING:
    from imagestore.bind import Bind
    from imagestore.store import Store

__all__ = ["Finding", "FindingKind", "lacks_content", "verify"]


def verify(store: Store, repair: bool = False, content: bool = False) -> Iterator[Finding]:
    """Check all that a store holds, and tell what is wrong; nothing comes from a sound one.

    Reads all rows once, in pages of a hundred blobs or a thousand rows, each a transaction of its own: in use, a store may be verified
    all the same. Where it has a place for content, asks that for the size of each. Memory does not grow with the store. The checks run
    as the findings are fetched. For each thousand damaged layers, the configurations are read once more.

    Args:
        store: one that has joined a connection, or is a snapshot, is verified within that transaction; content that others delete
            meanwhile may be told as lost there.
        repair: make the damaged parts of the index anew from the facts, the findings of a page in one transaction, which commits. Facts
            are never changed, and nothing is made of what is damaged.
        content: read all bytes of the store's content, too, and compare their digests.

    Raises:
        ReadOnlyError: a snapshot was to be repaired, and there was something to repair.
    """
    bind = store.bind
    for damages in _checks(store, content):
        yield from _repaired(bind, damages) if repair else [damage.finding for damage in damages]


def lacks_content(store: Store) -> bool:
    """Whether the database has contents that were not looked for, as the store has no place for them. One read."""
    return store.content is None and store.bind.read(contents.has_any)


def _checks(store: Store, content: bool) -> Iterator[list[Damage]]:
    # A layer is explained by images, and a name stands for one: images first.
    yield from images.check(store.bind)
    yield from layers.check(store.bind)
    yield from names.check(store.bind)
    yield from leases.check(store.bind)
    if store.content is not None:
        yield from layers.check_contents(store.bind, store.content, whole=content)


def _repaired(bind: Bind, damages: list[Damage]) -> list[Finding]:
    if any(damage.repair for damage in damages):
        bind.write(_repair_all, damages)
    return [replace(damage.finding, repaired=damage.repair is not None) for damage in damages]


def _repair_all(connection: Connection, damages: list[Damage]) -> None:
    for repair, subject in dict.fromkeys((damage.repair, damage.finding.subject) for damage in damages):
        if repair is not None:
            repair(connection, subject)
