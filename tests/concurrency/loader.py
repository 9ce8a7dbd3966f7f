"""A program whose processes load, name, use, remove and collect the same few images and layers, and are killed at it.

``python -m tests.concurrency.loader URL FOLDER PROCESSES SECONDS PAUSE SEED``: after each pause a random one of the processes is killed
and another one takes its place. Each process writes to a log of its own, ``FOLDER/<number>.log``, what it begins and what has become of
that; the content of layers is in ``FOLDER/content``.
"""

from __future__ import annotations

import io
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from sqlalchemy.exc import DBAPIError

from imagestore.digest import ImageID
from imagestore.errors import ImageStoreError, LeaseExpiredError, NotFoundError
from imagestore.gojson import GoTime
from imagestore.layer import Link, StoredLayer, links
from imagestore.leases import TTL, HeldLease
from imagestore.sql.driver_errors import is_transient
from imagestore.store import Store
from imagestore.testing.makers import make_config, make_layer

T = TypeVar("T")

TARS: Final = {name: make_layer(name, size=30_000 * (number + 1)) for number, name in enumerate("abcd")}
DIFF_IDS: Final = {name: ImageID.from_bytes(tar) for name, tar in TARS.items()}
STACKS: Final = ["a", "ab", "abc", "abd", "b", "ba"]
LINKS: Final[list[tuple[Link, ...]]] = [links([DIFF_IDS[name] for name in stack]) for stack in STACKS]
CONFIGS: Final = [make_config(stack, layers=[DIFF_IDS[name] for name in stack]) for stack in STACKS]
IDS: Final = [ImageID.from_bytes(config) for config in CONFIGS]
TAGS: Final = ["app:1", "app:2", "app:3", "tool:1", "tool:2"]

_SHORT: Final = 0.02  # seconds that a lease lasts which is to expire while it is held
_OVERDUE: Final = timedelta(
    seconds=5
)  # after which a lease that `register` took is that of a process which was killed at it

Effect: TypeAlias = list[Any]
"""What a call does if it does not fail: ["create", image], ["remove", image], ["tag", image, tag] or ["untag", image, tag], by numbers."""


class _UndoneError(Exception):
    """A transaction was rolled back: because this program wanted it, or after a deadlock."""


