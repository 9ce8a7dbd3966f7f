"""A program that writes to a store until it is killed: ``python -m tests.crash.writer URL``.

See `tests.crash.killed`; a step is a unit of calls that commits as one, and of each is said when it began.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import Final, NamedTuple

from imagestore.digest import Digest, ImageID
from imagestore.errors import ImageStoreError
from imagestore.gojson import GoTime
from imagestore.sql.engine import create_engine
from imagestore.store import Store
from imagestore.testing.makers import make_config
from tests.crash.killed import say, write_until_killed

CONFIGS: Final = {ImageID.from_bytes(config): config for config in (make_config(number) for number in range(6))}
IDS: Final = list(CONFIGS)
BLOB: Final = b"no image"
UNITED: Final = 5  # calls in one transaction, at most

State = Mapping[Digest, tuple[bytes, Mapping[str, bytes]]]
"""Each blob's bytes and metadata."""


class _RollBackError(Exception):
    pass


class Call(NamedTuple):
    """A method of a store, "backend.set" for one of its backend's, and its arguments."""

    name: str
    arguments: tuple

    def make(self, store: Store) -> None:
        with suppress(ImageStoreError):  # an image that is not there, most often
            attrgetter(self.name)(store)(*self.arguments)

    def after(self, state: State, now: bytes) -> State:
        """What is there after the call, where ``state`` was before it."""
        first = self.arguments[0]
        data, metadata = state.get(first, (b"", {}))
        match self.name:
            case "create" | "backend.set":
                return {Digest.from_bytes(first): (first, {}), **state}
            case "create_many":
                return {**{Digest.from_bytes(each): (each, {}) for each in first}, **state}
            case _ if not data:
                return state
            case "delete":
                return {
                    digest: (blob, _without_parent(values, first) if digest in CONFIGS else values)
                    for digest, (blob, values) in state.items()
                    if digest != first
                }
            case "backend.delete":
                return {digest: held for digest, held in state.items() if digest != first}
            case "set_parent" if self.arguments[1] in state:
                return {**state, first: (data, {**metadata, "parent": self.arguments[1].encode()})}
            case "touch":
                return {**state, first: (data, {**metadata, "lastUsed": now})}
            case "set_last_updated":
                return {**state, first: (data, {**metadata, "lastUpdated": now})}
            case "set_built_locally":
                return {**state, first: (data, {**metadata, "builtLocally": b"\1"})}
            case "backend.set_metadata":
                return {**state, first: (data, {**metadata, self.arguments[1]: self.arguments[2]})}
            case "backend.delete_metadata":
                kept = {key: value for key, value in metadata.items() if key != self.arguments[1]}
                return {**state, first: (data, kept)}
        return state


def draw_units(seed: int) -> Iterator[list[Call]]:
    """Endless calls; those of a list are made in one transaction."""
    draw = random.Random(seed)
    while True:
        yield [_draw_call(draw) for _ in range(draw.choice([1, 1, 1, draw.randint(2, UNITED)]))]


def make(store: Store, unit: list[Call]) -> None:
    """Make the calls, and commit."""
    if len(unit) == 1:
        unit[0].make(store)
        return
    with store.begin() as joined:
        for call in unit:
            call.make(joined)


def _draw_call(draw: random.Random) -> Call:
    number = draw.randrange(len(IDS))
    image_id = IDS[number]
    parent = IDS[draw.randrange(number)] if number else IDS[-1]  # an earlier one: no call makes a cycle
    key, value = draw.choice(
        [("lastUpdated", b"no time"), ("key", b"%d" % draw.randrange(1000)), ("builtLocally", b"")]
    )
    calls = {
        Call("create", (CONFIGS[image_id],)): 6,
        Call("create_many", (tuple(draw.sample(list(CONFIGS.values()), 3)),)): 2,
        Call("backend.set", (draw.choice([BLOB, CONFIGS[image_id]]),)): 2,
        Call("delete", (image_id,)): 2,
        Call("backend.delete", (draw.choice([image_id, Digest.from_bytes(BLOB)]),)): 1,
        Call("touch", (image_id,)): 2,
        Call("set_last_updated", (image_id,)): 2,
        Call("set_built_locally", (image_id,)): 1,
        Call("backend.set_metadata", (image_id, key, value)): 2,
        Call("backend.delete_metadata", (image_id, draw.choice(["parent", "lastUsed", key]))): 1,
    }
    if number:
        calls[Call("set_parent", (image_id, parent))] = 6
        calls[Call("backend.set_metadata", (image_id, "parent", parent.encode()))] = 2
    return draw.choices(list(calls), list(calls.values()))[0]


def _without_parent(metadata: Mapping[str, bytes], parent: Digest) -> Mapping[str, bytes]:
    return {key: value for key, value in metadata.items() if (key, value) != ("parent", parent.encode())}


def _warm(store: Store) -> None:
    """Let the store compile its statements, and leave nothing behind: no row, and no connection that a fork would share."""
    with suppress(_RollBackError), store.begin() as joined:
        for unit in islice(draw_units(0), 50):
            for call in unit:
                call.make(joined)
        raise _RollBackError
    store.engine.dispose()


def _write(store: Store, seed: int) -> None:
    for unit in draw_units(seed):
        now = str(GoTime.now())
        make(store, unit)
        say(now)


def main(url: str) -> None:
    store = Store(create_engine(url))
    _warm(store)
    write_until_killed(partial(_write, store))


if __name__ == "__main__":
    main(sys.argv[1])
