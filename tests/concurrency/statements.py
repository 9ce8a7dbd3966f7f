"""What a statement touches, as far as it matters whether two neighbours of different sessions may change places."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import psycopg

from tests.concurrency.layer_work import lease_name, stack_below

ANY: Final = "*"

_DIGEST: Final = re.compile(rb"sha256:([0-9a-f]{64})")
_TABLE: Final = re.compile(r"imagestore_(blobs|images|metadata|layers|contents|leases|lease_layers|references)\b")
_LEASE: Final = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class Step:
    """A statement that a session is about to run, a call on its files, or the end of its transaction.

    ``shares`` and ``writes`` name rows as "table:digest"; "table:*" is any of them, "*" is anything. Of an end they are all that the
    transaction has locked. ``reads`` are the tables that a statement looks at, ``changes`` those that are seen to change at an end.
    """

    text: str
    shares: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    reads: frozenset[str] = frozenset()
    changes: frozenset[str] = frozenset()
    ends: bool = False
    commutes_with_end: bool = False

    def commutes(self, other: Step) -> bool:
        """Whether the order of the two, next to each other, makes no difference."""
        if self.ends and other.ends:
            return self.commutes_with_end and other.commutes_with_end
        if self.ends or other.ends:
            end, step = (self, other) if self.ends else (other, self)
            if not end.commutes_with_end or (not step.commutes_with_end and _meet(end.changes, step.reads)):
                return False
        return not (_meet(self.writes, other.writes | other.shares) or _meet(other.writes, self.shares))


def ending(text: str, held: Iterable[Step] = (), *, serializable: bool = False) -> Step:
    """COMMIT, ROLLBACK or ROLLBACK TO SAVEPOINT of a transaction in which these steps were done."""
    every = list(held)
    writes = frozenset().union(*(step.writes for step in every))
    shares = frozenset().union(*(step.shares for step in every))
    changes = frozenset(row.partition(":")[0] for row in writes) if text == "COMMIT" else frozenset[str]()
    return Step(text, shares, writes, changes=changes, ends=True, commutes_with_end=not serializable)


def statement(text: str, parameters: list[Mapping[str, Any]], *, in_snapshot: bool) -> Step:
    """The step that a statement is. In a snapshot it looks at everything, as the first one does."""
    step = _locks(text, parameters)
    if in_snapshot or ANY in step.writes:
        return replace(step, reads=frozenset({ANY}))
    if text.startswith("INSERT") or " FOR KEY SHARE" in text:
        return step  # it looks at no rows but those that it locks
    return replace(step, reads=frozenset(_TABLE.findall(text)))


def _locks(text: str, parameters: list[Mapping[str, Any]]) -> Step:
    """What a statement of `imagestore.sql` locks; one that is not known here commutes with nothing."""
    text = " ".join(text.split())

    def rows(table: str, *names: str) -> frozenset[str]:
        values = [value for each in parameters for name, value in each.items() if not names or name.startswith(names)]
        return frozenset(f"{table}:{row}" for value in values for row in _rows_named(value))

    def stack() -> frozenset[str]:
        """The layers that a walk down from ``:chain`` may come to."""
        return frozenset(f"layers:{below}" for row in rows("layers", "chain") for below in stack_below(row[7:]))

    some = frozenset
    match text.replace("imagestore_", "").split():
        case ["INSERT", "INTO", "blobs", *_]:
            return Step(text, writes=rows("blobs", "digest"))
        case ["INSERT", "INTO", "images", *_]:
            return Step(text, writes=rows("images", "id"), shares=rows("blobs", "id") | rows("layers", "top"))
        case ["INSERT", "INTO", "metadata", *_]:
            return Step(text, writes=rows("metadata", "blob"), shares=rows("blobs", "blob"))
        case ["DELETE", "FROM", "metadata", *_]:
            return Step(text, writes=rows("metadata", "blob", "blobs"))
        case ["DELETE", "FROM", "blobs", *_]:
            return Step(text, writes=rows("blobs") | rows("metadata") | {"images:*", "references:*"})
        case ["UPDATE", "images", "SET", _, "WHERE", "images.id", "=", *_]:
            return Step(text, writes=rows("images", "child", "blob"), shares=rows("images", "new_parent"))
        case ["UPDATE", "images", *_]:
            return Step(text, writes=some({"images:*"}))
        case ["INSERT", "INTO", "layers", *_]:
            return Step(text, writes=rows("layers", "chain_id"), shares=rows("layers", "parent"))
        case ["UPDATE", "layers", *_]:
            return Step(text, writes=rows("layers", "chain"))
        case ["DELETE", "FROM", "layers", *_]:
            return Step(text, writes=rows("layers", "chains"))
        case ["INSERT", "INTO", "contents", *_]:
            return Step(text, writes=rows("contents", "diff_id"))
        case ["DELETE", "FROM", "contents", *_]:
            return Step(text, writes=rows("contents", "diff_ids"))
        case ["INSERT", "INTO", "lease_layers", *_]:
            return Step(text, writes=rows("lease_layers"), shares=rows("leases", "lease") | rows("layers", "chain_id"))
        case ["INSERT", "INTO", "leases", *_] | ["UPDATE", "leases", *_]:
            return Step(text, writes=rows("leases", "lease"))
        case ["DELETE", "FROM", "leases", *_]:
            return Step(text, writes=rows("leases", "lease") | {"lease_layers:*"})
        case ["INSERT", "INTO", "references", *_]:
            return Step(text, writes=rows("references", "name"), shares=rows("images", "image"))
        case ["DELETE", "FROM", "references", *_]:
            return Step(text, writes=rows("references", "name"))
        case ["SELECT", "leases.id", *_, "SKIP", "LOCKED"]:
            return Step(text, writes=some({"leases:*"}))  # whichever nobody has locked
        case ["SELECT", "leases.id", *_, "KEY", "SHARE"]:
            return Step(text, shares=rows("leases", "lease"))
        case ["SELECT", "layers.chain_id", *_, "SKIP", "LOCKED"]:
            return Step(text, writes=rows("layers", "chains"))
        case ["SELECT", "contents.diff_id", *_, "SKIP", "LOCKED"]:
            return Step(text, writes=rows("contents", "diff_ids"))
        case ["SELECT", "contents.name", *_, "KEY", "SHARE"]:
            return Step(text, shares=rows("contents", "diff_id"))
        case ["WITH", "RECURSIVE", walk, *_, "UPDATE", "OF", "layers"] if walk.startswith("walk("):
            return Step(text, writes=stack())
        case ["WITH", "RECURSIVE", walk, *words] if walk.startswith("walk(") and _deletes(words) == [
            "DELETE",
            "FROM",
            "layers",
        ]:
            return Step(text, writes=stack())
        case ["WITH", "RECURSIVE", "given(place)", *_, "KEY", "SHARE", "OF", "layers"]:
            return Step(text, shares=rows("layers", "chains"))
        case ["WITH", "RECURSIVE", "given(place)", *_, "UPDATE", "OF", "contents"]:
            return Step(text, writes=rows("contents", "diff_ids"))
        case ["WITH", "RECURSIVE", "given(place)", *words] if _deletes(words) == ["DELETE", "FROM", "contents"]:
            return Step(text, writes=rows("contents", "diff_ids"))
        case ["SELECT", function, *_] if function.startswith("pg_advisory_xact_lock"):
            return Step(text, writes=some({"advisory:links"}))
        case ["SELECT" | "WITH", *_, "FOR", "UPDATE"] | ["SELECT" | "WITH", *_, "FOR", "NO", "KEY", "UPDATE"]:
            return Step(text, writes=_locked(text, rows("images")))
        case ["SELECT" | "WITH", *_, "FOR", "SHARE"] | ["SELECT" | "WITH", *_, "FOR", "KEY", "SHARE"]:
            return Step(text, shares=_locked(text, rows("images")))
        case ["SELECT", *_]:
            return Step(text)
        case ["WITH", *words] if not {"INSERT", "DELETE", "FOR"} & set(words):
            return Step(text)
    return Step(text, writes=some({ANY}))


def _locked(text: str, rows: frozenset[str]) -> frozenset[str]:
    return frozenset({"images:*"}) if "WITH RECURSIVE" in text or "metadata" in text else rows


def _deletes(words: list[str]) -> list[str]:
    """The words with which a statement deletes that begins with a query."""
    return words[words.index("DELETE") :][:3] if "DELETE" in words else []


def _rows_named(value: object) -> list[str]:
    """The digests that a value is, raw, one behind the other, or as text; the lease or the name that it is; none where it is else."""
    if isinstance(value, psycopg.Binary):
        value = value.obj
    if isinstance(value, str):
        return [lease_name(value) if _LEASE.fullmatch(value) else value]
    if not isinstance(value, bytes):
        return []
    if named := _DIGEST.fullmatch(value):
        return [named[1].decode()]
    return [value[place : place + 32].hex() for place in range(0, len(value), 32)] if len(value) % 32 == 0 else []


def _meet(some: frozenset[str], others: frozenset[str]) -> bool:
    return any(_same(one, other) for one in some for other in others)


def _same(one: str, other: str) -> bool:
    if ANY in (one, other):
        return True
    table, _, row = one.partition(":")
    other_table, _, other_row = other.partition(":")
    return table == other_table and (row == other_row or ANY in (row, other_row))
