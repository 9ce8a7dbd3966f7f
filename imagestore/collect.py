"""Garbage collection: `Store.collect` removes what no image and no lease reaches. Images are never garbage.

In this order, so that a crash or another process between any two steps leaves garbage and never damage:

    leases      those that have expired
    layers      that nothing holds, from the top down, then those below that nothing holds any more
    contents    that no layer has
    files       whose rows went before the commit of a delete or of the step before, and those that a killed writer has left

Files are listed before leases are read, and leases before contents: so one that is just being registered is named by its lease, or by
its row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from imagestore.arguments import check_limit
from imagestore.batches import batched
from imagestore.bind import Bind, EngineBind
from imagestore.content.place import Content, delete
from imagestore.digest import ChainID, DiffID
from imagestore.errors import UnusableBindError
from imagestore.sql import garbage, leases

BATCH: Final = 500
"""Rows that one transaction removes at most, by default."""

_NAMES: Final = 10_000  # files that are looked up at once


@dataclass(frozen=True, slots=True)
class Collected:
    """What `Store.collect` has removed, or would remove.

    Attributes:
        leases: that had expired.
        layers: that nothing reached.
        contents: rows of contents that no layer had.
        size: bytes of the tars in these rows.
        files: what was removed from the place of the contents, these and what no row named; 0 without such a place. One that could
            not be removed is logged, and not counted.
    """

    leases: int
    layers: int
    contents: int
    size: int
    files: int


def collect(bind: Bind, content: Content | None, *, dry_run: bool, batch: int) -> Collected:
    """For `imagestore.store.Store.collect`."""
    if not isinstance(bind, EngineBind):
        raise UnusableBindError("garbage is collected in transactions of its own: call collect of the store itself")
    batch = check_limit(batch)
    if dry_run:
        return _look(bind, content)
    expired = 0
    while (found := bind.write(leases.remove_expired, batch)) > 0:
        expired += found
    layers = sum(_free_layers(bind, batch))
    freed = list(_free_contents(bind, batch))
    files = 0 if content is None else delete(content, _unnamed(bind, content))
    return Collected(expired, layers, len(freed), sum(freed), files)


def _look(bind: Bind, content: Content | None) -> Collected:
    with bind.reading() as snapshot:
        expired = snapshot.read(leases.count_expired)
        layers, contents, size = snapshot.read(garbage.count)
    unnamed = 0 if content is None else sum(1 for _ in _unnamed(bind, content, garbage.find_leases_alive))
    return Collected(expired, layers, contents, size, unnamed + (contents if content is not None else 0))


def _free_layers(bind: Bind, batch: int) -> Iterator[int]:
    after: ChainID | None = None
    while found := bind.read(garbage.find_alone, after, batch):
        after = found[-1]
        level = found
        while level:
            removed, level = bind.write(garbage.free, level)
            yield removed


def _free_contents(bind: Bind, batch: int) -> Iterator[int]:
    after: DiffID | None = None
    while found := bind.read(garbage.find_unused, after, batch):
        after = found[-1]
        yield from bind.write(garbage.free_contents, found)


def _unnamed(
    bind: Bind, content: Content, find_leases: Callable[[Connection, Sequence[str]], set[str]] = garbage.find_leases
) -> Iterator[str]:
    """Names in the place that no lease and no row has."""
    for names in batched(content.names(), _NAMES):
        owners = {name: name.partition("-")[0] for name in names}
        alive = bind.read(find_leases, sorted(set(owners.values())))
        left = [name for name in names if owners[name] not in alive]
        named = bind.read(garbage.find_named, left)
        yield from (name for name in left if name not in named)
