"""How the databases plan the page of heads: one probe of an index for each row, on the first page as on the last."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from benchmarks.population import Population
from benchmarks.raw import Driver
from imagestore.store import Store

_LIMIT: Final = 100


@dataclass(frozen=True)
class Plan:
    """What EXPLAIN says."""

    engine: str
    size: int
    statement: str
    lines: list[str]


def plans_of(store: Store, engine: str, population: Population) -> Iterator[Plan]:
    """The plans of the first and of the last page."""
    driver = Driver.of(store)
    explain = "EXPLAIN QUERY PLAN" if engine == "sqlite" else "EXPLAIN (ANALYZE, TIMING OFF, BUFFERS OFF)"
    for page, after in (("first", b""), ("last", population.last_page().raw)):
        rows = driver.read(f"{explain} {driver.sql['page of heads']}", (b"parent", after, _LIMIT)).fetchall()
        yield Plan(engine, len(population.ids), f"{page} page of heads", [str(row[-1]) for row in rows])
