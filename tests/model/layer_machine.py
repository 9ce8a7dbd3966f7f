"""Layers, leases, names and garbage, of a store and of its model."""

from __future__ import annotations

import io
from collections import Counter
from contextlib import nullcontext
from itertools import count
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from sqlalchemy import select, update

from imagestore.digest import Digest
from imagestore.errors import UnusableBindError
from imagestore.image import Image
from imagestore.layer import StoredLayer
from imagestore.sql import schema
from tests.model.machine import Machine, digests, outcome
from tests.model.universe import CHAINS, CONFIGS, DIFF_IDS, NAMES, SIZES, TARS, stack_of

names = st.sampled_from(sorted(NAMES))
chains = st.sampled_from(CHAINS)
LAYER_NAMES = {diff_id: name for name, diff_id in DIFF_IDS.items()}
STACKS = [[LAYER_NAMES[link.diff_id] for link in image.stack] for image in map(Image.from_json, CONFIGS)]
PAST = "2000-01-01T00:00:00.000000000Z"


class LayerMachine(Machine):
    """Leases are taken by the outer store, and used by that or by one that has joined a transaction.

    Attributes:
        files: the folder with the contents, None for a store without.
        leases: all that were ever taken.
        registered: layers that have leases of their own, or had.
    """

    files: Path | None = None

    def __init__(self):
        super().__init__()
        for path in self.files.iterdir() if self.files else ():
            path.unlink()
        self.leases = []
        self.numbers = count()
        self.registered = []
        self.take_lease()

    # Names

    @rule(name=names, image_id=digests, force=st.booleans())
    def add_reference(self, name, image_id, force):
        add = self.store.references.add_digest if "@" in name else self.store.references.add_tag
        self.agree(
            lambda: add(name, image_id, force), lambda: self.model.add_reference(NAMES[name], image_id, force=force)
        )

    @rule(name=names)
    def delete_reference(self, name):
        self.agree(lambda: self.store.references.delete(name), lambda: self.model.delete_reference(NAMES[name]))

    @rule(name=names, image_id=digests)
    def ask_for_names(self, name, image_id):
        found = self.store.references
        self.agree(lambda: found.get(name), lambda: self.model.get_reference(NAMES[name]))
        assert list(map(str, found.references(image_id))) == self.model.names(image_id)
        found_by_name = {str(each.reference): each.image_id for each in found.references_by_name(name)}
        assert found_by_name == self.model.of_repository(NAMES[name])

    # Layers

    @rule(name=st.sampled_from(sorted(TARS)), parent=st.none() | chains, data=st.data())
    def register(self, name, parent, data):
        self.register_one(name, parent, self.draw_lease(data))

    @rule(
        stack=st.sampled_from([stack for stack in STACKS if stack]),
        data=st.data(),
        create=st.booleans(),
        releases=st.booleans(),
    )
    def load(self, stack, data, create, releases):
        lease = self.draw_lease(data)
        before = len(self.registered)
        for depth, name in enumerate(stack):
            below = stack_of(stack[:depth])
            self.register_one(name, below[-1].chain_id if below else None, lease)
        if create:
            self.create(CONFIGS[STACKS.index(stack)])
        if releases:
            for layer in data.draw(st.permutations(self.registered[before:])):
                self.release_one(layer)

    def draw_lease(self, data):
        """One of those that were taken, most often one that is alive; or None, for one of the layer's own."""
        alive = [lease for lease in self.leases if lease.id in self.model.holdings.alive()]
        return data.draw(st.sampled_from([*alive, *alive, None, *self.leases[-5:]]))

    def register_one(self, name, parent, lease):
        if name not in TARS:
            return
        found = outcome(lambda: self.store.layers.register(io.BytesIO(TARS[name]), parent, lease=lease))
        is_own = lease is None
        of = (found.lease if isinstance(found, StoredLayer) else None) if is_own else lease.id
        tar = (DIFF_IDS[name], SIZES[name], len(TARS[name]))
        assert found == outcome(lambda: self.model.holdings.register(tar, parent, of, is_own=is_own))
        if isinstance(found, StoredLayer) and is_own:
            self.registered.append(found)

    @precondition(lambda self: self.registered)
    @rule(data=st.data())
    def release(self, data):
        self.release_one(data.draw(st.sampled_from(self.registered)))

    def release_one(self, layer):
        self.agree(lambda: self.store.layers.release(layer), lambda: self.model.holdings.release(layer))

    @rule(chain=chains, limit=st.integers(1, 5))
    def ask_for_layers(self, chain, limit):
        self.agree(lambda: self.store.layers.get(chain), lambda: self.model.holdings.get(chain))
        self.agree(lambda: self.open(chain), lambda: self.model.holdings.open(chain))
        expected = [layer for other, layer in self.model.holdings.map().items() if other > chain][:limit]
        assert self.store.layers.page(chain, limit) == expected

    def open(self, chain):
        """The diff ID of what is read."""
        with self.store.layers.open(chain) as stream:
            return str(Digest.from_bytes(stream.read()))

    # Leases

    @precondition(lambda self: not self.joined())
    @rule()
    def take_lease(self):
        lease = self.outer.lease(labels={"number": str(len(self.leases))})
        self.leases.append(lease)
        self.model.holdings.leases[lease.id] = set()

    @precondition(lambda self: self.model.holdings.leases)
    @rule(data=st.data(), expires=st.booleans())
    def a_lease_expires_or_ends(self, data, expires):
        lease = data.draw(st.sampled_from(list(self.model.holdings.leases)))  # as they were taken: IDs are random
        if expires:
            self.expire(lease)
        else:
            self.agree(lambda: self.store.leases.delete(lease), lambda: self.model.holdings.end(lease))

    def expire(self, lease):
        with self.connected() as connection:
            connection.execute(update(schema.leases).where(schema.leases.c.id == lease).values(expires=PAST))
        self.model.holdings.expire(lease)

    @precondition(lambda self: not self.joined())
    @rule(data=st.data(), renews=st.booleans())
    def use_a_lease(self, data, renews):
        lease = data.draw(st.sampled_from(self.leases))
        if renews:
            self.agree(lambda: bool(lease.renew()), lambda: self.model.holdings.renew(lease.id) or True)
        else:
            self.agree(lambda: lease.__exit__(None, None, None), lambda: self.model.holdings.end(lease.id))

    # Garbage

    @rule(data=st.data(), batch=st.integers(1, 4), killed=st.lists(st.sampled_from(sorted(TARS)), max_size=2))
    def collect(self, data, batch, killed):
        if self.joined():
            assert outcome(self.store.collect) == UnusableBindError
            self.commit()
        for name in killed if self.files else ():
            self.leave_behind(name, data.draw(st.sampled_from(["gone", *(lease.id for lease in self.leases)])))
        for lease in data.draw(st.lists(st.sampled_from(list(self.model.holdings.leases) or ["gone"]), max_size=2)):
            self.expire(lease)
        expected = self.model.holdings.collect()
        assert self.store.collect(dry_run=True) == expected
        assert self.store.collect(batch=batch) == expected
        if not self.model.holdings.leases:
            self.take_lease()

    def leave_behind(self, name, lease):
        """What a killed writer leaves: bytes of which no row tells. The lease may be there or not."""
        self.outer.content.write(f"{lease}-{next(self.numbers)}", [TARS[name]])
        self.model.holdings.write(DIFF_IDS[name], len(TARS[name]), lease)

    # Always

    def connected(self):
        """The connection of the transaction that was joined, or one that commits."""
        return nullcontext(self.connection) if self.joined() else self.outer.engine.begin()

    @rule()
    def nothing_is_damaged(self):
        super().nothing_is_damaged()
        with self.connected() as connection:
            rows = {row.diff_id: row for row in connection.execute(select(schema.contents))}
        holdings = self.model.holdings
        assert {diff_id: (row.name.partition("-")[0], row.size) for diff_id, row in rows.items()} == {
            diff_id: (file.lease, file.size) for diff_id, file in holdings.contents.items()
        }
        if self.files:
            found = {path.name: Digest.from_bytes(path.read_bytes()) for path in self.files.iterdir()}
            assert {row.name: diff_id for diff_id, row in rows.items()}.items() <= found.items()
            told = Counter((file.lease, file.diff_id) for file in holdings.files)
            assert Counter((name.partition("-")[0], diff_id) for name, diff_id in found.items()) == told
