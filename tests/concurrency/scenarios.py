"""The situations in which the interleaving tests let operations meet. ">" is "has the parent"."""

from __future__ import annotations

from itertools import combinations_with_replacement, product
from typing import Final, NamedTuple

from tests.concurrency.work import (
    REPEATABLE_READ,
    SERIALIZABLE,
    Operation,
    Scenario,
    Unit,
    backend_delete,
    backend_set,
    create,
    create_many,
    delete,
    name_parent,
    name_time,
    set_built_locally,
    set_last_updated,
    set_parent,
    unname_parent,
    unname_time,
)


class Situation(NamedTuple):
    """Images that are there, the operations that meet on them, and more that meet those in the soak."""

    before: tuple[Operation, ...]
    operations: tuple[Operation, ...]
    more: tuple[Operation, ...] = ()


# c > b > a and e > d; y waits for x, which is not there.
FAMILY: Final = Situation(
    (
        *map(create, "abcdey"),
        set_parent("b", "a"),
        set_parent("c", "b"),
        set_parent("e", "d"),
        name_parent("y", "x"),
        set_last_updated("b"),
    ),
    (
        create("x"),
        backend_set("b"),
        delete("b"),
        backend_delete("d"),
        set_parent("c", "d"),
        set_parent("d", "c"),
        set_parent("e", "x"),
        set_last_updated("b"),
        set_last_updated("x"),
        name_parent("c", "d"),
        name_parent("d", "c"),
        name_parent("c", "x"),
        unname_parent("b"),
        unname_parent("y"),
        unname_time("b"),
    ),
    (
        create("b"),
        create_many("xbz"),
        backend_set("x"),
        delete("d"),
        backend_delete("b"),
        set_parent("a", "c"),
        set_parent("y", "d"),
        name_parent("x", "c"),
        name_time("x"),
        set_built_locally("d"),
    ),
)
# a > b > c, and c names a as its parent: that edge would close a cycle, and is not there.
CYCLE: Final = Situation(
    (*map(create, "abcd"), set_parent("a", "b"), set_parent("b", "c"), name_parent("c", "a")),
    (delete("b"), set_parent("b", "d"), set_parent("c", "d"), unname_parent("a"), unname_parent("c")),
    (delete("c"), backend_delete("a"), backend_delete("b"), name_parent("c", "a"), unname_parent("b")),
)
# a > b > c, and c may come to name a.
OPEN_RING: Final = Situation(
    (*map(create, "abcd"), set_parent("a", "b"), set_parent("b", "c")),
    (name_parent("c", "a"), unname_parent("b"), delete("b"), set_parent("b", "d"), backend_delete("b")),
)
SITUATIONS: Final = (FAMILY, CYCLE, OPEN_RING)


def pairs(level: str | None = None) -> list[Scenario]:
    """Each two of the operations, once: of a store on an engine, or each in a host's transaction of the level."""
    found = [
        Scenario(situation.before, (Unit((one,), level), Unit((other,), level)))
        for situation in SITUATIONS
        for one, other in combinations_with_replacement(situation.operations, 2)
    ]
    return [each for each in found if not _goes_unseen(*each.units)]


def more_pairs() -> list[Scenario]:
    """Those of a store on an engine that `pairs` leaves out."""
    return [
        Scenario(situation.before, (Unit((one,)), Unit((other,))))
        for situation in SITUATIONS
        for one, other in combinations_with_replacement((*situation.more, *situation.operations), 2)
        if one in situation.more
    ]


def mixed_pairs(level: str) -> list[Scenario]:
    """Each operation of a store on an engine beside each in a host's transaction of the level."""
    found = [
        Scenario(situation.before, (Unit((one,)), Unit((other,), level)))
        for situation in SITUATIONS
        for one, other in product(situation.operations, repeat=2)
    ]
    return [each for each in found if not _goes_unseen(*each.units)]


def triples() -> list[Scenario]:
    """Each three of the operations of a store on an engine."""
    return [
        Scenario(situation.before, tuple(Unit((one,)) for one in three))
        for situation in SITUATIONS
        for three in combinations_with_replacement(situation.operations, 3)
    ]


def whole_triples() -> list[Scenario]:
    """Three operations that need each other to go wrong, on little, so that all their orders can be run."""
    alone = tuple(map(create, "abc"))
    chain = (*map(create, "abcd"), set_parent("a", "b"), set_parent("b", "c"))
    found: list[tuple[tuple[Operation, ...], tuple[Operation, ...]]] = [
        (alone, (set_parent("a", "b"), set_parent("b", "c"), set_parent("c", "a"))),
        (alone, (create("x"), name_parent("c", "x"), delete("x"))),
        (alone, (create("x"), set_parent("c", "x"), delete("c"))),
        (alone, (create("x"), set_parent("x", "c"), unname_parent("x"))),
        (alone, (create("x"), set_last_updated("x"), unname_time("x"))),
        (alone, (create("a"), create("a"), delete("a"))),
        ((*alone, name_parent("c", "x")), (create("x"), unname_parent("c"), delete("c"))),
        (chain, (name_parent("c", "a"), unname_parent("b"), set_parent("a", "d"))),
    ]
    return [Scenario(before, tuple(Unit((one,)) for one in three)) for before, three in found]


def _goes_unseen(one: Unit, other: Unit) -> bool:
    """Whether one creates, in a snapshot, what the other begins to wait for: see `imagestore.sql.edges`, and its own test."""
    return any(
        create("x") in creates.operations
        and name_parent("c", "x") in waits.operations
        and (creates.level == REPEATABLE_READ or (creates.level == SERIALIZABLE != waits.level))
        for creates, waits in ((one, other), (other, one))
    )
