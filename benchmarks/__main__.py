"""``python -m benchmarks``: every operation of the store beside the raw driver and beside Docker's directory; archives beside dockerd."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.archives import has_dockerd
from benchmarks.measure import Effort
from benchmarks.report import to_json, to_text
from benchmarks.run import ENGINES, Settings, run

QUICK: Final = Settings(
    ENGINES, (100, 2000), Effort(rounds=5, seconds=0.01), whole_rounds=3, copied=2000, megabytes=(10, 100), garbage=1000
)
FULL: Final = Settings(
    ENGINES,
    (1000, 10_000, 100_000),
    Effort(rounds=11, seconds=0.04),
    whole_rounds=3,
    copied=10_000,
    megabytes=(500, 10),
    garbage=10_000,
)
LARGE: Final = replace(FULL, sizes=(*FULL.sizes, 1_000_000), megabytes=(500, 10, 10_000))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables, and write the JSON file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small stores and few rounds: an answer in a minute")
    parser.add_argument(
        "--large",
        action="store_true",
        help="also a million images, and layers and archives of 10 GB: hours, and 20 GB of disk",
    )
    parser.add_argument("--engine", choices=ENGINES, action="append", help="only this one")
    parser.add_argument(
        "--json", type=Path, default=Path("benchmarks.json"), metavar="FILE", help="default: %(default)s"
    )
    options = parser.parse_args(arguments)
    chosen = QUICK if options.quick else LARGE if options.large else FULL
    settings = replace(chosen, engines=options.engine or ENGINES, dockerd=has_dockerd())
    started = time.monotonic()
    results = run(settings, lambda said: print(f"{time.monotonic() - started:6.1f} s  {said}", file=sys.stderr))
    print(to_text(results))
    options.json.write_text(to_json(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
