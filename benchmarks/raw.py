"""The same work with the driver alone: what a program would write that has only sqlite3 or psycopg, and our tables.

`Raw` has the methods of `imagestore.Store` and sends what it sends, on the driver connections that it has. It verifies what the store
verifies, parses (with `json.loads`) what the store parses, and makes nothing of the rows.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Self

import psycopg
from sqlalchemy import Connection, make_url

from benchmarks.statements import statements, walks
from imagestore.gojson import GoTime
from imagestore.sql.uses import Use
from imagestore.store import Store

_PAGE: Final = 1000
_PARENT: Final = b"parent"

_DEEPEST: Final = 1_000_000

Row = tuple[Any, ...]


class Link(NamedTuple):
    """A place in the trie of layers."""

    chain_id: bytes
    diff_id: bytes
    parent: bytes | None


class Driver:
    """A driver's two connections, as a store has them, and the statements in its dialect.

    Args:
        reader: for reads, in autocommit.
        writer: for writes.
    """

    def __init__(self, reader: Any, writer: Any) -> None:
        self._sqlite = isinstance(reader, sqlite3.Connection)
        self.sql = statements(self._sqlite)
        self._walks = walks(self._sqlite)
        self.read = _executor(reader)
        self.write = _executor(writer)
        self.reader = reader
        self.writer = writer

    @classmethod
    def of(cls, store: Store) -> Self:
        """The very connections that a store has in its pools while nobody uses them."""
        return cls(store._bind.read(_driver_connection), store._bind.write(_driver_connection))

    def all(self, name: str, *parameters: Any) -> list[Row]:
        rows: list[Row] = self.read(self.sql[name], parameters).fetchall()
        return rows

    def walk(self, name: str, **values: Any) -> list[Row]:
        """The rows of a walk over the trie."""
        sql, names, constants = self._walks[name]
        given = {**constants, **values}
        rows: list[Row] = self.read(sql, given if names is None else [given[each] for each in names]).fetchall()
        return rows

    def listed(self, execute: Callable[..., Any], name: str, values: Sequence[bytes], *before: Any) -> list[Row]:
        """The rows of a statement that has a list of values for its last parameter."""
        sql = self.sql[name]
        if self._sqlite:
            rows = execute(sql.format(ids=f"IN ({', '.join('?' * len(values))})"), (*before, *values)).fetchall()
        else:
            rows = execute(sql, (*before, list(values))).fetchall()
        return list(rows)

    def begin(self) -> None:
        if self._sqlite:  # psycopg begins by itself
            self.write("BEGIN IMMEDIATE")

    def insert_one(self, digest: bytes, config: bytes, stack: list[Link]) -> None:
        """What storing one image is, in one transaction."""
        self.begin()
        if self.write(self.sql["insert blob"], (digest, config)).fetchone() is None:
            self.write(self.sql["hold shared"], (digest,)).fetchone()
            self.write(self.sql["mend blob"], (config, digest, config))
        else:
            self.write(self.sql["insert image"], (digest, self.hold_layers(stack)))
            self.write(self.sql["hold waiting"], (_PARENT, _text(digest))).fetchone()
        self.writer.commit()

    def insert_many(self, data: dict[bytes, tuple[bytes, list[Link]]]) -> None:
        """What storing images in bulk is, in one transaction."""
        digests = sorted(data)
        self.begin()
        self.listed(self.write, "hold many", digests)
        cursor = self.writer.cursor()
        cursor.executemany(self.sql["insert blobs"], [(digest, data[digest][0]) for digest in digests])
        depths = {link: depth for _, stack in data.values() for depth, link in enumerate(stack)}
        new = sorted(depths, key=lambda link: (depths[link], link.chain_id))
        if new:
            there = {row[0] for row in self._existing("hold layers", new)}
            self._insert_layers([link for link in new if link.chain_id not in there])
        rows = [(digest, data[digest][1][-1].chain_id if data[digest][1] else None) for digest in digests]
        cursor.executemany(self.sql["insert image"], rows)
        self.listed(self.write, "waited for", [_text(digest) for digest in digests], _PARENT)
        self.writer.commit()

    def hold_layers(self, stack: list[Link]) -> bytes | None:
        """Make sure of a stack of layers, and return its top."""
        if not stack:
            return None
        highest = self._existing("hold highest", stack)
        place = next((place for place, link in enumerate(stack) if highest and link.chain_id == highest[0][0]), -1)
        self._insert_layers(stack[place + 1 :])
        return stack[-1].chain_id

    def free_layers(self, top: bytes | None) -> None:
        """Remove a stack as far as nothing holds it."""
        freed: list[Row] = []
        while top is not None:
            held = _DEEPEST if self._sqlite else len(self.write(self.sql["hold alone"], (top,)).fetchall())
            removed = {row[0]: row for row in self.write(self.sql["delete alone"], (top, held)).fetchall()}
            while top in removed:
                freed.append(removed[top])
                top = removed[top][2]
            if len(removed) < held:
                break
        if not freed:
            return
        if top is not None:
            self.write(self.sql["size of stack"], (top,)).fetchone()
        given = (len(freed), b"".join(row[1] for row in freed))
        if self._sqlite or self.write(self.sql["hold unused"], given).fetchall():
            self.write(self.sql["delete unused"], given).fetchall()

    def _existing(self, name: str, links: Sequence[Link]) -> list[Row]:
        chains = b"".join(link.chain_id for link in reversed(links))
        rows: list[Row] = self.write(self.sql[name], (len(links), chains)).fetchall()
        return rows

    def _insert_layers(self, new: Sequence[Link]) -> None:
        if new:
            self.writer.cursor().executemany(self.sql["insert layers"], new)

    def put(self, digest: bytes, key: bytes, value: bytes) -> None:
        self.write(self.sql["put metadata"], (digest, key, value))


class Raw:
    """The methods of `imagestore.Store`."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.backend = RawBackend(driver)
        self.lineage = self

    # Reads

    def get(self, image_id: str) -> Row:
        return _verified(self._driver.read(self._driver.sql["get"], (_PARENT, _raw(image_id))).fetchone())

    def get_many(self, image_ids: Sequence[str]) -> list[Row]:
        rows = self._driver.listed(self._driver.read, "get_many", [_raw(image_id) for image_id in image_ids], _PARENT)
        return [_verified(row) for row in rows]

    def __contains__(self, image_id: str) -> bool:
        return self._driver.read(self._driver.sql["contains"], (_raw(image_id),)).fetchone() is not None

    def __len__(self) -> int:
        count: int = self._driver.read(self._driver.sql["len"], ()).fetchone()[0]
        return count

    def search(self, term: str) -> bytes:
        bounds = (bytes.fromhex(term.ljust(64, "0")), bytes.fromhex(term.ljust(64, "f")))
        ((found,),) = self._driver.read(self._driver.sql["search"], bounds).fetchall()
        return bytes(found)

    def get_parent(self, image_id: str) -> Any:
        return self._driver.read(self._driver.sql["get_parent"], (_PARENT, _raw(image_id))).fetchone()[1]

    def children(self, image_id: str) -> list[Row]:
        return self._driver.all("children", _raw(image_id))

    def ancestors(self, image_id: str) -> list[Row]:
        return self._driver.all("ancestors", _raw(image_id))

    def descendants(self, image_id: str) -> list[Row]:
        return self._driver.all("descendants", _raw(image_id))

    def bases(self, image_id: str, after: None, limit: int) -> list[Row]:
        return self._driver.walk("bases", image_id=_raw(image_id), limit=limit, after_chain=b"", after_id=b"")

    def derived(self, image_id: str, after: None, limit: int) -> list[Row]:
        return self._driver.walk("derived", image_id=_raw(image_id), limit=limit)

    def shared_layers(self, image_id: str, other: str) -> list[Row]:
        return self._driver.walk("shared_layers", image_id=_raw(image_id), other_id=_raw(other), count=2)

    def sizes(self, image_id: str) -> list[Row]:
        return self._driver.walk("sizes", image_id=_raw(image_id))

    def unused_since(self, time: GoTime, after: Use, limit: int) -> list[Row]:
        place = {"after_never": _raw(after.image_id), "after_time": "", "after_id": b""}
        return self._driver.walk("unused_since", time=time.utc_text, limit=limit, **place)

    def get_last_updated(self, image_id: str) -> Any:
        return self._driver.read(self._driver.sql["metadata"], (_raw(image_id), b"lastUpdated")).fetchone()

    def last_used(self, image_id: str) -> Any:
        return self._driver.read(self._driver.sql["metadata"], (_raw(image_id), b"lastUsed")).fetchone()

    def is_built_locally(self, image_id: str) -> Any:
        return self._driver.read(self._driver.sql["metadata"], (_raw(image_id), b"builtLocally")).fetchone()

    def page(self, after: str | None = None, limit: int = 100, *, heads: bool = False) -> list[Row]:
        return self._page(_raw(after) if after else b"", limit, heads=heads)

    def stream(self, *, heads: bool = False) -> Iterator[Row]:
        after = b""
        while True:
            rows = self._page(after, _PAGE, heads=heads)
            yield from rows
            if len(rows) < _PAGE:
                return
            after = rows[-1][0]

    def map(self) -> dict[bytes, Row]:
        return {row[0]: _verified(row) for row in self._driver.read(self._driver.sql["map"], (_PARENT,))}

    def heads(self) -> dict[bytes, Row]:
        return {row[0]: _verified(row) for row in self._driver.read(self._driver.sql["heads"], (_PARENT,))}

    # Writes

    def create(self, config: bytes) -> None:
        self._driver.insert_one(hashlib.sha256(config).digest(), config, _stack(json.loads(config)))

    def create_many(self, configs: Sequence[bytes]) -> None:
        self._driver.insert_many(
            {hashlib.sha256(config).digest(): (config, _stack(json.loads(config))) for config in configs}
        )

    def set_parent(self, image_id: str, parent: str) -> None:
        child = _raw(image_id)
        self._driver.begin()
        self._driver.write(self._driver.sql["hold child"], (child,)).fetchone()
        self._driver.write(self._driver.sql["has children"], (child,)).fetchone()
        self._driver.write(self._driver.sql["set parent"], (_raw(parent), child))
        self._driver.put(child, _PARENT, parent.encode())
        self._driver.writer.commit()

    def set_last_updated(self, image_id: str) -> None:
        self._set_time(_raw(image_id), "set last_updated", b"lastUpdated")

    def touch(self, image_id: str) -> None:
        self._set_time(_raw(image_id), "set last_used", b"lastUsed")

    def set_built_locally(self, image_id: str) -> None:
        digest = _raw(image_id)
        self._driver.begin()
        self._driver.write(self._driver.sql["hold shared"], (digest,)).fetchone()
        self._driver.put(digest, b"builtLocally", b"\1")
        self._driver.writer.commit()

    def delete(self, image_id: str) -> None:
        digest = _raw(image_id)
        self._driver.begin()
        top = self._driver.write(self._driver.sql["hold child"], (digest,)).fetchone()[3]
        self._driver.write(self._driver.sql["unlink children"], (digest,)).fetchall()
        self._driver.write(self._driver.sql["delete blob"], (digest,))
        self._driver.free_layers(top)
        self._driver.writer.commit()

    def _page(self, after: bytes, limit: int, *, heads: bool) -> list[Row]:
        rows = self._driver.all("page of heads" if heads else "page", _PARENT, after, limit)
        return [_verified(row) for row in rows]

    def _set_time(self, digest: bytes, name: str, key: bytes) -> None:
        now = f"2024-03-01T09:30:00.{time.perf_counter_ns() % 10**9:09}Z"
        self._driver.begin()
        self._driver.write(self._driver.sql[name], (now, digest))
        self._driver.put(digest, key, now.encode())
        self._driver.writer.commit()


