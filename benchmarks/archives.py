"""Archives beside plain loops over the same bytes and beside dockerd, and the memory that they take."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import lzma
import os
import random
import shutil
import statistics
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter
from typing import Any, BinaryIO, Final, Self, cast

from benchmarks.memory import peak_of
from imagestore.archive import load, save, save_to
from imagestore.archive.saving import Format
from imagestore.content.zstd import zstd
from imagestore.store import Store
from imagestore.testing.makers import make_config
from tests.docker.daemon import Connection, daemon

_CHUNK: Final = 1 << 20
_COMPRESSED: Final = 1 << 16
_MEGABYTE: Final = 1_000_000
_NAME: Final = "benchmark:1"
_FORMATS: Final[tuple[Format, ...]] = ("docker", "oci")
_WORDS: Final = 70_000  # in half a megabyte

Step = Callable[[], object]


@dataclass(frozen=True)
class Speed:
    """Megabytes of plain layers a second, ours and a peer's, and the ratio of the two; ``goal`` is what it has to reach."""

    operation: str
    megabytes: int
    ours: float
    peer: str
    theirs: float
    ratio: float
    goal: float


@dataclass(frozen=True)
class ArchivePeak:
    """The most memory of Python that an operation took on an archive of this size, in bytes above what was in use before."""

    operation: str
    megabytes: int
    peak: int


