"""What is measured: every operation of the store, as one call that the store, the raw driver and the store over files all take."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count, cycle, islice
from typing import Any, Final

from benchmarks.population import Population, config
from imagestore.digest import ImageID
from imagestore.gojson import GoTime
from imagestore.sql.uses import Use
from imagestore.store import Store

BULK: Final = 1000
_MANY: Final = 100
_PAGE: Final = 50
_DOOMED: Final = 20  # made at once
_NOW: Final = GoTime.parse("2024-04-01T00:00:00Z")


class Images:
    """What the operations are given: images that are there, and configurations that are not there yet.

    Args:
        store: that which has them; the raw driver works on the same database.
        population: what it was loaded with.
    """

    def __init__(self, store: Store, population: Population) -> None:
        self.store = store
        self.numbers = count(len(population.ids))
        self.population = population

    def new(self) -> Iterator[bytes]:
        """Configurations that nobody has stored yet."""
        return (config(number) for number in self.numbers)

    def doomed(self) -> Iterator[ImageID]:
        """Images that nobody will miss, without parent and children."""
        while True:
            yield from self.store.create_many(list(islice(self.new(), _DOOMED)))


@dataclass(frozen=True)
class Operation:
    """One operation.

    Args:
        name: as the table says it.
        call: the work, on a store or what has its methods, with one of the inputs.
        inputs: never end; each side has its own.
        goals: the ratio to the raw driver that it must reach, on SQLite and on PostgreSQL, where there is one.
        snapshot: within ``Store.reading``.
        on_files: whether the store over files does the same.
    """

    name: str
    call: Callable[[Any, Any], Any]
    inputs: Callable[[Images], Iterator[Any]]
    goals: tuple[float, float] | None
    snapshot: bool = False
    on_files: bool = True


def _some(images: Images) -> Iterator[ImageID]:
    return cycle(images.population.any())


def _terms(images: Images) -> Iterator[str]:
    return cycle([image_id.hex[:12] for image_id in images.population.any()])


def _hundreds(images: Images) -> Iterator[list[ImageID]]:
    ids = images.population.any()
    return cycle([ids[start : start + _MANY] for start in range(0, len(ids), _MANY)])


def _all(_: Images) -> Iterator[None]:
    return cycle([None])


def _there(_: Images) -> Iterator[bytes]:
    return cycle([config(number) for number in range(_MANY)])


def _links(images: Images) -> Iterator[tuple[ImageID, ImageID]]:
    return zip(images.doomed(), cycle(images.population.deepest()), strict=False)


def _keyed(images: Images) -> Iterator[tuple[ImageID, str, bytes]]:
    """Another value each time: SQLite writes nothing where the row has it already."""
    return ((image_id, "key", str(next(images.numbers)).encode()) for image_id in _some(images))


def _with_key(images: Images) -> Iterator[tuple[ImageID, str]]:
    for image_id, key, value in _keyed(images):
        images.store.backend.set_metadata(image_id, key, value)
        yield image_id, key


def _exhaust(found: Iterable[Any]) -> None:
    deque(found, maxlen=0)


_POINT: Final = (
    ("get", lambda store, image_id: store.get(image_id), _some, (1.8, 1.4)),
    ("in", lambda store, image_id: image_id in store, _some, (3.0, 1.4)),
    ("search, 12 digits", lambda store, term: store.search(term), _terms, (3.0, 1.4)),
    ("get_parent", lambda store, image_id: store.get_parent(image_id), _some, (3.0, 1.4)),
)

READS: Final = (
    *(Operation(name, call, inputs, goals) for name, call, inputs, goals in _POINT),
    *(Operation(f"{name}, in reading()", call, inputs, (1.3, 1.2), True, False) for name, call, inputs, _ in _POINT),
    Operation(
        "page of 100 heads",
        lambda store, after: store.page(after, heads=True),
        _some,
        (1.5, 1.4),
    ),
    Operation(
        "ancestors, 60 deep",
        lambda store, image_id: store.lineage.ancestors(image_id),
        lambda images: cycle(images.population.deepest()),
        (1.5, 1.4),
    ),
    Operation(
        "bases", lambda store, image_id: store.lineage.bases(image_id, None, _PAGE), _some, (1.5, 1.5), on_files=False
    ),
    Operation(
        "derived, the first 50",
        lambda store, image_id: store.lineage.derived(image_id, None, _PAGE),
        lambda images: cycle(images.population.bases()),
        (1.5, 1.5),
        on_files=False,
    ),
    Operation(
        "shared_layers",
        lambda store, pair: store.lineage.shared_layers(*pair),
        lambda images: cycle(images.population.relatives()),
        None,
        on_files=False,
    ),
    Operation("sizes", lambda store, image_id: store.lineage.sizes(image_id), _some, None, on_files=False),
    Operation(
        "unused_since, page of 50",
        lambda store, after: store.unused_since(_NOW, after, _PAGE),
        lambda images: cycle([Use(image_id, None) for image_id in images.population.any()]),
        None,
        on_files=False,
    ),
    Operation("descendants", lambda store, image_id: store.lineage.descendants(image_id), _some, (4.5, 2.2)),
    Operation("children", lambda store, image_id: store.children(image_id), _some, (4.5, 2.2)),
    Operation("get_many, 100", lambda store, image_ids: store.get_many(image_ids), _hundreds, (3.0, 2.2)),
    Operation("page of 100 images", lambda store, after: store.page(after), _some, (3.0, 2.2)),
    Operation("get_last_updated", lambda store, image_id: store.get_last_updated(image_id), _some, (4.5, 2.2)),
    Operation("last_used", lambda store, image_id: store.last_used(image_id), _some, (4.5, 2.2)),
    Operation("is_built_locally", lambda store, image_id: store.is_built_locally(image_id), _some, (4.5, 2.2)),
    Operation("len", lambda store, _: len(store), _all, (4.5, 2.2)),
    Operation("backend.get", lambda store, digest: store.backend.get(digest), _some, (3.0, 2.2)),
    Operation(
        "backend.get_metadata",
        lambda store, digest: store.backend.get_metadata(digest, "parent"),
        lambda images: cycle(images.population.children_of_some()),
        (4.5, 2.2),
    ),
    Operation("backend.metadata_keys", lambda store, digest: store.backend.metadata_keys(digest), _some, (4.5, 2.2)),
    Operation("backend.walk", lambda store, _: _exhaust(store.backend.walk()), _all, (4.5, 2.2)),
)

WHOLE: Final = (
    Operation("stream of heads", lambda store, _: _exhaust(store.stream(heads=True)), _all, (1.3, 1.3)),
    Operation("stream of all", lambda store, _: _exhaust(store.stream()), _all, (1.3, 1.3)),
    Operation("heads", lambda store, _: store.heads(), _all, (1.3, 1.3)),
    Operation("map", lambda store, _: store.map(), _all, (1.3, 1.3)),
)

WRITES: Final = (
    Operation("create", lambda store, config: store.create(config), Images.new, (1.6, 1.6)),
    Operation(
        "create, there already",
        lambda store, config: store.create(config),
        _there,
        None,
    ),
    Operation(
        f"create_many, {BULK}",
        lambda store, configs: store.create_many(configs),
        lambda images: iter(lambda: list(islice(images.new(), BULK)), None),
        (1.8, 1.4),
        on_files=False,
    ),
    Operation("set_parent", lambda store, pair: store.set_parent(*pair), _links, (1.6, 1.4)),
    Operation("touch", lambda store, image_id: store.touch(image_id), _some, (1.6, 1.4)),
    Operation("set_last_updated", lambda store, image_id: store.set_last_updated(image_id), _some, (1.6, 1.4)),
    Operation(
        "set_built_locally", lambda store, image_id: store.set_built_locally(image_id), Images.doomed, (1.6, 1.4)
    ),
    Operation("delete", lambda store, image_id: store.delete(image_id), Images.doomed, (2.0, 2.0)),
    Operation("backend.set", lambda store, data: store.backend.set(data), Images.new, (1.6, 1.4)),
    Operation("backend.set_metadata", lambda store, given: store.backend.set_metadata(*given), _keyed, (1.6, 1.4)),
    Operation(
        "backend.delete_metadata", lambda store, given: store.backend.delete_metadata(*given), _with_key, (1.6, 1.4)
    ),
)
