"""All orders in which some units of work can run beside each other, each order once, and what is right after each.

Depth first. Two orders that differ only in neighbours that commute are one (sleep sets: a step that has been tried is not tried again
until something has run that it does not commute with; and a step that commutes with all that the others have ever been seen to do is
done at once).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from tests.concurrency.rows import Dump, Rows
from tests.concurrency.sessions import Sessions
from tests.concurrency.statements import Step
from tests.concurrency.work import Operation, Scenario

_LONGEST: Final = 400  # steps of one run; retries end before
Outcome: TypeAlias = tuple[object, ...]
"""What the units were told, and the rows that they left."""


@dataclass
class Report:
    """What an exploration has seen.

    ``complete`` is False where it ended at its limit or was a sample; ``elsewhere`` counts the runs in which the same steps led elsewhere
    (who is the victim of a deadlock is the server's choice); ``violation`` tells what was wrong, and how it came to that.
    """

    scenario: Scenario
    runs: int = 0
    redundant: int = 0
    elsewhere: int = 0
    complete: bool = True
    violation: str | None = None
    outcomes: set[Outcome] = field(default_factory=set, repr=False)


@dataclass
class _Node:
    """A moment of a run: who could go on, of whom it is not worth trying, who was chosen, and who was chosen before.

    ``is_free``: what was chosen commutes with all that the others ever do, so that no other choice is worth trying.
    """

    enabled: dict[int, Step]
    asleep: dict[int, Step]
    choice: int
    is_free: bool
    done: dict[int, Step] = field(default_factory=dict)

    def advance(self) -> bool:
        """Choose the next; False where all have been."""
        self.done[self.choice] = self.enabled[self.choice]
        if self.is_free:
            return False
        for number in self.enabled:
            if number not in self.done and number not in self.asleep:
                self.choice = number
                return True
        return False

    def asleep_after(self) -> dict[int, Step]:
        step = self.enabled[self.choice]
        tried = self.asleep | self.done
        return {number: other for number, other in tried.items() if number != self.choice and step.commutes(other)}


@dataclass
class _Run:
    """Which unit began and ended at which step, and what was done."""

    began: dict[int, int] = field(default_factory=dict)
    ended: dict[int, int] = field(default_factory=dict)
    trace: list[str] = field(default_factory=list)

    def allows(self, order: tuple[int, ...]) -> bool:
        """Whether no unit of the order began after a later one had ended."""
        return not any(self.ended[later] < self.began[earlier] for earlier, later in itertools.combinations(order, 2))


class Explorer:
    """Runs scenarios in the sessions of one database.

    Args:
        reduced: False: orders that differ in neighbours that commute are run each.
    """

    def __init__(self, sessions: Sessions, *, reduced: bool = True) -> None:
        self._sessions = sessions
        self._reduced = reduced
        self._rows = Rows(sessions.control, sessions.files)
        self._starts: dict[tuple[Operation, ...], Dump] = {}
        self._known: dict[int, set[Step]] = {}

    def all(self, scenario: Scenario, limit: int | None = None) -> Report:
        """Every order, or what the first ``limit`` runs come to, until one is wrong."""
        report = Report(scenario)
        allowed = self._serial_outcomes(scenario)
        path: list[_Node] = []
        while limit is None or report.runs + report.redundant < limit:
            run = self._follow(scenario, path, report)
            if run is None:
                report.redundant += 1
            elif not self._judge(run, allowed, report):
                return report
            while path and not path[-1].advance():
                path.pop()
            if not path:
                return report
        report.complete = False
        return report

    def sampled(self, scenario: Scenario, count: int, seed: int) -> Report:
        """So many random orders, until one is wrong."""
        report = Report(scenario, complete=False)
        allowed = self._serial_outcomes(scenario)
        draw = random.Random(seed)
        for _ in range(count):
            run = self._run(scenario, lambda choices: draw.choice(list(choices)))
            assert run is not None
            if not self._judge(run, allowed, report):
                break
        return report

    def _start(self, scenario: Scenario) -> Dump:
        if scenario.before not in self._starts:
            self._rows.clear()
            for operation in scenario.before:
                result = self._sessions.alone(0, operation.call)
                assert not isinstance(result, BaseException), f"{operation}: {result!r}"
            self._starts[scenario.before] = self._rows.dump()
        return self._starts[scenario.before]

    def _serial_outcomes(self, scenario: Scenario) -> dict[tuple[int, ...], Outcome]:
        outcomes = {}
        self._known = {number: set() for number in range(len(scenario.units))}
        for order in itertools.permutations(range(len(scenario.units))):
            self._rows.load(self._start(scenario))
            results = {number: self._sessions.alone(number, scenario.units[number].run) for number in order}
            for number in order:
                self._known[number] |= self._sessions.all[number].done
            outcomes[order], _ = self._outcome(scenario, results)
        return outcomes

    def _is_free(self, number: int, step: Step) -> bool:
        """Whether a step commutes with all that the other units are known to do."""
        others = (steps for other, steps in self._known.items() if other != number)
        return all(step.commutes(other) for steps in others for other in steps)

    def _outcome(self, scenario: Scenario, results: dict[int, object]) -> tuple[Outcome, list[str]]:
        """What has come of a run, and what is wrong with that.

        A collect leaves what others are just using: what is compared is what the next one leaves. A whole one is several transactions, and
        a create of layers that are but known may come between those that free contents: then it has some of them.
        """
        told = [unit.told(results[number]) for number, unit in enumerate(scenario.units)]
        state = self._rows.state()
        wrong = self._rows.wrong()
        if self._rows.has_layers():
            self._sessions.alone(0, lambda store: store.collect())
            collected = self._rows.state()
            wrong += self._rows.wrong() + self._rows.left()
            if any("collect" in str(unit) for unit in scenario.units):
                state = collected
            if any(operation.text == "collect" for unit in scenario.units for operation in unit.operations):
                is_known = "know" in scenario.short()
                rows = [row[:2] if row[0] == "content" else row for row in state]
                state = tuple(row for row in rows if row[0] != "content" or not is_known)
        return (*told, state), wrong

    def _follow(self, scenario: Scenario, path: list[_Node], report: Report) -> _Run | None:
        """Run along the path and then as it comes, which makes the path longer; None where all that could follow has been seen."""
        depth = 0

        def choose(enabled: dict[int, Step]) -> int | None:
            nonlocal depth
            if depth < len(path) and enabled.keys() != path[depth].enabled.keys():
                report.elsewhere += 1
                del path[depth:]
            if depth == len(path):
                asleep = path[-1].asleep_after() if path and self._reduced else {}
                awake = [number for number in enabled if number not in asleep]
                if not awake:
                    return None
                free = [number for number in awake if self._reduced and self._is_free(number, enabled[number])]
                path.append(_Node(enabled, asleep, (free or awake)[0], is_free=bool(free)))
            depth += 1
            return path[depth - 1].choice

        return self._run(scenario, choose)

    def _run(self, scenario: Scenario, choose: Callable[[dict[int, Step]], int | None]) -> _Run | None:
        sessions = self._sessions
        run = _Run()
        self._rows.load(self._start(scenario))
        sessions.begin([unit.run for unit in scenario.units])
        for moment in range(_LONGEST):
            choices = sessions.choices()
            if not choices:
                return run
            number = choose(choices)
            if number is None:
                sessions.abandon()
                return None
            run.began.setdefault(number, moment)
            self._known[number].add(choices[number])
            run.trace.append(f"S{number + 1}: {choices[number].text}")
            sessions.step(number)
            for session in sessions.all:
                if not session.busy:
                    run.ended.setdefault(session.number, moment)
        sessions.abandon()
        raise AssertionError(f"{scenario}: does not end:\n" + "\n".join(run.trace[:60]))

    def _judge(self, run: _Run, allowed: dict[tuple[int, ...], Outcome], report: Report) -> bool:
        report.runs += 1
        results = {session.number: session.result for session in self._sessions.all}
        outcome, wrong = self._outcome(report.scenario, results)
        report.outcomes.add(outcome)
        serial = {allowed[order] for order in allowed if run.allows(order)}
        if not wrong and outcome in serial:
            return True
        told = [*wrong, f"there is {outcome}", *(f"a serial order has {each}" for each in serial)]
        report.violation = "\n".join([str(report.scenario), *told, *run.trace])
        return False
