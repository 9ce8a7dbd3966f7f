"""What a statement touches, as far as it matters whether two neighbours of different sessions may change places."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import psycopg

ANY: Final = "*"

_DIGEST: Final = re.compile(rb"sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Step:
    """A statement that a session is about to run, or the end of its transaction.

    ``shares`` and ``writes`` name rows as "table:digest"; "table:*" is any of them, "*" is anything.
    """

    text: str
    shares: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    ends: bool = False
    commutes_with_end: bool = False

    def commutes(self, other: Step) -> bool:
        """Whether the order of the two, next to each other, makes no difference."""
        if self.ends or other.ends:
            return self.commutes_with_end and other.commutes_with_end
        return not (_meet(self.writes, other.writes | other.shares) or _meet(other.writes, self.shares))


def ending(text: str, *, serializable: bool) -> Step:
    """COMMIT, ROLLBACK or ROLLBACK TO SAVEPOINT: what others see and wait for depends on when it comes."""
    return Step(text, ends=True, commutes_with_end=not serializable)


def statement(text: str, parameters: list[Mapping[str, Any]]) -> Step:
    """The step that a statement of `imagestore.sql` is; one that is not known here commutes with nothing."""
    text = " ".join(text.split())

    def rows(table: str, *names: str) -> frozenset[str]:
        values = [value for each in parameters for name, value in each.items() if not names or name.startswith(names)]
        return frozenset(f"{table}:{digest}" for value in values if (digest := _digest(value)))

    some = frozenset
    match text.replace("imagestore_", "").split():
        case ["INSERT", "INTO", "blobs", *_]:
            return Step(text, writes=rows("blobs", "digest"))
        case ["INSERT", "INTO", "images", *_]:
            return Step(text, writes=rows("images"), shares=rows("blobs"))
        case ["INSERT", "INTO", "metadata", *_]:
            return Step(text, writes=rows("metadata", "blob"), shares=rows("blobs", "blob"))
        case ["DELETE", "FROM", "metadata", *_]:
            return Step(text, writes=rows("metadata", "blob", "blobs"))
        case ["DELETE", "FROM", "blobs", *_]:
            return Step(text, writes=rows("blobs") | rows("metadata") | {"images:*"})
        case ["UPDATE", "images", "SET", _, "WHERE", "images.id", "=", *_]:
            return Step(text, writes=rows("images", "child", "blob"), shares=rows("images", "new_parent"))
        case ["UPDATE", "images", *_]:
            return Step(text, writes=some({"images:*"}))
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


def _digest(value: object) -> str | None:
    """The digest that a value is, raw or as text; None where it is something else."""
    if isinstance(value, psycopg.Binary):
        value = value.obj
    if not isinstance(value, bytes):
        return None
    named = _DIGEST.fullmatch(value)
    return named[1].decode() if named else value.hex() if len(value) == 32 else None


def _meet(some: frozenset[str], others: frozenset[str]) -> bool:
    return any(_same(one, other) for one in some for other in others)


def _same(one: str, other: str) -> bool:
    if ANY in (one, other):
        return True
    table, _, row = one.partition(":")
    other_table, _, other_row = other.partition(":")
    return table == other_table and (row == other_row or ANY in (row, other_row))
