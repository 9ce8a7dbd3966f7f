"""What a run has found, as a table to read and as JSON to keep."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from benchmarks.run import Measurement, Results


def machine() -> dict[str, Any]:
    """On what it was measured."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "sqlite": sqlite3.sqlite_version,
        **{name: version(name) for name in ("imagestore", "sqlalchemy", "psycopg")},
    }


def to_json(results: Results) -> str:
    """Everything, times in microseconds and memory in bytes."""
    return json.dumps({"machine": machine(), **asdict(results)}, indent=1)


def to_text(results: Results) -> str:
    """The tables: each engine and size, how each operation grows, memory, plans."""
    return "\n".join(_lines(results))


def _lines(results: Results) -> Iterator[str]:
    yield ", ".join(f"{name} {value}" for name, value in machine().items())
    pairs = list(dict.fromkeys((each.engine, each.size) for each in results.measurements))
    for engine, size in pairs:
        yield ""
        yield from _comparison(engine, size, [m for m in results.measurements if (m.engine, m.size) == (engine, size)])
    for engine in dict.fromkeys(engine for engine, _ in pairs):
        yield ""
        yield from _growth(engine, [m for m in results.measurements if m.engine == engine])
    yield ""
    yield "Most memory of Python above that before, in MB:"
    yield from _table(
        ["engine", "operation", "images", "MB"],
        [[m.engine, m.operation, f"{m.size:,}", f"{m.peak / 1e6:.1f}"] for m in results.memory],
    )
    yield ""
    yield "Layers, with their bytes on the disk; ratio: store / a plain loop that reads, hashes (and, to register, writes and syncs) them"
    yield from _table(
        ["operation", "MB", "MB/s", "plain MB/s", "ratio"],
        [
            [t.operation, f"{t.megabytes:,}", f"{t.store:.0f}", f"{t.plain:.0f}", f"{t.ratio:.2f}"]
            for t in results.throughput
        ],
    )
    yield ""
    yield "Most memory of Python above that before, while a layer is registered:"
    yield from _table(
        ["layer, MB", "memory, MB"], [[f"{peak.megabytes:,}", f"{peak.peak / 1e6:.1f}"] for peak in results.peaks]
    )
    yield ""
    yield "Archives, an image of one layer; ratio: we / what must be done anyway, or dockerd's API with its driver vfs"
    if not any(speed.peer == "dockerd" for speed in results.speeds):
        yield "(not beside dockerd: it is not installed, or only root may start it)"
    yield from _table(
        ["operation", "MB", "MB/s", "peer", "its MB/s", "ratio", "goal"],
        [
            [
                s.operation,
                f"{s.megabytes:,}",
                f"{s.ours:.0f}",
                s.peer,
                f"{s.theirs:.0f}",
                f"{s.ratio:.2f}",
                f"{s.goal:.1f}",
            ]
            for s in results.speeds
        ],
    )
    yield ""
    yield "Most memory of Python above that before, while an archive is loaded and saved:"
    yield from _table(
        ["operation", "archive, MB", "memory, MB"],
        [[p.operation, f"{p.megabytes:,}", f"{p.peak / 1e6:.1f}"] for p in results.archive_peaks],
    )
    yield ""
    yield "Garbage, collected while another process writes, whose touch takes, in ms:"
    yield from _table(
        ["engine", "layers", "seconds", "touch alone, median", "beside, median", "beside, p99"],
        [
            [c.engine, f"{c.layers:,}", f"{c.seconds:.1f}"]
            + [f"{wait:.1f}" for wait in (c.alone_median, c.beside_median, c.beside_p99)]
            for c in results.collections
        ],
    )
    yield ""
    yield "The upgrade from before there were layers:"
    yield from _table(
        ["engine", "images", "seconds"], [[u.engine, f"{u.size:,}", f"{u.seconds:.1f}"] for u in results.upgrades]
    )
    for plan in results.plans:
        yield ""
        yield f"Plan on {plan.engine} with {plan.size:,} images: {plan.statement}"
        yield from (f"    {line}" for line in plan.lines)


def _comparison(engine: str, size: int, measurements: Sequence[Measurement]) -> Iterator[str]:
    yield f"{engine}, {size:,} images; ratio: store / raw driver, median of the rounds' ratios"
    rows = []
    for each in measurements:
        times = each.comparison.times
        files = times.get("files")
        rows.append(
            [
                each.operation,
                _shown(times["store"].median),
                _shown(times["store"].p99),
                _shown(times["raw"].median),
                _shown(times["raw"].p99),
                f"{each.comparison.ratios['raw']:.2f}",
                "" if each.goal is None else f"{each.goal:.1f}",
                "" if files is None else _shown(files.median),
                "" if files is None else _shown(files.p99),
            ]
        )
    heads = ["operation", "median", "p99", "raw median", "p99", "ratio", "goal", "files median", "p99"]
    yield from _table(heads, rows)


def _growth(engine: str, measurements: Sequence[Measurement]) -> Iterator[str]:
    sizes = list(dict.fromkeys(each.size for each in measurements))
    yield f"{engine}: medians as the store grows"
    medians = {(each.operation, each.size): each.comparison.times["store"].median for each in measurements}
    rows = []
    for operation in dict.fromkeys(each.operation for each in measurements):
        of_sizes = [medians[operation, size] for size in sizes]
        rows.append([operation, *map(_shown, of_sizes), f"{of_sizes[-1] / of_sizes[0]:.2f}"])
    yield from _table(["operation", *(f"{size:,}" for size in sizes), "last / first"], rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns, the first to the left and the others to the right, as Markdown has them."""
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    for number, row in enumerate((heads, *rows)):
        first, *others = zip(row, widths, strict=True)
        yield "| " + " | ".join([f"{first[0]:<{first[1]}}", *(f"{cell:>{width}}" for cell, width in others)]) + " |"
        if number == 0:
            yield "|" + "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]) + "|"


def _shown(microseconds: float) -> str:
    if microseconds < 1000:
        return f"{microseconds:.1f} us" if microseconds < 100 else f"{microseconds:.0f} us"
    milliseconds = microseconds / 1000
    if milliseconds < 1000:
        return f"{milliseconds:.1f} ms" if milliseconds < 100 else f"{milliseconds:.0f} ms"
    return f"{milliseconds / 1000:.2f} s"
