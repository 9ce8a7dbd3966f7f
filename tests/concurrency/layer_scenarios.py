"""The situations in which the interleaving tests let operations on layers, leases, names and garbage meet."""

from __future__ import annotations

from itertools import combinations_with_replacement, product
from typing import Final

from tests.concurrency.layer_work import (
    backend_remove,
    collect,
    collect_contents,
    collect_layers,
    collect_leases,
    end,
    expire,
    hold,
    know,
    know_many,
    leave_file,
    load,
    load_many,
    register,
    release,
    remove,
    renew,
    sweep,
    tag,
    take,
    untag,
)
from tests.concurrency.scenarios import Situation
from tests.concurrency.work import Operation, Scenario, Unit

# The image PQ has the layers pq and p alone, and a name; the lease b holds nothing yet.
IMAGE: Final = Situation(
    (take("a"), register("p", "a"), register("pq", "a"), load("PQ"), tag("app:1", "PQ"), end("a"), take("b")),
    (
        load("P"),
        load("PQ"),
        know("PR"),
        remove("PQ"),
        register("pq", "b"),
        register("q", "b"),
        hold("pq", "b"),
        tag("app:1", "PQ", force=True),
        tag("app:2", "PQ"),
        untag("app:1"),
        collect_layers(),
    ),
    (
        load_many("P", "PQ"),
        know("QP"),
        know_many("PR", "QP"),
        backend_remove("PQ"),
        register("p"),
        register("pr", "b"),
        tag("app:1", "P"),
        end("b"),
        expire("b"),
        sweep(),
        collect(),
    ),
)
# The images PQ and PR share p, which is all that P has.
SHARED: Final = Situation(
    (take("a"), *(register(stack, "a") for stack in ("p", "pq", "pr")), *map(load, ["P", "PQ", "PR"]), end("a")),
    (remove("P"), remove("PQ"), remove("PR"), load("P"), know("PQR")),
    (load_many("PQ", "PR"), backend_remove("PR"), collect(), register("pq")),
)
# PQR lies on all of PQ: who removes it last has layers to free below the one that the other has held.
DEEP: Final = Situation(
    (take("a"), *(register(stack, "a") for stack in ("p", "pq", "pqr")), *map(load, ["PQ", "PQR"]), end("a")),
    (remove("PQ"), remove("PQR"), know("P")),
    (load("P"), load("PQ"), know("PR"), collect()),
)
# The lease a holds pq and so p, b holds q, which has the same content as pq; no image has any of them.
LEASED: Final = Situation(
    (take("a"), take("b"), register("p", "a"), register("pq", "a"), register("q", "b")),
    (
        release("pq", "a"),
        release("q", "b"),
        end("a"),
        renew("a"),
        expire("a"),
        register("pq", "b"),
        load("PQ"),
        load("Q"),
        collect_leases(),
        sweep(),
    ),
    (
        release("p", "a"),
        end("b"),
        expire("b"),
        know("PQ"),
        register("r", "a"),
        register("qp", "a"),
        take("c"),
        collect_layers(),
        collect(),
    ),
)
# pq and p are garbage, and so is the content of q, and a file that no row names; the lease a has expired, and holds r.
GARBAGE: Final = Situation(
    (
        *map(take, "abc"),
        register("r", "a"),
        register("p", "b"),
        register("pq", "b"),
        expire("a"),
        end("b"),
        leave_file(),
    ),
    (
        load("PQ"),
        know("PQ"),
        know("P"),
        register("pq", "c"),
        register("q", "c"),
        register("rq", "c"),
        collect_leases(),
        collect_layers(),
        sweep(),
    ),
    (
        release("r", "a"),
        renew("a"),
        register("r", "c"),
        hold("pq", "c"),
        know("PR"),
        load_many("P", "PQ"),
        collect_contents(),
        collect(),
    ),
)
# What collect leaves between two of its transactions: the contents of p and q, of which no layer is any more.
UNUSED: Final = Situation(
    (
        *map(take, "bc"),
        register("p", "b"),
        register("pq", "b"),
        end("b"),
        collect_layers(),
    ),
    (register("p", "c"), register("q", "c"), collect_contents(), sweep()),
    (register("p"), know("PQ"), load("P"), collect_layers(), collect()),
)
SITUATIONS: Final = (IMAGE, SHARED, DEEP, LEASED, GARBAGE, UNUSED)

_JOINABLE: Final = ("load", "know", "remove", "register", "tag", "untag", "release")


def pairs() -> list[Scenario]:
    """Each two of the operations, once, of a store on an engine."""
    return [
        Scenario(situation.before, (Unit((one,)), Unit((other,))))
        for situation in SITUATIONS
        for one, other in combinations_with_replacement(situation.operations, 2)
    ]


def more_pairs() -> list[Scenario]:
    """Those that `pairs` leaves out."""
    return [
        Scenario(situation.before, (Unit((one,)), Unit((other,))))
        for situation in SITUATIONS
        for one, other in combinations_with_replacement((*situation.more, *situation.operations), 2)
        if one in situation.more
    ]


def joined_pairs(level: str) -> list[Scenario]:
    """Each two of what can be done in a host's transaction, in two of the level."""
    return [
        Scenario(situation.before, (Unit((one,), level), Unit((other,), level)))
        for situation in SITUATIONS
        for one, other in combinations_with_replacement(_joinable(situation), 2)
    ]


def mixed_pairs(level: str) -> list[Scenario]:
    """Each operation of a store on an engine beside each of what can be done in a host's transaction of the level."""
    return [
        Scenario(situation.before, (Unit((one,)), Unit((other,), level)))
        for situation in SITUATIONS
        for one, other in product(situation.operations, _joinable(situation))
    ]


def united(level: str) -> list[Scenario]:
    """What hosts do in one transaction, beside what disturbs it."""
    works = [
        (LEASED, (register("pq", "b"), load("PQ"))),
        (LEASED, (load("PQ"), tag("app:1", "PQ"))),
        (GARBAGE, (register("p", "c"), register("pq", "c"), load("PQ"), tag("app:1", "PQ"))),
        (IMAGE, (remove("PQ"), know("P"))),
        (IMAGE, (untag("app:1"), remove("PQ"))),
    ]
    disturbances = {
        LEASED: (release("pq", "a"), end("a"), expire("b"), collect_layers()),
        GARBAGE: (collect_layers(), collect_leases(), sweep(), register("q", "c")),
        IMAGE: (register("pq", "b"), load("P"), tag("app:1", "PQ", force=True), collect_layers()),
    }
    return [
        Scenario(situation.before, (Unit(work, level), Unit((disturbance,))))
        for situation, work in works
        for disturbance in disturbances[situation]
    ]


def triples() -> list[Scenario]:
    """Each three of the operations of a store on an engine, those of the soak too."""
    return [
        Scenario(situation.before, tuple(Unit((one,)) for one in three))
        for situation in SITUATIONS
        for three in combinations_with_replacement((*situation.operations, *situation.more), 3)
    ]


def _joinable(situation: Situation) -> list[Operation]:
    return [each for each in situation.operations if each.text.startswith(_JOINABLE)]