class RawBackend:
    """The methods of `imagestore.SQLBackend`."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def walk(self) -> Iterator[bytes]:
        after = b""
        while rows := self._driver.all("walk", after):
            yield from (row[0] for row in rows)
            after = rows[-1][0]

    def get(self, digest: str) -> bytes:
        raw = _raw(digest)
        data: bytes = self._driver.read(self._driver.sql["blob"], (raw,)).fetchone()[0]
        _verified((raw, data))
        return data

    def get_metadata(self, digest: str, key: str) -> Any:
        return _verified(self._driver.read(self._driver.sql["value"], (key.encode(), _raw(digest))).fetchone())[2]

    def metadata_keys(self, digest: str) -> list[Row]:
        return self._driver.all("keys", _raw(digest))

    def set(self, data: bytes) -> None:
        self._driver.insert_one(hashlib.sha256(data).digest(), data, _stack(json.loads(data)))

    def set_metadata(self, digest: str, key: str, value: bytes) -> None:
        raw = _raw(digest)
        self._driver.begin()
        _verified((raw, *self._driver.write(self._driver.sql["blob"], (raw,)).fetchone()))
        self._driver.put(raw, key.encode(), value)
        self._driver.writer.commit()

    def delete_metadata(self, digest: str, key: str) -> None:
        self._driver.begin()
        self._driver.write(self._driver.sql["delete metadata"], (_raw(digest), key.encode()))
        self._driver.writer.commit()


def connect(url: str) -> Any:
    """What `Store.open` comes down to: connect as the store does, and ask for the revision."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        connection: Any = sqlite3.connect(parsed.database or "", isolation_level=None, check_same_thread=False)
        for pragma in ("busy_timeout = 10000", "foreign_keys = ON", "synchronous = FULL", "journal_mode = WAL"):
            connection.execute(f"PRAGMA {pragma}")
    else:
        options: dict[str, Any] = dict(parsed.query)
        connection = psycopg.connect(dbname=parsed.database, user=parsed.username, autocommit=True, **options)
    connection.execute("SELECT version_num FROM imagestore_alembic_version").fetchall()
    return connection


def _executor(connection: Any) -> Callable[..., Any]:
    """What runs a statement fastest: sqlite3's own shortcut, psycopg's cursor in the binary format."""
    if isinstance(connection, sqlite3.Connection):
        return connection.execute
    execute: Callable[..., Any] = connection.cursor(binary=True).execute
    return execute


def _driver_connection(connection: Connection) -> Any:
    return connection.connection.driver_connection


def _raw(digest: str) -> bytes:
    return bytes.fromhex(digest[7:])


def _stack(config: Any) -> list[Link]:
    """The places of its layers in the trie, the lowest first."""
    found: list[Link] = []
    for text in config["rootfs"]["diff_ids"]:
        diff_id, parent = _raw(text), found[-1].chain_id if found else None
        chain = hashlib.sha256(_text(parent) + b" " + text.encode()).digest() if parent else diff_id
        found.append(Link(chain, diff_id, parent))
    return found


def _text(digest: bytes) -> bytes:
    return b"sha256:" + digest.hex().encode()


def _verified(row: Row) -> Row:
    if hashlib.sha256(row[1]).digest() != row[0]:
        raise ValueError(f"damaged: {row[0].hex()}")
    return row
