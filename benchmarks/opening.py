"""How long a store takes to open, beside connecting with the driver and asking for the revision."""

from __future__ import annotations

from itertools import repeat

from benchmarks.measure import Comparison, Effort, Side, compare
from benchmarks.raw import connect
from imagestore.store import Store


def compare_opening(url: str, effort: Effort) -> Comparison:
    """Open the store at a URL, and close it untimed."""
    ours = Side(Store.open, repeat(url), after=lambda store: store.close())
    raw = Side(connect, repeat(url), after=lambda connection: connection.close())
    return compare({"store": ours, "raw": raw}, effort)
