"""One run: for every size and engine a store, the raw driver on its connections, and the store over files; and what each has taken."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.archives import ArchivePeak, Speed, archive_peaks, speeds
from benchmarks.layers import Collection, Peak, Throughput, collection, peaks, throughput
from benchmarks.load import load, load_files
from benchmarks.measure import Comparison, Effort, Side, compare
from benchmarks.memory import Memory, memory_of
from benchmarks.opening import compare_opening
from benchmarks.operations import READS, WHOLE, WRITES, Images, Operation
from benchmarks.plans import Plan, plans_of
from benchmarks.population import Population
from benchmarks.raw import Driver, Raw
from benchmarks.upgrade import Upgrade, upgrade_of
from imagestore.backends.filesystem import FSBackend
from imagestore.restore import RestoredStore
from imagestore.store import Store
from imagestore.testing.postgres import postgres_server

ENGINES: Final = ("sqlite", "postgresql")


@dataclass(frozen=True)
class Settings:
    """What a run does.

    Args:
        engines: of `ENGINES`.
        sizes: how many images a store has.
        effort: for each operation; the heavy ones, which read the whole store, have a few rounds of one call.
        whole_rounds: of these.
        copied: how many images `copy` is given at most.
        megabytes: of the layers that are registered, loaded and saved: of those that are timed, and of those whose memory is measured.
        garbage: how many layers are collected.
        dockerd: whether archives are loaded and saved by one, too.
    """

    engines: Sequence[str]
    sizes: Sequence[int]
    effort: Effort
    whole_rounds: int
    copied: int
    megabytes: tuple[int, ...]
    garbage: int
    dockerd: bool = False


@dataclass(frozen=True)
class Measurement:
    """What an operation has taken on one engine at one size; the sides are "store", "raw" and, where it does the same, "files"."""

    engine: str
    size: int
    operation: str
    goal: float | None
    comparison: Comparison


@dataclass(frozen=True)
class Results:
    """All that a run has found."""

    measurements: list[Measurement]
    memory: list[Memory]
    plans: list[Plan]
    throughput: list[Throughput]
    peaks: list[Peak]
    speeds: list[Speed]
    archive_peaks: list[ArchivePeak]
    collections: list[Collection]
    upgrades: list[Upgrade]


def run(settings: Settings, tell: Callable[[str], None]) -> Results:
    """Measure everything; ``tell`` hears what is being done."""
    results = Results([], [], [], [], [], [], [], [], [])
    with _databases(settings.engines) as databases:
        for size in settings.sizes:
            tell(f"making {size:,} images")
            population = Population.of(size)
            with _files(population) as files:
                for engine, new_database in databases.items():
                    tell(f"{engine}, {size:,} images")
                    with new_database() as url, Store.open(url) as store:
                        load(store, population)
                        results.plans.extend(plans_of(store, engine, population))
                        results.memory.extend(memory_of(store, engine, size, copied=size <= settings.copied))
                        results.measurements.append(
                            Measurement(engine, size, "open", None, compare_opening(url, settings.effort))
                        )
                        results.measurements.extend(_measure(settings, engine, store, files, population))
                        store.close()
                        results.upgrades.append(upgrade_of(url, engine, size))
        for engine, new_database in databases.items():
            tell(f"{engine}, collecting {settings.garbage:,} layers")
            with new_database() as url:
                results.collections.append(collection(engine, url, settings.garbage))
    tell(f"layers of {settings.megabytes[0]:,} MB and more")
    results.throughput.extend(throughput(settings.megabytes[0], settings.whole_rounds))
    results.peaks.extend(peaks(settings.megabytes))
    tell(f"archives of {settings.megabytes[0]:,} MB and more")
    results.speeds.extend(speeds(settings.megabytes[0], settings.whole_rounds, dockerd=settings.dockerd))
    results.archive_peaks.extend(archive_peaks(settings.megabytes[1:]))
    return results


def _measure(
    settings: Settings, engine: str, store: Store, files: Store, population: Population
) -> Iterator[Measurement]:
    raw = Raw(Driver.of(store))
    given, given_to_files = Images(store, population), Images(files, population)
    whole = Effort(settings.whole_rounds, settings.effort.seconds, calls=1)
    size = len(population.ids)

    def measured(operation: Operation, effort: Effort, ours: Store) -> Measurement:
        sides = {"store": _side(operation, ours, given), "raw": _side(operation, raw, given)}
        if operation.on_files:
            sides["files"] = _side(operation, files, given_to_files)
        goal = None if operation.goals is None else operation.goals[ENGINES.index(engine)]
        return Measurement(engine, size, operation.name, goal, compare(sides, effort))

    for operation in READS:
        if operation.snapshot:
            with store.reading() as snapshot:
                yield measured(operation, settings.effort, snapshot)
        else:
            yield measured(operation, settings.effort, store)
    for operation in WHOLE:
        yield measured(operation, whole, store)
    for operation in WRITES:
        yield measured(operation, settings.effort, store)


def _side(operation: Operation, subject: Any, given: Images) -> Side:
    return Side(functools.partial(operation.call, subject), operation.inputs(given))


@contextmanager
def _files(population: Population) -> Iterator[Store]:
    """The store of moby, over Docker's directory, which is there and has been read."""
    with tempfile.TemporaryDirectory(prefix="imagestore-benchmark-") as folder:
        load_files(Path(folder), population)
        with RestoredStore(FSBackend(folder)) as store:
            yield store


@contextmanager
def _databases(engines: Sequence[str]) -> Iterator[dict[str, Callable[[], Any]]]:
    """How to make an empty database on each engine, by its name; what comes with it goes at the end of its block."""
    with ExitStack() as stack:
        made: dict[str, Callable[[], Any]] = {}
        if "sqlite" in engines:
            made["sqlite"] = _sqlite_database
        if "postgresql" in engines:
            server = stack.enter_context(postgres_server(durable=True))

            @contextmanager
            def postgres_database() -> Iterator[str]:
                url = server.create_database()
                yield url
                server.drop_database(url)

            made["postgresql"] = postgres_database
        yield made


@contextmanager
def _sqlite_database() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="imagestore-benchmark-") as folder:
        yield f"sqlite:///{folder}/images.db"
