"""The bytes of layers beside a plain loop over files, and garbage collection beside a process that goes on writing."""

from __future__ import annotations

import hashlib
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from imagestore.layer import links
from imagestore.sql import layers
from imagestore.store import Store
from imagestore.testing.makers import make_diff_id

_CHUNK: Final = 1 << 20
_DEPTH: Final = 10  # layers of a stack of garbage

_WRITER: Final = """
import json, select, sys, time
from imagestore.store import Store
from imagestore.testing.makers import make_config
waits = []
with Store.open(sys.argv[1]) as store:
    image_id = store.create(make_config("writer"))
    print("ready", flush=True)
    end = sys.stdin.buffer

    while not select.select([end], [], [], 0)[0]:
        start = time.perf_counter()
        store.touch(image_id)
        waits.append((time.perf_counter() - start) * 1e3)
print(json.dumps(waits))
"""


@dataclass(frozen=True)
class Throughput:
    """Megabytes a second of the store and of a plain loop over the same bytes, and the ratio of the two."""

    operation: str
    megabytes: int
    store: float
    plain: float
    ratio: float


@dataclass(frozen=True)
class Peak:
    """The most memory of Python that registering a layer of this size took, in bytes above what was in use before."""

    megabytes: int
    peak: int


@dataclass(frozen=True)
class Collection:
    """What `Store.collect` took, and how long one write of another process took without it and beside it, in milliseconds."""

    engine: str
    layers: int
    seconds: float
    alone_median: float
    beside_median: float
    beside_p99: float


def throughput(megabytes: int, rounds: int) -> Iterator[Throughput]:
    """Register and read a layer, in rounds with the plain loop in between: read, hash, write and fsync; read and hash."""
    with tempfile.TemporaryDirectory(prefix="imagestore-benchmark-") as name:
        folder = Path(name)
        tar = folder / "layer.tar"
        _write_tar(tar, megabytes)
        with Store.open(f"sqlite:///{folder}/images.db", content=folder / "content") as store:
            registers: list[tuple[float, float]] = []
            reads: list[tuple[float, float]] = []
            for _ in range(rounds):
                plain = _timed(partial(_copy, tar, folder / "copy.tar"))
                with tar.open("rb") as stream:
                    start = time.perf_counter()
                    layer = store.layers.register(stream)
                    registers.append((time.perf_counter() - start, plain))
                reads.append((_timed(partial(_drain, store, layer.chain_id)), _timed(partial(_hash, tar))))
                store.layers.release(layer)
                (folder / "copy.tar").unlink()
        yield _throughput("register", megabytes, registers)
        yield _throughput("read", megabytes, reads)


def peaks(sizes: tuple[int, ...]) -> Iterator[Peak]:
    """Register layers of these sizes in megabytes, which come from nowhere and go to the disk."""
    with (
        tempfile.TemporaryDirectory(prefix="imagestore-benchmark-") as folder,
        Store.open(f"sqlite:///{folder}/images.db", content=f"{folder}/content") as store,
    ):
        for megabytes in sizes:
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            layer = store.layers.register(_Zeros(megabytes))  # type: ignore[arg-type]  # it can be read, and no more is asked
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            store.layers.release(layer)
            yield Peak(megabytes, peak - before)


def collection(engine: str, url: str, count: int) -> Collection:
    """Collect so many layers while another process writes."""
    with Store.open(url) as store:
        stacks = [
            links([make_diff_id(f"garbage {number} {depth}") for depth in range(_DEPTH)])
            for number in range(count // _DEPTH)
        ]
        with _writer(url) as alone:
            time.sleep(1)
        store._bind.write(layers.hold_many, stacks)
        with _writer(url) as beside:
            start = time.perf_counter()
            found = store.collect()
            seconds = time.perf_counter() - start
    return Collection(
        engine,
        found.layers,
        seconds,
        statistics.median(alone),
        statistics.median(beside),
        statistics.quantiles(beside, n=100)[-1] if len(beside) > 1 else beside[0],
    )


@contextmanager
def _writer(url: str) -> Iterator[list[float]]:
    """A process that writes during the block, and afterwards what each of its writes took."""
    waits: list[float] = []
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield waits
        finally:
            out, _ = process.communicate("end\n")
        waits.extend(json.loads(out))


def _throughput(operation: str, megabytes: int, times: list[tuple[float, float]]) -> Throughput:
    ours, plain = (statistics.median(side) for side in zip(*times, strict=True))
    ratio = statistics.median(plain / ours for ours, plain in times)
    return Throughput(operation, megabytes, megabytes / ours, megabytes / plain, ratio)


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _write_tar(path: Path, megabytes: int) -> None:
    member = tarfile.TarInfo("random")
    member.size = megabytes * 1_000_000
    with path.open("wb") as file:
        file.write(member.tobuf())
        for _ in range(megabytes):
            file.write(os.urandom(1_000_000))
        file.write(bytes(-file.tell() % 512 + 1024))


def _copy(source: Path, target: Path) -> None:
    digest = hashlib.sha256()
    with source.open("rb") as read, target.open("wb") as written:
        while chunk := read.read(_CHUNK):
            digest.update(chunk)
            written.write(chunk)
        written.flush()
        os.fsync(written.fileno())


def _hash(source: Path) -> None:
    digest = hashlib.sha256()
    with source.open("rb") as read:
        while chunk := read.read(_CHUNK):
            digest.update(chunk)


def _drain(store: Store, chain: str) -> None:
    with store.layers.open(chain) as stream:
        while stream.read(_CHUNK):
            pass


class _Zeros:
    """The tar of one file of zeros, as a stream."""

    def __init__(self, megabytes: int) -> None:
        member = tarfile.TarInfo("zeros")
        member.size = megabytes * 1_000_000
        self._head = io.BytesIO(member.tobuf(tarfile.GNU_FORMAT))
        self._left = member.size + -member.size % 512 + 1024

    def read(self, size: int) -> bytes:
        head = self._head.read(size)
        if head:
            return head
        size = min(size, self._left)
        self._left -= size
        return bytes(size)