def speeds(megabytes: int, rounds: int, *, dockerd: bool) -> Iterator[Speed]:
    """Load and save an image of so many megabytes, in turns with the peers; a compressed one has half of them."""
    with tempfile.TemporaryDirectory(prefix="imagestore-") as name, Made(Path(name), megabytes) as made:
        loop = {"read, hash, write, fsync": made.loop}
        yield made.compare("load", rounds, partial(made.load, made.archive), loop, 0.8)
        yield made.compare("load from a pipe", rounds, made.load_pipe, loop, 0.8)
        yield made.compare("load an OCI layout", rounds, partial(made.load, made.layout), loop, 0.8)
        if dockerd:
            yield from _beside_dockerd(made, Path(name), rounds)
        made.load(made.archive)
        there = partial(made.load, made.archive)
        yield made.compare("load, all there", rounds, there, {"hash": made.hash}, 0.9, stays=True)
        yield made.compare(
            "load, all there, pipe", rounds, partial(made.load_pipe, made.layout), {"hash": made.hash}, 0.9, stays=True
        )
        for format in _FORMATS:
            yield made.compare(f"save as {format}", rounds, partial(made.save, format), loop, 0.8, stays=True)
    for kind in _COMPRESSORS:
        with (
            tempfile.TemporaryDirectory(prefix="imagestore-") as name,
            Made(Path(name), max(1, megabytes // 2), kind) as made,
        ):
            peers = {"read, hash, write, fsync": made.loop, f"{kind} alone": made.decompress}
            yield made.compare(f"load layers in {kind}", rounds, partial(made.load, made.archive), peers, 0.8)


def has_dockerd() -> bool:
    """Whether there is a dockerd to compare with, which needs root."""
    return os.geteuid() == 0 and shutil.which("dockerd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is not None


def _beside_dockerd(made: Made, folder: Path, rounds: int) -> Iterator[Speed]:
    """The same archive, through the daemon's API."""
    with daemon(folder) as docker:

        def load_there() -> None:
            with made.archive.open("rb") as file:
                docker.send("POST", "/images/load?quiet=1", file)

        def save_there() -> None:
            with contextlib.closing(_connect(folder)) as connection, made.copy.open("wb") as file:
                connection.request("GET", f"/v1.41/images/{_NAME}/get")
                shutil.copyfileobj(connection.getresponse(), file, _CHUNK)
                os.fsync(file.fileno())

        def forget() -> None:
            docker.send("DELETE", f"/images/{_NAME}?force=1")

        load = partial(made.load, made.archive)
        yield made.compare("load", rounds, load, {"dockerd": load_there}, 1.0, after=forget)
        load()
        load_there()
        yield made.compare(
            "save as docker", rounds, partial(made.save, "docker"), {"dockerd": save_there}, 1.0, stays=True
        )
        made.forget()


def archive_peaks(sizes: tuple[int, ...]) -> Iterator[ArchivePeak]:
    """Load archives of these sizes in megabytes, which come from nowhere, and save them to nowhere."""
    with (
        tempfile.TemporaryDirectory(prefix="imagestore-benchmark-") as folder,
        Store.open(f"sqlite:///{folder}/images.db", content=f"{folder}/content") as store,
    ):
        for megabytes in sizes:
            out = cast("BinaryIO", _Nowhere())
            yield ArchivePeak("load from a pipe", megabytes, peak_of(partial(load, store, _zeros(megabytes))))
            yield ArchivePeak("save", megabytes, peak_of(partial(save, store, [_NAME], out)))
            store.delete(store.references.get(_NAME))
            store.collect()


class Made:
    """An image of one layer, as docker's archive and, if it is plain, as an OCI layout; and what is measured with it.

    Args:
        folder: where all of it is.
        megabytes: of the layer's tar, half of it random, half of it words.
        kind: with what the layer is compressed; none: it is plain.
    """

    def __init__(self, folder: Path, megabytes: int, kind: str = "") -> None:
        self.archive = folder / "archive.tar"
        self.layout = folder / "layout.tar"
        self.copy = folder / "copy"
        self.store = Store.open(f"sqlite:///{folder}/images.db", content=folder / "content")
        self._megabytes = megabytes
        self._kind = kind
        self._layer = folder / "layer.tar"
        self._compressed = folder / "layer" if kind else self._layer
        _write_layer(self._layer, megabytes)
        if kind:
            self._compressed.write_bytes(_COMPRESSORS[kind](self._layer.read_bytes()))
        _write_archive(self.archive, self._compressed, f"sha256:{self.hash()}")
        self.load(self.archive)
        if not kind:
            save_to(self.store, [_NAME], self.layout, format="oci")
        self.forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()

    def compare(
        self,
        operation: str,
        rounds: int,
        ours: Step,
        peers: Mapping[str, Step],
        goal: float,
        *,
        stays: bool = False,
        after: Step | None = None,
    ) -> Speed:
        """Measure in turns, and compare with the slowest of the peers; the image goes after each turn unless it ``stays``."""
        rows = []
        for _ in range(rounds):
            rows.append([_timed(step) for step in (ours, *peers.values())])
            self.copy.unlink(missing_ok=True)
            if not stays:
                self.forget()
            if after is not None:
                after()
        our, *their = (statistics.median(column) for column in zip(*rows, strict=True))
        slowest = their.index(max(their))
        ratio = statistics.median(row[slowest + 1] / row[0] for row in rows)
        size = self._megabytes
        return Speed(operation, size, size / our, [*peers][slowest], size / their[slowest], ratio, goal)

    def load(self, source: Path) -> None:
        """Load an archive from a file."""
        load(self.store, source)

    def save(self, format: Format) -> None:
        """Save the image to a file."""
        save_to(self.store, [_NAME], self.copy, format=format)

    def load_pipe(self, archive: Path | None = None) -> None:
        """Load an archive from what cannot be sought in."""
        with (archive or self.archive).open("rb") as file:
            load(self.store, cast("BinaryIO", _Pipe(file)))

    def forget(self) -> None:
        """Remove the image."""
        self.store.delete(self.store.references.get(_NAME))

    def loop(self) -> None:
        """Read the plain layer, hash it, write it and sync it."""
        digest = hashlib.sha256()
        with self._layer.open("rb") as read, self.copy.open("wb") as written:
            while chunk := read.read(_CHUNK):
                digest.update(chunk)
                written.write(chunk)
            written.flush()
            os.fsync(written.fileno())

    def hash(self) -> str:
        """Read the plain layer and hash it."""
        with self._layer.open("rb") as read:
            return hashlib.file_digest(read, "sha256").hexdigest()

    def decompress(self) -> None:
        """Read the compressed layer and decompress it."""
        decompressor = _decompressor(self._kind)
        with self._compressed.open("rb") as read:
            while chunk := read.read(_COMPRESSED):
                decompressor.decompress(chunk)


def _connect(folder: Path) -> HTTPConnection:
    connection: HTTPConnection = Connection(folder / "socket")  # type: ignore[no-untyped-call]  # of the tests
    return connection


def _gzip(data: bytes) -> bytes:
    return zlib.compress(data, 6, zlib.MAX_WBITS | 16)


def _xz(data: bytes) -> bytes:
    return lzma.compress(data, preset=1)


def _zstd(data: bytes) -> bytes:
    compressed: bytes = zstd.compress(data)
    return compressed


_COMPRESSORS: Final = {"gzip": _gzip, "zstd": _zstd, "xz": _xz}


def _decompressor(kind: str) -> Any:
    if kind == "gzip":
        return zlib.decompressobj(zlib.MAX_WBITS | 16)
    return lzma.LZMADecompressor() if kind == "xz" else zstd.ZstdDecompressor()


def _timed(step: Step) -> float:
    start = perf_counter()
    step()
    return perf_counter() - start


def _write_layer(path: Path, megabytes: int) -> None:
    draw = random.Random(megabytes)
    words = [draw.randbytes(draw.randint(3, 12)) for _ in range(4000)]
    with path.open("wb") as file:
        file.write(_header("file", megabytes * _MEGABYTE))
        for _ in range(megabytes):
            text = b"".join(draw.choices(words, k=_WORDS))[: _MEGABYTE // 2]
            file.write(text + draw.randbytes(_MEGABYTE - len(text)))
        file.write(bytes(-file.tell() % 512 + 1024))


def _write_archive(path: Path, layer: Path, diff_id: str) -> None:
    with tarfile.open(path, "w") as tar:
        tar.add(layer, "layer.tar")
        for name, data in _documents(diff_id).items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def _documents(diff_id: str) -> dict[str, bytes]:
    manifest = [{"Config": "config.json", "RepoTags": [_NAME], "Layers": ["layer.tar"]}]
    return {"config.json": make_config("benchmark", layers=[diff_id]), "manifest.json": json.dumps(manifest).encode()}


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT)


def _zeros(megabytes: int) -> BinaryIO:
    """An archive whose layer is the tar of one file of zeros, as a pipe."""
    size = megabytes * _MEGABYTE
    inner = _header("zeros", size)
    layer = [inner, *_of_zeros(size + -size % 512 + 1024)]
    digest = hashlib.sha256()
    for chunk in layer:
        digest.update(chunk)
    length = sum(map(len, layer))
    parts = [_header("layer.tar", length), *layer, bytes(-length % 512)]
    for name, data in _documents(f"sha256:{digest.hexdigest()}").items():
        parts += [_header(name, len(data)), data, bytes(-len(data) % 512)]
    return cast("BinaryIO", _Parts([*parts, bytes(1024)]))


def _of_zeros(size: int) -> list[bytes]:
    """So many zeros, in chunks that are one and the same."""
    whole, rest = divmod(size, _CHUNK)
    return [bytes(_CHUNK)] * whole + [bytes(rest)]


class _Parts:
    """A stream of parts."""

    def __init__(self, parts: list[bytes]) -> None:
        self._parts = iter(parts)
        self._rest = b""

    def read(self, size: int) -> bytes:
        while not self._rest:
            part = next(self._parts, None)
            if part is None:
                return b""
            self._rest = part
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


class _Pipe:
    """A file that can only be read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        return self._file.read(size)


class _Nowhere:
    """A stream that takes everything and keeps nothing."""

    def write(self, data: bytes) -> int:
        return len(data)
