"""How the time of an operation is taken: the sides that do the same work take turns, and each call is timed.

A ratio is that of two sides in one round, and then the median of all rounds: what slows the machine down for a while slows both sides.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any, Final

_WARM_UP: Final = 6  # calls; from its fifth use on psycopg has a statement prepared


@dataclass(frozen=True)
class Effort:
    """How long is measured.

    Args:
        rounds: in each of them every side has its turn.
        seconds: that the turn of the slowest side takes, about.
        calls: in a turn, at most.
    """

    rounds: int
    seconds: float
    calls: int = 100


@dataclass(frozen=True)
class Side:
    """One of those that are compared.

    Args:
        call: does the work once, with one of the inputs.
        inputs: never end.
        after: what is done with a result, untimed.
    """

    call: Callable[[Any], Any]
    inputs: Iterator[Any]
    after: Callable[[Any], object] | None = None


@dataclass(frozen=True)
class Times:
    """What one side has taken, in microseconds a call."""

    median: float
    p99: float


@dataclass(frozen=True)
class Comparison:
    """What the sides have taken, by their names, and the ratio of the first to each other."""

    times: Mapping[str, Times]
    ratios: Mapping[str, float]


def compare(sides: Mapping[str, Side], effort: Effort) -> Comparison:
    """Measure the sides in turns; every other round in the opposite order."""
    calls = _calls(sides, effort)
    rounds: dict[str, list[list[float]]] = {name: [] for name in sides}
    for number in range(effort.rounds):
        for name in list(sides)[:: 1 if number % 2 == 0 else -1]:
            rounds[name].append(_turn(sides[name], calls))
    first, *others = sides
    return Comparison(
        {name: _summary([each for turn in turns for each in turn]) for name, turns in rounds.items()},
        {other: _ratio(rounds[first], rounds[other]) for other in others},
    )


def _calls(sides: Mapping[str, Side], effort: Effort) -> int:
    slowest = 0.0
    for side in sides.values():
        first = _turn(side, 1)[0] / 1e6
        if first < effort.seconds:
            first = min(_turn(side, _WARM_UP)) / 1e6
        slowest = max(slowest, first)
    return max(1, min(effort.calls, int(effort.seconds / slowest)))


def _turn(side: Side, calls: int) -> list[float]:
    times = []
    for _ in range(calls):
        given = next(side.inputs)
        started = perf_counter_ns()
        result = side.call(given)
        times.append((perf_counter_ns() - started) / 1000)
        if side.after is not None:
            side.after(result)
    return times


def _summary(times: list[float]) -> Times:
    ordered = sorted(times)
    return Times(statistics.median(ordered), ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)])


def _ratio(ours: list[list[float]], theirs: list[list[float]]) -> float:
    return statistics.median(
        statistics.median(our) / statistics.median(their) for our, their in zip(ours, theirs, strict=True)
    )
