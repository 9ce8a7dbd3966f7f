"""Operations on layers, leases, names and garbage, as `tests.concurrency.work` has those on images.

A stack is written by the names of its layers from the lowest on: "pq" is the layer q on top of p, and "PQ" the image that has both.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Final

from imagestore import collect as collection
from imagestore.archive import selection
from imagestore.digest import DiffID, Digest, ImageID
from imagestore.gojson import GoTime
from imagestore.layer import LayerMetadata, StoredLayer, links
from imagestore.lease import Lease
from imagestore.reference import Reference
from imagestore.sql import leases, references
from imagestore.sql.references import Association
from imagestore.store import Store
from imagestore.testing.makers import make_config, make_layer
from tests.concurrency.work import NAMES, Operation

_TTL: Final = 1_000_000.0
_BATCH: Final = 10
_TARS: Final = {name: make_layer(name) for name in "pqr"}
_DIFF_IDS: Final = {name: DiffID(ImageID.from_bytes(tar)) for name, tar in _TARS.items()}
_LINKS: Final = {
    stack: links([_DIFF_IDS[name] for name in stack]) for stack in ("p", "q", "r", "pq", "pr", "qp", "rq", "pqr")
}
_CONFIGS: Final = {
    stack.upper(): make_config(stack, layers=[_DIFF_IDS[name] for name in stack])
    for stack in ("p", "q", "pq", "pr", "qp", "pqr")
}
_IDS: Final = {name: ImageID.from_bytes(config) for name, config in _CONFIGS.items()}
_LEASES: Final = {name: Lease(name * 32, GoTime.now(), {}) for name in "abc"}
_FOREIGN: Final = "f" * 32  # of no lease: a process has been killed

ALL_NAMES: Final = {
    **NAMES,
    **{Digest(diff_id).raw: name for name, diff_id in _DIFF_IDS.items()},
    **{Digest(stack[-1].chain_id).raw: name for name, stack in _LINKS.items()},
    **{image_id.raw: name for name, image_id in _IDS.items()},
}


def stack_below(chain: str) -> set[str]:
    """The chains, in hexadecimal digits, of a stack; the argument is that of its topmost layer."""
    return {link.chain_id[7:] for stack in _LINKS.values() if stack[-1].chain_id[7:] == chain for link in stack}


def lease_name(lease: str) -> str:
    """How a lease is written: its letter, or "own" where `register` has taken it."""
    return lease[0] if len(set(lease)) == 1 else "own"


def load(name: str) -> Operation:
    """Create an image in a store that keeps contents: its layers must be there."""
    return Operation(f"load({name})", lambda store: store.create(_CONFIGS[name]))


def load_many(*names: str) -> Operation:
    return Operation(
        f"load_many({', '.join(names)})", lambda store: store.create_many(_CONFIGS[name] for name in names)
    )


def know(name: str) -> Operation:
    """Create an image in a store whose layers are facts: they become known."""
    return Operation(f"know({name})", lambda store: Store(store._bind).create(_CONFIGS[name]))


def know_many(*names: str) -> Operation:
    return Operation(
        f"know_many({', '.join(names)})",
        lambda store: Store(store._bind).create_many(_CONFIGS[name] for name in names),
    )


def remove(name: str) -> Operation:
    return Operation(f"remove({name})", lambda store: _shown(store.delete(_IDS[name])))


def backend_remove(name: str) -> Operation:
    return Operation(f"backend.delete({name})", lambda store: store.backend.delete(_IDS[name]))


def register(stack: str, lease: str | None = None) -> Operation:
    """Register the topmost layer of a stack, under one of the leases or under one of its own."""
    parent = _LINKS[stack][-1].parent

    def call(store: Store) -> str:
        held = None if lease is None else _LEASES[lease]
        layer = store.layers.register(io.BytesIO(_TARS[stack[-1]]), parent, lease=held)
        return ALL_NAMES[Digest(layer.chain_id).raw]

    return Operation(f"register({stack}, {lease or 'own'})", call)


def hold(stack: str, lease: str) -> Operation:
    """What a save does, so that it can read the layers of an image."""

    def call(store: Store) -> str:
        held = store._bind.write(selection._hold, [_LINKS[stack][-1].chain_id], _LEASES[lease].id)
        return ", ".join(ALL_NAMES[Digest(chain).raw] for chain in held)

    return Operation(f"hold({stack}, {lease})", call)


def release(stack: str, lease: str) -> Operation:
    """Release the layer that was registered under a lease, as if that were its own."""
    chain_id, diff_id, parent = _LINKS[stack][-1]
    layer = StoredLayer(chain_id, diff_id, parent, lease=_LEASES[lease].id)
    return Operation(f"release({stack}, {lease})", lambda store: _shown(store.layers.release(layer)))


def take(lease: str) -> Operation:
    """What `Store.lease` does, with an ID that can be told."""
    return _told(f"take({lease})", lambda store: store._bind.write(leases.create, _LEASES[lease].id, _TTL, {}))


def renew(lease: str) -> Operation:
    """What `HeldLease.renew` does."""
    return _told(f"renew({lease})", lambda store: store._bind.write(leases.renew, _LEASES[lease].id, _TTL))


def end(lease: str) -> Operation:
    return _told(f"end({lease})", lambda store: store.leases.delete(_LEASES[lease].id))


def expire(lease: str) -> Operation:
    """What time does, in a transaction of its own."""
    return _told(f"expire({lease})", lambda store: store._bind.write(_expire, _LEASES[lease].id))


def tag(name: str, image: str, *, force: bool = False) -> Operation:
    """Let a name stand for an image."""
    text = f"tag({name}, {image}{', force' if force else ''})"
    return Operation(text, lambda store: store.references.add_tag(name, _IDS[image], force=force))


def tag_many(*names: str, image: str) -> Operation:
    """What an import does."""
    associations = [Association(Reference.parse(name), _IDS[image]) for name in names]
    return Operation(
        f"tag_many({', '.join(names)}, {image})",
        lambda store: len(store._bind.write(references.set_many, associations)[1]),
    )


def untag(name: str) -> Operation:
    return Operation(f"untag({name})", lambda store: store.references.delete(name))


def collect() -> Operation:
    return _told("collect", lambda store: store.collect(batch=_BATCH))


def collect_leases() -> Operation:
    return _told("collect leases", lambda store: store._bind.write(leases.remove_expired, _BATCH))


def collect_layers() -> Operation:
    return _told("collect layers", lambda store: list(collection._free_layers(store._bind, _BATCH)))


def collect_contents() -> Operation:
    return _told("collect contents", lambda store: list(collection._free_contents(store._bind, _BATCH)))


def sweep() -> Operation:
    """Remove the files that neither a lease nor a row names."""

    def call(store: Store) -> None:
        content = store.content
        assert content is not None
        for name in collection._unnamed(store._bind, content):
            content.delete(name)

    return _told("collect files", call)


def leave_file() -> Operation:
    """What a process leaves that is killed while it registers."""
    return _told("leave a file", lambda store: store.content.write(f"{_FOREIGN}-1", []))


def together(*operations: Operation) -> Operation:
    """One call after the other, each by itself."""
    return Operation(" then ".join(map(str, operations)), lambda store: [each.call(store) for each in operations])


def _told(text: str, call: Callable[[Store], object]) -> Operation:
    """An operation whose answer differs from run to run."""

    def silent(store: Store) -> None:
        call(store)

    return Operation(text, silent)


def _expire(connection, lease: str) -> None:
    connection.exec_driver_sql(
        "UPDATE imagestore_leases SET expires = '2020-01-01T00:00:00.000000000Z' WHERE id = %(lease)s", {"lease": lease}
    )


def _shown(freed: list[LayerMetadata]) -> str:
    return "freed " + ", ".join(ALL_NAMES[Digest(layer.chain_id).raw] for layer in freed)
