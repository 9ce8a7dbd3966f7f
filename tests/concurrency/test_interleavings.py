"""Every order in which the statements of two operations can come, on PostgreSQL; of three, a sample.

After each run: no image is its own ancestor, the index says what the metadata says, no row is without bytes, nothing was raised that is
not documented, and what was answered and what is there is what one after the other would have given.

Every run has a third of 150 pairs of a store on an engine, complete, in some 700 runs. The soak has the others and 245 more; 150 in a
host's READ COMMITTED, complete; 299 in its snapshots and 274 of both kinds, of which nine in ten are complete; and the threes: 9 minutes
of one core.
"""

from __future__ import annotations

import random

import pytest

from imagestore.store import Store
from imagestore.verify import FindingKind, verify
from tests.concurrency.exploration import Explorer
from tests.concurrency.scenarios import FAMILY, mixed_pairs, more_pairs, pairs, triples, whole_triples
from tests.concurrency.work import (
    READ_COMMITTED,
    REPEATABLE_READ,
    SERIALIZABLE,
    Scenario,
    Unit,
    create,
    delete,
    name_parent,
    set_last_updated,
    set_parent,
    unname_time,
)

SNAPSHOTS = 300  # runs of a pair at most: retries make some pairs endless, nine of ten are complete with less
MIXED = 120
THREES = 250  # of 750, drawn with this seed, and random orders of each
ORDERS = 10
SEED = 9


def check(stepped, report):
    assert report.violation is None, report.violation
    assert stepped.alone(0, findings) == [], report.scenario


def findings(store):
    """What verify finds in the rows, but for cycles that the metadata may well have; the files of these tests are but names."""
    return [each for each in verify(Store(store._bind)) if each.kind is not FindingKind.PARENT_CYCLE]


def sampled(scenarios, kept):
    """The scenarios; each but one in ``kept`` is in the soak alone."""
    return [
        pytest.param(each, marks=[pytest.mark.soak] if place % kept else []) for place, each in enumerate(scenarios)
    ]


@pytest.mark.parametrize("scenario", sampled(pairs(), 3), ids=Scenario.short)
def test_two_operations(explorer, stepped, scenario):
    report = explorer.all(scenario)
    assert report.complete
    check(stepped, report)


@pytest.mark.parametrize(
    "operations",
    [
        (create("x"), set_parent("e", "x")),
        (delete("d"), name_parent("c", "d")),
        (set_last_updated("b"), unname_time("b")),
    ],
    ids=lambda operations: " | ".join(map(str, operations)),
)
def test_orders_that_are_left_out_have_no_outcome_of_their_own(explorer, stepped, operations):
    scenario = Scenario(FAMILY.before, tuple(Unit((operation,)) for operation in operations))
    some, every = explorer.all(scenario), Explorer(stepped, reduced=False).all(scenario)
    assert some.outcomes == every.outcomes
    assert len(every.outcomes) > 1
    assert every.runs > some.runs


@pytest.mark.soak
@pytest.mark.parametrize("scenario", more_pairs(), ids=Scenario.short)
def test_two_more_operations(explorer, stepped, scenario):
    report = explorer.all(scenario)
    assert report.complete
    check(stepped, report)


@pytest.mark.soak
@pytest.mark.parametrize("scenario", pairs(READ_COMMITTED), ids=Scenario.short)
def test_two_host_transactions(explorer, stepped, scenario):
    report = explorer.all(scenario)
    assert report.complete
    check(stepped, report)


@pytest.mark.soak
@pytest.mark.parametrize("scenario", [*pairs(REPEATABLE_READ), *pairs(SERIALIZABLE)], ids=Scenario.short)
def test_two_snapshots(explorer, stepped, scenario):
    check(stepped, explorer.all(scenario, SNAPSHOTS))


@pytest.mark.parametrize("level", [REPEATABLE_READ, SERIALIZABLE])
def test_what_a_snapshot_does_not_see_verify_mends(explorer, stepped, level):
    """The snapshot is older than the child's wish for a parent, which is not there yet; then it creates the parent."""
    waits, creates = Unit((name_parent("c", "x"),)), Unit((create("x"),), level)
    report = explorer.all(Scenario((create("c"),), (waits, creates)))
    assert "c has no parent, its metadata says x" in report.violation
    (found,) = stepped.alone(0, lambda store: list(verify(store, repair=True)))
    assert (found.kind, found.repaired) == (FindingKind.WRONG_PARENT, True)
    assert stepped.alone(0, lambda store: list(verify(store))) == []


@pytest.mark.soak
@pytest.mark.parametrize("scenario", mixed_pairs(REPEATABLE_READ), ids=Scenario.short)
def test_an_operation_and_a_snapshot(explorer, stepped, scenario):
    check(stepped, explorer.all(scenario, MIXED))


@pytest.mark.soak
@pytest.mark.parametrize("scenario", whole_triples(), ids=Scenario.short)
def test_three_operations_in_every_order(explorer, stepped, scenario):
    report = explorer.all(scenario)
    assert report.complete
    check(stepped, report)


@pytest.mark.soak
@pytest.mark.parametrize("scenario", random.Random(SEED).sample(triples(), THREES), ids=Scenario.short)
def test_three_operations(explorer, stepped, scenario):
    check(stepped, explorer.sampled(scenario, ORDERS, SEED))