class Loader:
    """What one process does.

    Args:
        store: of the process alone.
        log: where its calls are told.
        number: the process.
        seed: of what it does.
    """

    def __init__(self, store: Store, log: Path, number: int, seed: str) -> None:
        self._store = store
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._labels = {"process": str(number)}
        self._draw = random.Random(seed)
        self._calls = 0

    def work(self, until: float) -> None:
        """Go on until the monotonic clock shows ``until``."""
        works = [self.load, self.load_at_once, self.pass_by, self.disturb, self.look]
        while time.monotonic() < until:
            with suppress(ImageStoreError, _UndoneError):
                self._draw.choices(works, [25, 10, 10, 50, 5])[0]()

    def load(self) -> None:
        """Register all layers of an image, create and tag it, under a lease."""
        image = self._draw.randrange(len(IDS))
        with self._lease() as lease:
            try:
                for name, link in _layers_of(image):
                    self._call("register", partial(self._register, name, link, lease), lease=lease)
                    if self._draw.random() < 0.3:
                        self.disturb()
                self._require_content(image)
                self._call("create of what is held", partial(self._store.create, CONFIGS[image]), ["create", image])
                self._require_content(image)
            except NotFoundError as error:
                _require_expired(lease, error)
        self._tag(image)

    def load_at_once(self) -> None:
        """The same in one transaction, which may be rolled back."""
        image, tag = self._draw_image_and_tag()
        is_kept = self._draw.random() < 0.7

        def load(lease: HeldLease) -> list[StoredLayer]:
            with self._store.begin() as joined:
                layers = [
                    joined.layers.register(io.BytesIO(TARS[name]), link.parent, lease=lease)
                    for name, link in _layers_of(image)
                ]
                joined.create(CONFIGS[image])
                joined.references.add_tag(TAGS[tag], IDS[image], force=True)
                if not is_kept:
                    raise _UndoneError
            return layers

        effects: list[Effect] = [["create", image], ["tag", image, tag]] if is_kept else []
        with self._lease() as lease:
            try:
                self._call("load in one transaction", partial(load, lease), *effects, lease=lease)
                self._require_content(image)
            except NotFoundError as error:
                _require_expired(lease, error)

    def pass_by(self) -> None:
        """Register layers under leases of their own, and release them."""
        image, _ = self._draw_image_and_tag()
        held: list[StoredLayer] = []
        try:
            for name, link in _layers_of(image):
                held.append(self._call("register alone", partial(self._register, name, link, None)))
            self._require_content(image)
        except NotFoundError as error:
            _require_ended(self._store, held, error)
            return
        self._draw.shuffle(held)
        for layer in held:
            self._call("release", partial(self._store.layers.release, layer))

    def disturb(self) -> None:
        """One call that needs no lease."""
        image, tag = self._draw_image_and_tag()
        calls: dict[str, tuple[int, Callable[[], object], Effect]] = {
            "create": (10, partial(self._store.create, CONFIGS[image]), ["create", image]),
            "untag": (10, partial(self._store.references.delete, TAGS[tag]), ["untag", image, tag]),
            "remove": (20, partial(self._store.delete, IDS[image]), ["remove", image]),
            "remove in a transaction": (5, partial(_remove_joined, self._store, image), ["remove", image]),
            "collect": (20, partial(self._store.collect, batch=self._draw.choice([1, 3, 500])), []),
            "collect, dry run": (5, partial(self._store.collect, dry_run=True), []),
            "use": (15, partial(_use, self._store, tag), []),
        }
        (name,) = self._draw.choices(["tag", *calls], [15, *(weight for weight, _, _ in calls.values())])
        with suppress(ImageStoreError, _UndoneError):
            if name == "tag":
                self._tag(image)
            else:
                _, call, effect = calls[name]
                self._call(name, call, *([effect] if effect else []))

    def look(self) -> None:
        """Whatever is there has all that it needs, at each moment."""
        with self._store.reading() as snapshot:
            there = snapshot.layers.map()
            images = snapshot.map()
            names = list(snapshot.references.stream())
        for image_id in images:
            for _, link in _layers_of(IDS.index(image_id)):
                if link.chain_id not in there or there[link.chain_id].content_size is None:
                    raise AssertionError(f"image {image_id} is there without {link}")
        for reference, image_id in names:
            if image_id not in images:
                raise AssertionError(f"{reference.familiar} stands for {image_id}, which is not there")

    def _register(self, name: str, link: Link, lease: HeldLease | None) -> StoredLayer:
        layer = self._store.layers.register(io.BytesIO(TARS[name]), link.parent, lease=lease)
        if layer.chain_id != link.chain_id:
            raise AssertionError(f"{layer} is not {link}")
        return layer

    def _tag(self, image: int) -> None:
        tag, force = self._draw.randrange(len(TAGS)), self._draw.random() < 0.7
        add = partial(self._store.references.add_tag, TAGS[tag], IDS[image], force=force)
        self._call("tag", add, ["tag", image, tag])

    def _require_content(self, image: int) -> None:
        for name, link in _layers_of(image):
            self._call("open of what is held", partial(read_layer, self._store, name, link))

    def _lease(self) -> HeldLease:
        return self._store.lease(self._draw.choices([TTL, _SHORT], [15, 1])[0], self._labels)

    def _draw_image_and_tag(self) -> tuple[int, int]:
        return self._draw.randrange(len(IDS)), self._draw.randrange(len(TAGS))

    def _call(self, name: str, call: Callable[[], T], *effects: Effect, lease: HeldLease | None = None) -> T:
        """Make a call, tell what becomes of it, and raise what it raises."""
        self._calls += 1
        self._tell(self._calls, name, effects)
        error, held = None, []
        try:
            result = call()
            held = _held_by(result, lease)
            return result
        except (ImageStoreError, _UndoneError) as refused:
            error = type(refused).__name__
            raise
        except DBAPIError as failed:
            if not is_transient(failed):
                raise
            error = "deadlock"
            raise _UndoneError from failed
        finally:
            self._tell(self._calls, error, held)

    def _tell(self, number: int, *told: Any) -> None:
        os.write(self._log, (json.dumps([number, time.monotonic_ns(), *told]) + "\n").encode())


