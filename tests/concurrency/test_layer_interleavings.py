"""Every order in which the statements and file operations of two operations on layers can come, on PostgreSQL; of three, a sample.

After each run: what was answered and what is there is what one after the other would have given, every content has its file, the layers
of images and of leases are there, nothing was raised that is not documented; and then one collect leaves nothing that nothing reaches.

Every run has a sixth of 195 pairs of a store on an engine, complete. The soak has the others and 489 more; 105 in a host's READ
COMMITTED, complete; 210 in its snapshots, 472 of both kinds and 60 of several calls in one transaction; and the threes: 11 minutes.
"""

from __future__ import annotations

import itertools
import random

import pytest

from tests.concurrency.exploration import Explorer
from tests.concurrency.layer_scenarios import (
    GARBAGE,
    IMAGE,
    LEASED,
    SHARED,
    UNUSED,
    joined_pairs,
    mixed_pairs,
    more_pairs,
    pairs,
    triples,
    united,
)
from tests.concurrency.layer_work import collect, collect_contents, collect_layers, know, load, release, remove
from tests.concurrency.test_interleavings import check, sampled
from tests.concurrency.work import READ_COMMITTED, REPEATABLE_READ, SERIALIZABLE, Operation, Scenario, Unit

WHOLE = 1500  # runs of a pair at most: all are complete with less but those of what commits many times
SNAPSHOTS = 200  # retries make some pairs endless
MIXED = 80
THREES = 300  # drawn with this seed, and random orders of each
ORDERS = 10
SEED = 10


@pytest.mark.parametrize("scenario", sampled(pairs(), 6), ids=Scenario.short)
def test_two_operations(explorer, stepped, scenario):
    report = explorer.all(scenario)
    assert report.complete
    check(stepped, report)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("situation", "operations"),
    [
        (IMAGE, (load("PQ"), remove("PQ"))),
        (SHARED, (remove("PR"), load("P"))),
        (UNUSED, (know("PQ"), collect_contents())),
        (LEASED, (release("q", "b"), load("Q"))),
        (GARBAGE, (know("P"), collect_layers())),
    ],
    ids=lambda value: " | ".join(map(str, value)) if isinstance(value[0], Operation) else "",
)
def test_orders_that_are_left_out_have_no_outcome_of_their_own(explorer, stepped, situation, operations):
    scenario = Scenario(situation.before, tuple(Unit((operation,)) for operation in operations))
    some, every = explorer.all(scenario), Explorer(stepped, reduced=False).all(scenario)
    assert (some.violation, every.violation) == (None, None)
    assert some.outcomes == every.outcomes
    assert every.runs > some.runs


@pytest.mark.soak
@pytest.mark.parametrize("scenario", more_pairs(), ids=Scenario.short)
def test_two_more_operations(explorer, stepped, scenario):
    report = explorer.all(scenario, WHOLE)
    assert (
        report.complete
        or "own" in scenario.short()
        or collect() in itertools.chain(*(unit.operations for unit in scenario.units))
    )
    check(stepped, report)


@pytest.mark.soak
@pytest.mark.parametrize("scenario", joined_pairs(READ_COMMITTED), ids=Scenario.short)
def test_two_host_transactions(explorer, stepped, scenario):
    report = explorer.all(scenario, WHOLE)
    assert report.complete
    check(stepped, report)


@pytest.mark.soak
@pytest.mark.parametrize("scenario", [*joined_pairs(REPEATABLE_READ), *joined_pairs(SERIALIZABLE)], ids=Scenario.short)
def test_two_snapshots(explorer, stepped, scenario):
    check(stepped, explorer.all(scenario, SNAPSHOTS))


@pytest.mark.soak
@pytest.mark.parametrize("scenario", [*mixed_pairs(REPEATABLE_READ), *mixed_pairs(SERIALIZABLE)], ids=Scenario.short)
def test_an_operation_and_a_snapshot(explorer, stepped, scenario):
    check(stepped, explorer.all(scenario, MIXED))


@pytest.mark.soak
@pytest.mark.parametrize(
    "scenario", [*united(READ_COMMITTED), *united(REPEATABLE_READ), *united(SERIALIZABLE)], ids=Scenario.short
)
def test_a_host_does_several_things(explorer, stepped, scenario):
    check(stepped, explorer.all(scenario, SNAPSHOTS))


@pytest.mark.soak
@pytest.mark.parametrize("scenario", random.Random(SEED).sample(triples(), THREES), ids=Scenario.short)
def test_three_operations(explorer, stepped, scenario):
    check(stepped, explorer.sampled(scenario, ORDERS, SEED))
