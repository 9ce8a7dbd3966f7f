"""The benchmarks run, measure every operation, and tell what they have found."""

from __future__ import annotations

import json
from itertools import repeat

import pytest

from benchmarks.__main__ import main
from benchmarks.archives import speeds
from benchmarks.measure import Effort, Side, Times, compare
from benchmarks.operations import READS, WHOLE, WRITES
from benchmarks.population import DEEPEST, Population
from benchmarks.report import to_json, to_text
from benchmarks.run import ENGINES, Settings, run

SIZE = 150
OPERATIONS = [operation.name for operation in (*READS, *WHOLE, *WRITES)]
ARCHIVES = [
    "load",
    "load from a pipe",
    "load an OCI layout",
    "load, all there",
    "load, all there, pipe",
    "save as docker",
    "save as oci",
    "load layers in gzip",
    "load layers in zstd",
    "load layers in xz",
]
ON_FILES = {operation.name for operation in (*READS, *WHOLE, *WRITES) if operation.on_files}


@pytest.mark.soak
def test_a_run_measures_every_operation_on_both_engines_and_tells_all():
    results = run(
        Settings(ENGINES, [SIZE], Effort(1, 0.0001), whole_rounds=1, copied=SIZE, megabytes=(1, 2), garbage=100),
        tell=lambda _: None,
    )

    measured = [(each.engine, each.operation) for each in results.measurements]
    assert measured == [(engine, operation) for engine in ENGINES for operation in ("open", *OPERATIONS)]
    for each in results.measurements:
        sides = {"store", "raw", "files"} if each.operation in ON_FILES else {"store", "raw"}
        assert set(each.comparison.times) == sides
        assert all(times.median > 0 for times in each.comparison.times.values())
    assert {(each.engine, each.size) for each in results.memory} == {(engine, SIZE) for engine in ENGINES}
    assert {each.engine for each in results.plans} == set(ENGINES)

    assert [each.operation for each in results.throughput] == ["register", "read"]
    assert [(peak.megabytes, peak.peak < 10_000_000) for peak in results.peaks] == [(1, True), (2, True)]
    assert [each.operation for each in results.speeds] == ARCHIVES
    assert {(peak.operation, peak.megabytes) for peak in results.archive_peaks} == {
        ("load from a pipe", 2),
        ("save", 2),
    }
    assert all(peak.peak < 10_000_000 for peak in results.archive_peaks)
    assert [(each.engine, each.layers) for each in results.collections] == [(engine, 100) for engine in ENGINES]
    assert [(each.engine, each.size) for each in results.upgrades] == [(engine, SIZE) for engine in ENGINES]

    told = to_text(results)
    assert all(f"| {operation} " in told for operation in (*OPERATIONS, *ARCHIVES))
    assert "not beside dockerd" in told
    assert all(line in told for plan in results.plans for line in plan.lines)
    kept = json.loads(to_json(results))
    assert len(kept["measurements"]) == len(results.measurements)
    assert [memory["peak"] for memory in kept["memory"]] == [memory.peak for memory in results.memory]


@pytest.mark.interop
def test_archives_are_measured_beside_dockerd():
    beside = [speed for speed in speeds(1, 1, dockerd=True) if speed.peer == "dockerd"]
    assert [speed.operation for speed in beside] == ["load", "save as docker"]
    assert all(speed.theirs > 0 for speed in beside)


def test_a_ratio_is_the_median_of_the_rounds(monkeypatch):
    now = 0

    def taking(*nanoseconds):
        turns = iter(nanoseconds)

        def call(_: None) -> None:
            nonlocal now
            now += next(turns)

        return Side(call, repeat(None))

    monkeypatch.setattr("benchmarks.measure.perf_counter_ns", lambda: now)
    warm = [1000] * 7
    sides = {"store": taking(*warm, 2000, 9000, 3000), "raw": taking(*warm, 1000, 1000, 1000)}
    found = compare(sides, Effort(rounds=3, seconds=1, calls=1))
    assert found.ratios == {"raw": 3}
    assert found.times == {"store": Times(3, 9), "raw": Times(1, 1)}


def test_a_population_has_chains_of_sixty():
    population = Population.of(2000)
    depths: list[int] = []
    for number, parent in enumerate(population.parents):
        assert parent is None or parent < number
        depths.append(0 if parent is None else depths[parent] + 1)
    assert max(depths) == DEEPEST
    assert population.deepest()
    assert len(set(population.ids)) == 2000


@pytest.mark.soak
def test_the_command_writes_a_table_and_a_file(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("benchmarks.__main__.has_dockerd", lambda: False)
    monkeypatch.setattr("benchmarks.__main__.QUICK", Settings(("sqlite",), [SIZE], Effort(1, 0.0001), 1, 0, (1,), 50))
    assert main(["--quick", "--engine", "sqlite", "--json", str(tmp_path / "found.json")]) == 0
    assert f"sqlite, {SIZE} images" in capsys.readouterr().out
    assert json.loads((tmp_path / "found.json").read_text())["machine"]["python"]
