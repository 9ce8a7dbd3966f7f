"""What is run beside each other: operations on a few images, in units that commit or roll back as one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy.exc import OperationalError

from imagestore.digest import ImageID
from imagestore.errors import ImageStoreError
from imagestore.sql.driver_errors import is_transient
from imagestore.store import Store
from imagestore.testing.makers import make_config

CONFIGS: Final = {name: make_config(name) for name in "abcdexyz"}
IDS: Final = {name: ImageID.from_bytes(config) for name, config in CONFIGS.items()}
NAMES: Final = {image_id.raw: name for name, image_id in IDS.items()}

READ_COMMITTED: Final = "READ COMMITTED"
REPEATABLE_READ: Final = "REPEATABLE READ"
SERIALIZABLE: Final = "SERIALIZABLE"

_ATTEMPTS: Final = 10


@dataclass(frozen=True)
class Operation:
    """One call, and how it is written in a message."""

    text: str
    call: Callable[[Store], object] = field(compare=False, repr=False)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Unit:
    """Calls that belong together.

    Without ``level`` it is one call of a store on an engine, which commits and retries itself. With it, the calls are made through a
    store that has joined a host's transaction of that level; the host has read something before, and runs all of it again where
    PostgreSQL asks for that.
    """

    operations: tuple[Operation, ...]
    level: str | None = None

    def __str__(self) -> str:
        calls = ", ".join(map(str, self.operations))
        return calls if self.level is None else f"[{self.level}: {calls}]"

    def run(self, store: Store) -> object:
        if self.level is None:
            (operation,) = self.operations
            return operation.call(store)
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._join(store)
            except OperationalError as error:
                if not is_transient(error):
                    raise
        return self._join(store)

    def told(self, result: object) -> str:
        """A result or an error as it can be compared."""
        if isinstance(result, ImageStoreError):
            return type(result).__name__
        if isinstance(result, BaseException):
            return f"{type(result).__name__}: {result}"
        return _named(result)

    def _join(self, store: Store) -> object:
        options = {"isolation_level": self.level}
        with store.engine.connect().execution_options(**options) as connection, connection.begin():
            if self.level != READ_COMMITTED:
                connection.exec_driver_sql("SELECT 1")  # its snapshot is older than our first lock
            joined = store.joined(connection)
            return [_outcome(operation, joined) for operation in self.operations]


@dataclass(frozen=True)
class Scenario:
    """Units that run at once, on what ``before`` has made of an empty store."""

    before: tuple[Operation, ...]
    units: tuple[Unit, ...]

    def __str__(self) -> str:
        return f"{self.short()}, after {', '.join(map(str, self.before))}"

    def short(self) -> str:
        return " | ".join(map(str, self.units))


def create(name: str) -> Operation:
    return Operation(f"create({name})", lambda store: store.create(CONFIGS[name]))


def create_many(names: str) -> Operation:
    return Operation(f"create_many({names})", lambda store: store.create_many(CONFIGS[name] for name in names))


def delete(name: str) -> Operation:
    return Operation(f"delete({name})", lambda store: store.delete(IDS[name]))


def set_parent(name: str, parent: str) -> Operation:
    return Operation(f"set_parent({name}, {parent})", lambda store: store.set_parent(IDS[name], IDS[parent]))


def set_last_updated(name: str) -> Operation:
    return Operation(f"set_last_updated({name})", lambda store: store.set_last_updated(IDS[name]))


def set_built_locally(name: str) -> Operation:
    return Operation(f"set_built_locally({name})", lambda store: store.set_built_locally(IDS[name]))


def backend_set(name: str) -> Operation:
    return Operation(f"backend.set({name})", lambda store: store.backend.set(CONFIGS[name]))


def backend_delete(name: str) -> Operation:
    return Operation(f"backend.delete({name})", lambda store: store.backend.delete(IDS[name]))


def name_parent(name: str, parent: str) -> Operation:
    return Operation(
        f"backend.set_metadata({name}, parent, {parent})",
        lambda store: store.backend.set_metadata(IDS[name], "parent", IDS[parent].encode()),
    )


def unname_parent(name: str) -> Operation:
    return Operation(
        f"backend.delete_metadata({name}, parent)", lambda store: store.backend.delete_metadata(IDS[name], "parent")
    )


def name_time(name: str) -> Operation:
    return Operation(
        f"backend.set_metadata({name}, lastUpdated)",
        lambda store: store.backend.set_metadata(IDS[name], "lastUpdated", b"2020-10-01T12:00:00Z"),
    )


def unname_time(name: str) -> Operation:
    return Operation(
        f"backend.delete_metadata({name}, lastUpdated)",
        lambda store: store.backend.delete_metadata(IDS[name], "lastUpdated"),
    )


def _outcome(operation: Operation, joined: Store) -> str:
    try:
        return _named(operation.call(joined))
    except ImageStoreError as error:
        return type(error).__name__


def _named(result: object) -> str:
    if isinstance(result, list):
        return f"[{', '.join(map(_named, result))}]"
    return NAMES.get(result.raw, str(result)) if isinstance(result, ImageID) else str(result)
