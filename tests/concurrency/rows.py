"""The rows of a small store and its files: put there, read, and held against each other."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql

from imagestore.digest import ImageID
from imagestore.sql import metadata
from tests.concurrency.layer_work import ALL_NAMES, lease_name

_TABLES: Final = ("blobs", "layers", "images", "metadata", "contents", "leases", "lease_layers", "references")
_ROOTS: Final = ("blobs", "leases", "layers", "contents")  # all others go with these
_READ: Final = """
    SELECT 'blob', digest, data, NULL::bytea FROM imagestore_blobs
    UNION ALL SELECT 'image', id, parent, top FROM imagestore_images
    UNION ALL SELECT 'last_updated', id, convert_to(last_updated, 'UTF8'), NULL FROM imagestore_images WHERE last_updated IS NOT NULL
    UNION ALL SELECT 'metadata', digest, key, value FROM imagestore_metadata
    UNION ALL SELECT 'layer', chain_id, diff_id, parent FROM imagestore_layers
    UNION ALL SELECT 'content', diff_id, convert_to(name, 'UTF8'), NULL FROM imagestore_contents
    UNION ALL SELECT 'lease', convert_to(id, 'UTF8'), CASE WHEN expires > '2021' THEN 'alive'::bytea ELSE 'expired'::bytea END, NULL
        FROM imagestore_leases
    UNION ALL SELECT 'leased', chain_id, convert_to(lease, 'UTF8'), NULL FROM imagestore_lease_layers
    UNION ALL SELECT 'reference', image, convert_to(name, 'UTF8'), NULL FROM imagestore_references
"""
Row = tuple[str, bytes, bytes | None, bytes | None]


class Dump(NamedTuple):
    """A script that brings rows back, and the files beside them."""

    script: str
    files: frozenset[str]


class Rows:
    """All rows, through the connection that watches the sessions, and the files."""

    def __init__(self, control: psycopg.Connection, files: set[str]) -> None:
        self._control = control
        self._files = files
        self._read: list[Row] = []

    def clear(self) -> None:
        self.load(Dump("", frozenset()))

    def dump(self) -> Dump:
        """What is there now."""
        script = []
        for table in _TABLES:
            rows = self._control.execute(f"SELECT * FROM imagestore_{table}").fetchall()
            if rows:
                script.append(f"INSERT INTO imagestore_{table} VALUES {', '.join(map(_literal, rows))};")
        return Dump("".join(script), frozenset(self._files))

    def load(self, dump: Dump) -> None:
        """Replace all rows and files by those of a `dump`."""
        self._control.execute("".join(f"DELETE FROM imagestore_{table};" for table in _ROOTS) + dump.script)
        self._files.clear()
        self._files.update(dump.files)

    def state(self) -> tuple[tuple[object, ...], ...]:
        """What is there now, times as "a time".

        Without files and contents that nothing needs: of two that remove the last two layers with a content at once, neither may see that.
        """
        self._read = self._control.execute(_READ).fetchall()
        used = {row[2] for row in self._rows_of("layer")}
        return tuple(sorted(_shown_row(row) for row in self._read if row[0] != "content" or row[1] in used))

    def has_layers(self) -> bool:
        """Whether there is what `Store.collect` looks at, in what `state` has read."""
        return bool(self._files) or any(row[0] in ("layer", "content", "lease") for row in self._read)

    def wrong(self) -> list[str]:
        """What contradicts itself in what `state` has read: bytes, rows, the two indexes over the metadata, and files."""
        found = []
        blobs = {row[1] for row in self._rows_of("blob")}
        parents = {row[1]: row[2] for row in self._rows_of("image")}
        updated = {row[1]: row[2] for row in self._rows_of("last_updated")}
        facts = {(row[1], row[2]): row[3] for row in self._rows_of("metadata")}
        found += [f"{_name(image)} has no bytes" for image in parents.keys() - blobs]
        for image, parent in parents.items():
            named = _raw(facts.get((image, b"parent")))
            if parent is not None:
                if parent != named:
                    found.append(f"{_name(image)} has the parent {_name(parent)}, its metadata says {_name(named)}")
                if image in _ancestry(parents, parent):
                    found.append(f"{_name(image)} is its own ancestor")
            elif named in parents and image not in _ancestry(parents, named):
                found.append(f"{_name(image)} has no parent, its metadata says {_name(named)}")
            time = metadata.indexed_time(facts.get((image, metadata.LAST_UPDATED)))
            if time != (updated[image].decode() if image in updated else None):
                found.append(f"{_name(image)} was last updated {updated.get(image)!r}, its metadata says {time}")
        lost = [row for row in self._rows_of("content") if (row[2] or b"").decode() not in self._files]
        return found + [f"the content of {_name(row[1])} has no file" for row in lost]

    def left(self) -> list[str]:
        """What is garbage in what `state` has read, after a collect that nobody disturbed."""
        below = {row[1]: row[3] for row in self._rows_of("layer")}
        reached: set[bytes] = set()
        for start in [row[3] for row in self._rows_of("image")] + [row[1] for row in self._rows_of("leased")]:
            reached |= _ancestry(below, start)
        used = {row[2] for row in self._rows_of("layer")}
        owners = {row[1].decode() for row in self._rows_of("lease")}
        named = {(row[2] or b"").decode() for row in self._rows_of("content")}
        return [
            *(f"nothing reaches the layer {_name(chain)}" for chain in below.keys() - reached),
            *(f"no layer has the content {_name(row[1])}" for row in self._rows_of("content") if row[1] not in used),
            *(f"the lease {_shown_row(row)[1]} has expired" for row in self._rows_of("lease") if row[2] != b"alive"),
            *(f"nothing names {name}" for name in self._files - named if name.partition("-")[0] not in owners),
        ]

    def _rows_of(self, kind: str) -> list[Row]:
        return [row for row in self._read if row[0] == kind]


def _shown_row(row: Row) -> tuple[str, ...]:
    kind, first, second, third = row
    if kind == "metadata":
        return kind, _name(first), _shown(second), "a time" if second == metadata.LAST_UPDATED else _shown(third)
    if kind == "image":
        return kind, _name(first), _shown(second), _name(third)
    if kind == "layer":
        return kind, _name(first)
    if kind == "content":
        return kind, _name(first), lease_name((second or b"").decode().partition("-")[0])
    if kind == "lease":
        return kind, lease_name(first.decode()), (second or b"").decode()
    if kind == "leased":
        return kind, _name(first), lease_name((second or b"").decode())
    if kind == "reference":
        return kind, _name(first), (second or b"").decode()
    return kind, _name(first), ""


def _ancestry(parents: dict[bytes, bytes | None], image: bytes | None) -> set[bytes]:
    seen: set[bytes] = set()
    while image is not None and image not in seen:
        seen.add(image)
        image = parents.get(image)
    return seen


def _raw(value: bytes | None) -> bytes | None:
    return None if value is None else ImageID(value.decode()).raw


def _literal(row: tuple[Any, ...]) -> str:
    return "(" + ", ".join(_literal_value(value) for value in row) + ")"


def _literal_value(value: Any) -> str:
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'::bytea"
    return sql.Literal(value).as_string()


def _name(digest: bytes | None) -> str:
    return "none" if digest is None else ALL_NAMES.get(digest, digest.hex()[:8])


def _shown(value: bytes | None) -> str:
    if value is None:
        return ""
    raw = _raw(value) if value.startswith(b"sha256:") else value
    return ALL_NAMES.get(raw or b"") or value.decode()
