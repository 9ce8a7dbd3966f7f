"""How a population comes into a store before it is measured: by the driver in bulk, or as files without a sync."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.population import Population, configs, is_used, stack, time
from benchmarks.raw import Driver
from imagestore.digest import ChainID, Digest, chain_id
from imagestore.layer import links
from imagestore.store import Store

_TABLES: Final = {
    "imagestore_blobs": "digest, data",
    "imagestore_layers": "chain_id, diff_id, parent, size",
    "imagestore_images": "id, parent, last_updated, last_used, top",
    "imagestore_metadata": "digest, key, value",
}


def load(store: Store, population: Population) -> None:
    """Store a population in an empty database, with its parents, and a time for each head; then let the database settle."""
    driver = Driver.of(store)
    rows = zip(
        _TABLES.items(),
        (_blobs(population), _layers(population), _images(population), _metadata(population)),
        strict=True,
    )
    driver.begin()
    for (table, columns), found in rows:
        _insert(driver.writer, table, columns, found)
    driver.writer.commit()
    if isinstance(driver.writer, sqlite3.Connection):
        driver.read("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    else:
        driver.read("VACUUM (ANALYZE)")
        driver.read("CHECKPOINT")


def load_files(root: Path, population: Population) -> None:
    """Write a population as Docker's directory has it."""
    contents, beside = root / "content" / "sha256", root / "metadata" / "sha256"
    contents.mkdir(parents=True)
    beside.mkdir(parents=True)
    for image_id, config in zip(population.ids, configs(len(population.ids)), strict=True):
        (contents / image_id.hex).write_bytes(config)
    for digest, key, value in _metadata(population):
        folder = beside / digest.hex()
        folder.mkdir(exist_ok=True)
        (folder / key.decode()).write_bytes(value)


def _insert(connection: Any, table: str, columns: str, rows: Iterable[tuple[Any, ...]]) -> None:
    if isinstance(connection, sqlite3.Connection):
        marks = ", ".join("?" * len(columns.split()))
        connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)
        return
    with connection.cursor().copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _blobs(population: Population) -> Iterator[tuple[bytes, bytes]]:
    return zip((image_id.raw for image_id in population.ids), configs(len(population.ids)), strict=True)


def _layers(population: Population) -> Iterator[tuple[bytes, bytes, bytes | None, int]]:
    """Each once, and above the one below it."""
    known: set[ChainID] = set()
    for number in range(len(population.ids)):
        for link in links(stack(number)):
            if link.chain_id not in known:
                known.add(link.chain_id)
                parent = None if link.parent is None else Digest(link.parent).raw
                yield Digest(link.chain_id).raw, Digest(link.diff_id).raw, parent, number * 1000


def _images(population: Population) -> Iterator[tuple[bytes, bytes | None, str | None, str | None, bytes]]:
    inner = set(population.parents)
    for number, (image_id, parent) in enumerate(zip(population.ids, population.parents, strict=True)):
        updated = None if number in inner else time(number)
        used = time(number) if is_used(number) else None
        top = chain_id(stack(number))
        yield image_id.raw, None if parent is None else population.ids[parent].raw, updated, used, Digest(top).raw


def _metadata(population: Population) -> Iterator[tuple[bytes, bytes, bytes]]:
    inner = set(population.parents)
    for number, (image_id, parent) in enumerate(zip(population.ids, population.parents, strict=True)):
        if parent is not None:
            yield image_id.raw, b"parent", population.ids[parent].encode()
        if number not in inner:
            yield image_id.raw, b"lastUpdated", time(number).encode()
        if is_used(number):
            yield image_id.raw, b"lastUsed", time(number).encode()