def read_layer(store: Store, name: str, link: Link) -> None:
    """Make sure that a layer that is there is what was registered."""
    with store.layers.open(link.chain_id) as stream:
        if stream.read() != TARS[name]:
            raise AssertionError(f"{link} is another layer now")


def _layers_of(image: int) -> list[tuple[str, Link]]:
    return list(zip(STACKS[image], LINKS[image], strict=True))


def _held_by(result: object, lease: HeldLease | None) -> list[tuple[str, str]]:
    layers = result if isinstance(result, list) else [result]
    return [
        (layer.lease or (lease.id if lease else ""), layer.chain_id)
        for layer in layers
        if isinstance(layer, StoredLayer)
    ]


def _use(store: Store, tag: int) -> None:
    image = IDS.index(store.references.get(TAGS[tag]))
    store.get(IDS[image])
    for name, link in _layers_of(image):
        read_layer(store, name, link)


def _remove_joined(store: Store, image: int) -> None:
    with store.begin() as joined:
        joined.delete(IDS[image])


def _require_expired(lease: HeldLease, error: NotFoundError) -> None:
    """What a lease holds is missing only if that is gone: one that has expired cannot be renewed."""
    try:
        lease.renew()
    except LeaseExpiredError:
        return
    raise AssertionError(f"lease {lease.id} is alive, and what it holds is gone") from error


def _require_ended(store: Store, held: list[StoredLayer], error: NotFoundError) -> None:
    for layer in held:
        try:
            store.layers.release(layer)
        except LeaseExpiredError:
            return
    raise AssertionError(f"the leases of {held} are alive, and what they hold is gone") from error


def end_leases(store: Store, numbers: Sequence[int]) -> None:
    """End the leases of processes that are gone; those that `register` has taken by itself, when they are overdue."""
    overdue = GoTime.from_datetime(datetime.now(UTC) + timedelta(seconds=TTL) - _OVERDUE)
    for lease in store.leases.page(limit=1_000_000):
        number = lease.labels.get("process")
        if int(number) in numbers if number else lease.expires < overdue:
            with suppress(LeaseExpiredError):
                store.leases.delete(lease.id)


def _start(url: str, folder: Path, number: int, until: float, seed: str) -> int:
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        with Store.open(url, content=folder / "content") as store:
            Loader(store, folder / f"{number}.log", number, f"{seed} {number}").work(until)
        status = 0
    except BaseException:  # noqa: BLE001  its only report
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(status)


def main(url: str, folder: str, processes: str, seconds: str, pause: str, seed: str) -> int:
    """Returns how many of the processes have failed by themselves; their tracebacks are on stderr."""
    draw = random.Random(seed)
    until = time.monotonic() + float(seconds)
    numbers = count()
    working = {number: _start(url, Path(folder), number, until, seed) for number in islice(numbers, int(processes))}
    killed: list[int] = []
    failed = 0
    while time.monotonic() + float(pause) < until and not failed:
        time.sleep(float(pause))
        number = draw.choice(list(working))
        os.kill(working[number], signal.SIGKILL)
        failed += os.WIFEXITED(os.waitpid(working.pop(number), 0)[1])
        with Store.open(url) as store:
            end_leases(store, killed)
        killed.append(number)
        number = next(numbers)
        working[number] = _start(url, Path(folder), number, until, seed)
    return failed + sum(os.waitpid(process, 0)[1] != 0 for process in working.values())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
