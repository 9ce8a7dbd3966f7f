"""A program that writes layers, images and names until it is killed: ``python -m tests.crash.layer_writer URL FOLDER``.

See `tests.crash.killed`; a step is one call, or several in one transaction.
"""

from __future__ import annotations

import io
import random
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import count, islice
from typing import Any, Final, NamedTuple

from imagestore.errors import ImageStoreError
from imagestore.layer import StoredLayer
from imagestore.leases import HeldLease
from imagestore.sql.engine import create_engine
from imagestore.store import Store
from tests.crash.killed import say, write_until_killed
from tests.model.model import Model
from tests.model.universe import CONFIGS, DIFF_IDS, IMAGE_IDS, NAMES, SIZES, TARS, stack_of

PLACES: Final = [("a", ""), ("b", ""), ("b", "a"), ("c", "ab"), ("a", "b")]
TAGS: Final = [name for name in NAMES if "@" not in name]
_UNITED: Final = 5  # calls in one transaction, at most


class Call(NamedTuple):
    """What is called: "register", "register alone", "release", "create", "delete", "tag", "untag", "end" or "collect"."""

    name: str
    arguments: tuple[Any, ...] = ()


class _RollBackError(Exception):
    pass


class Writer:
    """Makes calls on a store.

    Attributes:
        alone: the layers that it has registered under leases of their own, and not released.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.lease = store.lease()
        self.alone: list[StoredLayer] = []

    def make(self, step: list[Call]) -> None:
        """Make the calls of a step, and commit."""
        if len(step) == 1:
            self._make(self.store, step[0])
            return
        with self.store.begin() as joined:
            for call in step:
                self._make(joined, call)

    def _make(self, store: Store, call: Call) -> None:
        with suppress(ImageStoreError):  # something is not there, most often
            match call.name, call.arguments:
                case "register", (name, below):
                    _register(store, name, below, self.lease)
                case "register alone", (name, below):
                    self.alone.append(_register(store, name, below, None))
                case "release", ():
                    if self.alone:
                        store.layers.release(self.alone.pop())
                case "create", (image,):
                    store.create(CONFIGS[image])
                case "delete", (image,):
                    store.delete(IMAGE_IDS[image])
                case "tag", (name, image, force):
                    store.references.add_tag(name, IMAGE_IDS[image], force)
                case "untag", (name,):
                    store.references.delete(name)
                case "end", ():
                    store.leases.delete(self.lease.id)
                case "collect", ():
                    store.collect(batch=1)


class Expectation:
    """A model that goes through the same steps; its leases have numbers for IDs."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.alone: list[StoredLayer] = []
        self._numbers = count()
        model.holdings.leases["writer"] = set()

    def make(self, step: list[Call]) -> None:
        """What becomes of the model by a step."""
        for call in step:
            with suppress(ImageStoreError):
                self._make(call)

    def _make(self, call: Call) -> None:
        model = self.model
        match call.name, call.arguments:
            case "register", (name, below):
                model.holdings.register(_tar(name), _chain(below), "writer", is_own=False)
            case "register alone", (name, below):
                lease = f"alone {next(self._numbers)}"
                self.alone.append(model.holdings.register(_tar(name), _chain(below), lease, is_own=True))
            case "release", ():
                if self.alone:
                    model.holdings.release(self.alone.pop())
            case "create", (image,):
                model.create(CONFIGS[image])
            case "delete", (image,):
                model.delete(IMAGE_IDS[image])
            case "tag", (name, image, force):
                model.add_reference(NAMES[name], IMAGE_IDS[image], force=force)
            case "untag", (name,):
                model.delete_reference(NAMES[name])
            case "end", ():
                model.holdings.end("writer")
            case "collect", ():
                model.holdings.collect()


def draw_steps(seed: int) -> Iterator[list[Call]]:
    """Endless steps."""
    draw = random.Random(seed)
    while True:
        size = draw.choice([1, 1, 1, draw.randint(2, _UNITED)])
        alone = [Call("register alone", draw.choice(PLACES)), Call("release"), Call("collect"), Call("end")]
        if size == 1 and draw.random() < 0.4:
            yield draw.choices(alone, [6, 6, 4, 1])
        else:
            yield [_draw_call(draw) for _ in range(size)]


def _draw_call(draw: random.Random) -> Call:
    image = draw.randrange(len(CONFIGS))
    calls = {
        Call("register", draw.choice(PLACES)): 10,
        Call("create", (image,)): 6,
        Call("delete", (image,)): 4,
        Call("tag", (draw.choice(TAGS), image, draw.random() < 0.7)): 6,
        Call("untag", (draw.choice(TAGS),)): 1,
    }
    return draw.choices(list(calls), list(calls.values()))[0]


def _register(store: Store, name: str, below: str, lease: HeldLease | None) -> StoredLayer:
    return store.layers.register(io.BytesIO(TARS[name]), _chain(below), lease=lease)


def _chain(below: str) -> str | None:
    return stack_of(below)[-1].chain_id if below else None


def _tar(name: str) -> tuple[str, int, int]:
    return DIFF_IDS[name], SIZES[name], len(TARS[name])


def _warm(store: Store) -> None:
    """Let the store compile its statements, and leave no row behind, and no connection that a fork would share."""
    writer = Writer(store)
    for name in ("register alone", "release"):
        writer.make([Call(name, PLACES[0] if name == "register alone" else ())])
    with suppress(_RollBackError), store.begin() as joined:
        for step in islice(draw_steps(0), 50):
            for call in step:
                if call.name in ("register", "create", "delete", "tag", "untag"):
                    writer._make(joined, call)
        raise _RollBackError
    store.leases.delete(writer.lease.id)
    store.collect()
    store.engine.dispose()


def _write(store: Store, seed: int) -> None:
    writer = Writer(store)
    for step in draw_steps(seed):
        writer.make(step)
        say("done")


def main(url: str, folder: str) -> None:
    store = Store(create_engine(url), content=folder)
    _warm(store)
    write_until_killed(partial(_write, store))


if __name__ == "__main__":
    main(*sys.argv[1:])
