"""The statements that the store sends, as a program would write them by hand for sqlite3 or psycopg."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.dialects.sqlite import pysqlite

from imagestore.sql import sharing, trie, uses
from imagestore.sql.driver import Read

_ROWS: Final = (
    "SELECT i.id, b.data, m.value FROM imagestore_images i JOIN imagestore_blobs b ON b.digest = i.id "
    "LEFT JOIN imagestore_metadata m ON m.digest = i.id AND m.key = ?"
)
_IS_HEAD: Final = "coalesce((SELECT FALSE FROM imagestore_images c WHERE c.parent = i.id LIMIT 1), TRUE)"
_PAGE: Final = (
    "SELECT i.id, (SELECT data FROM imagestore_blobs WHERE digest = i.id), "
    "(SELECT value FROM imagestore_metadata WHERE digest = i.id AND key = ?) "
    "FROM imagestore_images i WHERE {}i.id > ? ORDER BY i.id LIMIT ?"
)
_WALK: Final = (
    "WITH RECURSIVE walk (id, parent, depth) AS (SELECT id, parent, 0 FROM imagestore_images WHERE id = ? UNION ALL "
    "SELECT s.id, s.parent, walk.depth + 1 FROM walk JOIN imagestore_images s ON {} WHERE walk.depth < 1000000) "
    "SELECT id FROM walk ORDER BY depth, id"
)
_GIVEN: Final = "WITH RECURSIVE given (place) AS (SELECT 0 UNION ALL SELECT place + 1 FROM given WHERE place + 1 < ?)"
_EXISTING: Final = (
    f"{_GIVEN} SELECT l.chain_id FROM given "
    "JOIN imagestore_layers l ON l.chain_id = substr(?, place * 32 + 1, 32) ORDER BY place"
)
_IS_ALONE: Final = (
    "coalesce((SELECT FALSE FROM imagestore_images WHERE top = l.chain_id LIMIT 1), TRUE) "
    "AND coalesce((SELECT FALSE FROM imagestore_lease_layers WHERE chain_id = l.chain_id LIMIT 1), TRUE) "
    "AND coalesce((SELECT FALSE FROM imagestore_layers u WHERE u.parent = l.chain_id{} LIMIT 1), TRUE)"
)
_ALONE: Final = (
    "WITH RECURSIVE walk (chain_id, parent, depth, alone) AS (SELECT chain_id, parent, 0, "
    f"{_IS_ALONE.format('')} FROM imagestore_layers l WHERE chain_id = ? UNION ALL "
    f"SELECT l.chain_id, l.parent, depth + 1, {_IS_ALONE.format(' AND u.chain_id <> walk.chain_id')} "
    "FROM walk JOIN imagestore_layers l ON l.chain_id = walk.parent WHERE alone)"
)
_UNUSED: Final = (
    "FROM imagestore_contents AS c WHERE c.diff_id IN (SELECT substr(?, place * 32 + 1, 32) FROM given) "
    "AND coalesce((SELECT FALSE FROM imagestore_layers l WHERE l.diff_id = c.diff_id LIMIT 1), TRUE)"
)
_WAITING: Final = "FROM imagestore_metadata WHERE length(value) = 71 AND key = ? AND value"

# A question mark is a parameter, {ids} a list of them.
_TEXTS: Final = {
    "get": f"{_ROWS} WHERE i.id = ?",
    "get_many": f"{_ROWS} WHERE i.id {{ids}}",
    "contains": "SELECT 1 FROM imagestore_images WHERE id = ?",
    "len": "SELECT count(*) FROM imagestore_images",
    "search": "SELECT id FROM imagestore_images WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 10",
    "get_parent": "SELECT i.id, m.value FROM imagestore_images i LEFT JOIN imagestore_metadata m ON m.digest = i.id AND m.key = ? "
    "WHERE i.id = ?",
    "children": "SELECT id FROM imagestore_images WHERE parent = ? ORDER BY id",
    "ancestors": _WALK.format("s.id = walk.parent"),
    "descendants": _WALK.format("s.parent = walk.id"),
    "metadata": "SELECT m.value FROM imagestore_metadata m JOIN imagestore_images i ON i.id = m.digest WHERE m.digest = ? AND m.key = ?",
    "page": _PAGE.format(""),
    "page of heads": _PAGE.format(f"{_IS_HEAD} AND "),
    "map": f"{_ROWS} ORDER BY i.id",
    "heads": f"{_ROWS} WHERE {_IS_HEAD} ORDER BY i.id",
    "blob": "SELECT data FROM imagestore_blobs WHERE digest = ?",
    "walk": "SELECT digest FROM imagestore_blobs WHERE digest > ? ORDER BY digest LIMIT 1000",
    "value": "SELECT b.digest, b.data, m.value FROM imagestore_blobs b "
    "LEFT JOIN imagestore_metadata m ON m.digest = b.digest AND m.key = ? WHERE b.digest = ?",
    "keys": "SELECT m.key FROM imagestore_blobs b LEFT JOIN imagestore_metadata m ON m.digest = b.digest WHERE b.digest = ? "
    "ORDER BY m.key",
    "hold shared": "SELECT 1 FROM imagestore_images WHERE id = ?{for_key_share}",
    "hold child": "SELECT id, parent, {sees_snapshot}, top FROM imagestore_images WHERE id = ?{for_update}",
    "hold parent": "SELECT id FROM imagestore_images WHERE id = ?{for_key_share}",
    "hold many": "SELECT id FROM imagestore_images WHERE id {ids} ORDER BY id{for_key_share}",
    "has children": "SELECT id FROM imagestore_images WHERE parent = ? LIMIT 1",
    "insert blob": "INSERT INTO imagestore_blobs (digest, data) VALUES (?, ?) ON CONFLICT DO NOTHING RETURNING digest",
    "insert blobs": "INSERT INTO imagestore_blobs (digest, data) VALUES (?, ?) ON CONFLICT DO NOTHING",
    "hold highest": f"{_EXISTING} LIMIT 1{{for_key_share_of_l}}",
    "hold layers": f"{_EXISTING}{{for_key_share_of_l}}",
    "insert layers": "INSERT INTO imagestore_layers (chain_id, diff_id, parent) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    "hold alone": f"{_ALONE} SELECT l.chain_id FROM walk JOIN imagestore_layers l ON l.chain_id = walk.chain_id ORDER BY depth"
    "{for_update_of_l}",
    "delete alone": f"{_ALONE} DELETE FROM imagestore_layers WHERE chain_id IN (SELECT chain_id FROM walk WHERE alone AND depth < ?) "
    "RETURNING chain_id, diff_id, parent, size",
    "size of stack": "WITH RECURSIVE stack (chain_id, parent, size) AS (SELECT chain_id, parent, size FROM imagestore_layers "
    "WHERE chain_id = ? UNION SELECT l.chain_id, l.parent, l.size FROM stack JOIN imagestore_layers l ON l.chain_id = stack.parent) "
    "SELECT coalesce(sum(size), 0) FROM stack",
    "hold unused": f"{_GIVEN} SELECT c.diff_id {_UNUSED} ORDER BY c.diff_id{{for_update_of_c}}",
    "delete unused": f"{_GIVEN} DELETE {_UNUSED} RETURNING name",
    "insert image": "INSERT INTO imagestore_images (id, top) VALUES (?, ?) ON CONFLICT DO NOTHING",
    "hold waiting": f"SELECT id FROM imagestore_images WHERE id IN (SELECT digest {_WAITING} = ?) ORDER BY id{{for_update}}",
    "waited for": f"SELECT DISTINCT value {_WAITING} {{ids}}",
    "set parent": "UPDATE imagestore_images SET parent = ? WHERE id = ?",
    "set last_updated": "UPDATE imagestore_images SET last_updated = ? WHERE id = ?",
    "set last_used": "UPDATE imagestore_images SET last_used = ? WHERE id = ?",
    "put metadata": "INSERT INTO imagestore_metadata (digest, key, value) VALUES (?, ?, ?) "
    "ON CONFLICT (digest, key) DO UPDATE SET value = excluded.value",
    "delete metadata": "DELETE FROM imagestore_metadata WHERE digest = ? AND key = ?",
    "unlink children": "UPDATE imagestore_images SET parent = NULL WHERE parent = ? RETURNING id",
    "mend blob": "UPDATE imagestore_blobs SET data = ? WHERE digest = ? AND data <> ?",
    "delete blob": "DELETE FROM imagestore_blobs WHERE digest = ?",
}

_SQLITE: Final = {
    "ids": "{ids}",
    "for_update": "",
    "for_update_of_c": "",
    "for_update_of_l": "",
    "for_key_share": "",
    "for_key_share_of_l": "",
    "sees_snapshot": "0",
}
_POSTGRESQL: Final = {
    "ids": "= ANY(?)",
    "for_update": " FOR UPDATE",
    "for_update_of_c": " FOR UPDATE OF c",
    "for_update_of_l": " FOR UPDATE OF l",
    "for_key_share": " FOR KEY SHARE",
    "for_key_share_of_l": " FOR KEY SHARE OF l",
    "sees_snapshot": "current_setting('transaction_isolation') IN ('repeatable read', 'serializable')",
}


def statements(sqlite: bool) -> dict[str, str]:
    """The statements by name, for sqlite3 (where {ids} is left for as many question marks) or for psycopg."""
    if sqlite:
        return {name: text.format(**_SQLITE) for name, text in _TEXTS.items()}
    return {name: text.format(**_POSTGRESQL).replace("?", "%s") for name, text in _TEXTS.items()}


class Walk(NamedTuple):
    """A walk over the trie: its text, the names of its parameters in their order, or None where the driver takes names, and constants."""

    sql: str
    names: tuple[str, ...] | None
    constants: dict[str, Any]


def walks(sqlite: bool) -> dict[str, Walk]:
    """Lineage over the trie, in the store's own text: a simpler one would read more than it returns."""
    return {name: _walk(read, sqlite) for name, read in _WALKS.items()}


_WALKS: Final = {
    "bases": trie.BASES,
    "derived": trie.DERIVED,
    "shared_layers": trie.SHARED,
    "sizes": sharing.SIZES,
    "unused_since": uses.UNUSED,
}


def _walk(read: Read, sqlite: bool) -> Walk:
    dialect = (pysqlite if sqlite else psycopg).dialect
    compiled = read.statement.compile(dialect=dialect())
    names = None if compiled.positiontup is None else tuple(compiled.positiontup)
    return Walk(str(compiled), names, {name: bind.value for name, bind in compiled.binds.items() if not bind.required})
