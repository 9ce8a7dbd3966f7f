"""The rows of a small store: put there, read, and held against each other."""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import sql

from imagestore.digest import ImageID
from imagestore.sql import metadata
from tests.concurrency.work import NAMES

_READ: Final = """
    SELECT 'blob', digest, data, NULL::bytea FROM imagestore_blobs
    UNION ALL SELECT 'image', id, parent, NULL FROM imagestore_images
    UNION ALL SELECT 'last_updated', id, convert_to(last_updated, 'UTF8'), NULL FROM imagestore_images WHERE last_updated IS NOT NULL
    UNION ALL SELECT 'metadata', digest, key, value FROM imagestore_metadata
"""
Row = tuple[str, bytes, bytes | None, bytes | None]


class Rows:
    """All rows of the three tables, through the connection that watches the sessions."""

    def __init__(self, control: psycopg.Connection) -> None:
        self._control = control
        self._read: list[Row] = []

    def clear(self) -> None:
        self._control.execute("TRUNCATE imagestore_blobs, imagestore_images, imagestore_metadata CASCADE")

    def dump(self) -> str:
        """A script that brings the present rows back."""
        found = self._control.execute(_READ).fetchall()
        images = {row[1]: row[2] for row in found if row[0] == "image"}
        times = {row[1]: row[2].decode() for row in found if row[0] == "last_updated"}
        values = {
            "blobs": [row[1:3] for row in found if row[0] == "blob"],
            "images": [(id, parent, times.get(id)) for id, parent in images.items()],
            "metadata": [row[1:] for row in found if row[0] == "metadata"],
        }
        columns = {"images": " (id, parent, last_updated)"}
        return "DELETE FROM imagestore_blobs;" + "".join(
            f"INSERT INTO imagestore_{table}{columns.get(table, '')} VALUES {', '.join(map(_literal, rows))};"
            for table, rows in values.items()
            if rows
        )

    def load(self, script: str) -> None:
        """Replace all rows by those of a `dump`."""
        self._control.execute(script)

    def state(self) -> tuple[object, ...]:
        """What is there now, times as "a time"."""
        self._read = self._control.execute(_READ).fetchall()
        return tuple(
            sorted(
                (kind, _name(digest), _shown(second), "a time" if second == metadata.LAST_UPDATED else _shown(third))
                if kind == "metadata"
                else (kind, _name(digest), _shown(second) if kind == "image" else "")
                for kind, digest, second, third in self._read
            )
        )

    def wrong(self) -> list[str]:
        """What contradicts itself in what `state` has read: bytes, rows, and the two indexes over the metadata."""
        found = []
        blobs = {row[1] for row in self._read if row[0] == "blob"}
        parents = {row[1]: row[2] for row in self._read if row[0] == "image"}
        updated = {row[1]: row[2] for row in self._read if row[0] == "last_updated"}
        facts = {(row[1], row[2]): row[3] for row in self._read if row[0] == "metadata"}
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
        return found


def _ancestry(parents: dict[bytes, bytes | None], image: bytes | None) -> set[bytes]:
    seen: set[bytes] = set()
    while image is not None and image not in seen:
        seen.add(image)
        image = parents.get(image)
    return seen


def _raw(value: bytes | None) -> bytes | None:
    return None if value is None else ImageID(value.decode()).raw


def _literal(row: tuple[bytes | str | None, ...]) -> str:
    return "(" + ", ".join(_literal_value(value) for value in row) + ")"


def _literal_value(value: bytes | str | None) -> str:
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'::bytea"
    return sql.Literal(value).as_string()


def _name(digest: bytes | None) -> str:
    return "none" if digest is None else NAMES.get(digest, digest.hex()[:8])


def _shown(value: bytes | None) -> str:
    if value is None:
        return ""
    raw = _raw(value) if value.startswith(b"sha256:") else value
    return NAMES.get(raw or b"") or value.decode()
