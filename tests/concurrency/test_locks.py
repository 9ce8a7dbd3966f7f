"""What each lock of `imagestore.sql` is there for: without it the interleavings show damage, with it they do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Select, literal, select

from imagestore import collect
from imagestore.sql import contents, edges, garbage, images, layers, leases, metadata, references
from imagestore.sql.driver import Write
from tests.concurrency.layer_scenarios import GARBAGE, IMAGE, LEASED, UNUSED
from tests.concurrency.layer_work import (
    collect_contents,
    collect_layers,
    end,
    know,
    know_many,
    load,
    register,
    release,
    remove,
    sweep,
    tag_many,
    together,
)
from tests.concurrency.test_interleavings import sampled
from tests.concurrency.work import (
    READ_COMMITTED,
    REPEATABLE_READ,
    Operation,
    Scenario,
    Unit,
    create,
    create_many,
    delete,
    name_parent,
    set_last_updated,
    set_parent,
    unname_parent,
    unname_time,
)

LIMIT = 400  # runs; more than each of two needs, and enough of three


def unlocked(statement: Select[Any]) -> Select[Any]:
    copy = statement.with_only_columns(*statement.selected_columns)
    copy._for_update_arg = None
    return copy


def weaker(statement: Select[Any]) -> Select[Any]:
    return statement.with_for_update(key_share=True)


def no_lock(_statement: Select[Any]) -> Select[Any]:
    return select(literal(1))


def without_waiting(_wait_for: Callable[..., bool]) -> Callable[..., bool]:
    return images.exists


def without_looking_again(_write: Callable[..., None]) -> Callable[..., None]:
    def index_and_write(connection, digest, key, value, write):
        metadata._index_time(connection, digest, key, value)
        write(connection, digest, key, value)

    return index_and_write


def only_where_there_is_one(unlink: Callable[..., None]) -> Callable[..., None]:
    return lambda connection, child: unlink(connection, child) if child.parent is not None else None


def contents_before_leases(_unnamed: Callable[..., Iterator[str]]) -> Callable[..., Iterator[str]]:
    def unnamed(bind, content, find_leases=garbage.find_leases):
        owners = {name: name.partition("-")[0] for name in content.names()}
        named = bind.read(garbage.find_named, list(owners))
        alive = bind.read(find_leases, sorted(set(owners.values())))
        return [name for name, owner in owners.items() if owner not in alive and name not in named]

    return unnamed


class Lock(NamedTuple):
    """What is taken out or made weaker, and a meeting that shows it."""

    module: Any
    name: str
    change: Callable[[Any], Any]
    before: tuple[Operation, ...]
    units: tuple[tuple[Operation, ...], ...]
    level: str | None = None

    @property
    def scenario(self) -> Scenario:
        return Scenario(self.before, tuple(Unit(operations, self.level) for operations in self.units))


LOCKS = {
    "opposite links": Lock(
        edges,
        "_HOLD_CHILD",
        unlocked,
        (*map(create, "cd"),),
        ((set_parent("c", "d"),), (set_parent("d", "c"),)),
    ),
    "opposite links, FOR NO KEY UPDATE": Lock(
        edges,
        "_HOLD_CHILD",
        weaker,
        (*map(create, "cd"),),
        ((set_parent("c", "d"),), (set_parent("d", "c"),)),
    ),
    "a link to an image that goes": Lock(
        edges,
        "_HOLD_CHILD",
        unlocked,
        (*map(create, "cd"),),
        ((delete("d"),), (set_parent("c", "d"),)),
    ),
    "a cycle of three": Lock(
        edges,
        "_HOLD_PARENT",
        unlocked,
        (*map(create, "cde"), set_parent("e", "c")),
        ((set_parent("c", "d"),), (set_parent("d", "e"),)),
    ),
    "a cycle of four": Lock(
        edges,
        "_LOCK_LINKS",
        no_lock,
        (*map(create, "acde"), set_parent("a", "c"), set_parent("d", "e")),
        ((set_parent("c", "d"),), (set_parent("e", "a"),)),
    ),
    "a cycle that is broken while it is closed": Lock(
        edges,
        "_LOCK_LINKS",
        no_lock,
        (*map(create, "abc"), set_parent("a", "b"), set_parent("b", "c")),
        ((name_parent("c", "a"),), (unname_parent("b"),)),
    ),
    "a stale walk": Lock(
        edges,
        "_HOLD_ANCESTRY",
        unlocked,
        (*map(create, "cde"), set_parent("e", "c")),
        ((set_parent("c", "d"),), (set_parent("d", "e"),)),
        REPEATABLE_READ,
    ),
    "a waiting child that is linked elsewhere": Lock(
        edges,
        "_HOLD_WAITING",
        unlocked,
        (*map(create, "dy"), name_parent("y", "x")),
        ((create("x"),), (set_parent("y", "d"),)),
    ),
    "a waiting child that waits no longer, in a snapshot": Lock(
        edges,
        "unlink",
        only_where_there_is_one,
        (create("y"), name_parent("y", "x")),
        ((create("x"),), (unname_parent("y"),)),
        REPEATABLE_READ,
    ),
    "a parent that is being created": Lock(
        edges,
        "_wait_for",
        without_waiting,
        (create("e"),),
        ((name_parent("e", "x"),), (create("x"),)),
    ),
    "a time that is removed while its image is created": Lock(
        metadata,
        "_write",
        without_looking_again,
        (),
        ((create("x"),), (set_last_updated("x"),), (unname_time("x"),)),
    ),
    "create and link, and delete": Lock(
        images,
        "_HOLD_SHARED",
        unlocked,
        (*map(create, "be"),),
        ((create("b"), set_parent("e", "b")), (delete("b"),)),
        READ_COMMITTED,
    ),
    "create many and link, and delete": Lock(
        images,
        "_HOLD_MANY",
        unlocked,
        (*map(create, "be"),),
        ((create_many("bx"), set_parent("e", "b")), (delete("b"),)),
        READ_COMMITTED,
    ),
    "create and free": Lock(
        layers,
        "_HOLD_HIGHEST",
        unlocked,
        IMAGE.before,
        ((know("PR"),), (remove("PQ"),)),
    ),
    "register and free": Lock(
        layers,
        "_HOLD_HIGHEST",
        unlocked,
        IMAGE.before,
        ((register("pq", "b"),), (remove("PQ"),)),
    ),
    "load and free": Lock(
        layers,
        "_HOLD_EXISTING",
        unlocked,
        LEASED.before,
        ((load("PQ"),), (release("pq", "a"),)),
    ),
    "create many and free": Lock(
        layers,
        "_HOLD_EXISTING",
        unlocked,
        IMAGE.before,
        ((know_many("P", "PR"),), (remove("PQ"),)),
    ),
    "free and create": Lock(
        layers,
        "_HOLD_ALONE",
        unlocked,
        IMAGE.before,
        ((know("PR"),), (remove("PQ"),)),
    ),
    "content that is relied on while it is freed is lost": Lock(
        contents,
        "_HOLD_UNUSED",
        unlocked,
        IMAGE.before,
        ((register("q", "b"),), (remove("PQ"),)),
    ),
    "content that is freed while it is relied on is lost": Lock(
        contents,
        "_HOLD",
        unlocked,
        IMAGE.before,
        ((register("q", "b"),), (remove("PQ"),)),
    ),
    "collect and create": Lock(
        garbage,
        "_SKIP_HELD",
        unlocked,
        GARBAGE.before,
        ((know("PQ"),), (collect_layers(),)),
    ),
    "content that is relied on while it is collected is lost": Lock(
        garbage,
        "_SKIP_HELD_CONTENTS",
        unlocked,
        UNUSED.before,
        ((register("p", "c"),), (collect_contents(),)),
    ),
    "register under a lease that ends": Lock(
        leases,
        "_HOLD",
        unlocked,
        IMAGE.before,
        ((register("pq", "b"),), (end("b"),)),
    ),
    "names for an image that goes": Lock(
        references,
        "_HOLD_IMAGES",
        unlocked,
        IMAGE.before,
        ((tag_many("app:1", "app:2", image="PQ"),), (remove("PQ"),)),
    ),
    "a file is swept whose row comes late": Lock(
        collect,
        "_unnamed",
        contents_before_leases,
        IMAGE.before,
        ((together(register("r", "b"), end("b")),), (sweep(),)),
    ),
}


@pytest.mark.parametrize("name", sampled(LOCKS, 3))
def test_without_the_lock_something_breaks(explorer, monkeypatch, name):
    lock = LOCKS[name]
    assert explorer.all(lock.scenario, LIMIT).violation is None
    whole = getattr(lock.module, lock.name)
    changed = Write(lock.change(whole.statement)) if isinstance(whole, Write) else lock.change(whole)
    monkeypatch.setattr(lock.module, lock.name, changed)
    assert explorer.all(lock.scenario, LIMIT).violation is not None
