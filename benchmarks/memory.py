"""The most memory that Python needs while a whole store is streamed or copied, which does not grow with the store."""

from __future__ import annotations

import tempfile
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from imagestore.backend import copy
from imagestore.backends.sql import SQLBackend
from imagestore.store import Store


@dataclass(frozen=True)
class Memory:
    """The peak of an operation over a store of this size, in bytes above what was in use before."""

    engine: str
    size: int
    operation: str
    peak: int


def memory_of(store: Store, engine: str, size: int, *, copied: bool) -> Iterator[Memory]:
    """Measure the streams and, where ``copied``, `copy` into another database."""
    yield Memory(engine, size, "stream of all", peak_of(lambda: deque(store.stream(), maxlen=0)))
    yield Memory(engine, size, "stream of heads", peak_of(lambda: deque(store.stream(heads=True), maxlen=0)))
    if copied:
        with (
            tempfile.TemporaryDirectory(prefix="imagestore-benchmark-") as folder,
            SQLBackend.open(f"sqlite:///{folder}/copy.db") as target,
        ):
            yield Memory(engine, size, "copy to SQLite", peak_of(lambda: copy(store.backend, target)))


def peak_of(call: Callable[[], object]) -> int:
    """The bytes of Python's memory that a call takes at most."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        call()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return peak - before
