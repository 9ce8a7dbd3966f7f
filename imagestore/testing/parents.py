"""The rules of parents, lineage and an image's times. A part of `imagestore.testing.store.StoreContract`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from imagestore.digest import Digest, ImageID
from imagestore.errors import (
    ImageNotFoundError,
    InvalidTimeError,
    MetadataNotFoundError,
    ParentCycleError,
    ParentNotFoundError,
)
from imagestore.gojson import GoTime
from imagestore.store import Store
from imagestore.testing.makers import make_config, make_digest
from imagestore.testing.refusal import refusal
from imagestore.testing.subject import StoreSubject

NO_PARENTS: Final = (b"not-a-digest", b"sha256:abc", b"\xff\xfe", b"\0", b"p" * 71, b"p" * 10_000)
"""What a metadata row "parent" may hold without naming an image."""


class ParentsContract(StoreSubject):
    """What every store does with parents, lineage, times and the note "built locally"."""

    # Links

    def test_a_parent_and_its_children(self) -> None:
        store = self.make_store()
        parent, child, other = _create(store, 3)
        assert store.get_parent(child) is None
        assert store.children(parent) == []
        store.set_parent(child, parent)
        store.set_parent(str(other), str(parent))
        assert store.get_parent(child) == store.get(child).parent == parent
        assert isinstance(store.get_parent(child), ImageID)
        assert sorted(store.children(parent)) == sorted([child, other])
        assert store.children(child) == []
        assert self.backend(store).get_metadata(child, "parent") == parent.encode()

    def test_a_second_parent_takes_the_place_of_the_first(self) -> None:
        store = self.make_store()
        first, second, child = _create(store, 3)
        for parent in (first, first, second, second):
            store.set_parent(child, parent)
            assert store.get_parent(child) == parent
            assert store.children(parent) == [child]
            assert sorted(store.heads()) == sorted({first, second, child} - {parent})
        assert store.children(first) == []

    def test_an_unknown_parent_is_refused(self) -> None:
        store = self.make_store()
        parent, child = _create(store, 2)
        store.set_parent(child, parent)
        error = refusal(ParentNotFoundError, store.set_parent, child, make_digest())
        assert error.parent == make_digest()
        assert f"unknown parent image ID {make_digest()}" in str(error)
        refusal(ParentNotFoundError, store.set_parent, parent, make_digest())
        assert store.get_parent(child) == parent
        assert store.get_parent(parent) is None
        assert store.children(make_digest()) == []

    def test_an_unknown_child_is_refused(self) -> None:
        store = self.make_store()
        (parent,) = _create(store, 1)
        assert refusal(ImageNotFoundError, store.set_parent, make_digest(), parent).image_id == make_digest()
        assert store.children(parent) == []
        assert list(store.heads()) == [parent]
        refusal(LookupError, store.set_parent, make_digest("child"), make_digest("parent"))

    def test_no_image_becomes_its_own_ancestor(self) -> None:
        store = self.make_store()
        chain = _chain(store, 4)
        refused = [(one, other) for index, one in enumerate(chain) for other in chain[index:]]
        for one, other in refused:
            error = refusal(ParentCycleError, store.set_parent, one, other)
            assert (error.image_id, error.parent) == (one, other)
            assert one in str(error)
        assert [store.get_parent(image_id) for image_id in chain] == [None, *chain[:-1]]
        assert list(store.heads()) == [chain[-1]]
        store.set_parent(chain[3], chain[0])
        store.set_parent(chain[1], chain[3])
        assert store.lineage.ancestors(chain[2]) == [chain[1], chain[3], chain[0]]

    def test_delete_leaves_children_without_a_parent(self) -> None:
        store = self.make_store()
        grandparent, parent, child, other = _create(store, 4)
        store.set_parent(parent, grandparent)
        store.set_parent(child, parent)
        store.set_parent(other, parent)
        store.delete(parent)
        for image_id in (child, other):
            assert store.get_parent(image_id) is None
            assert store.get(image_id).parent is None
            refusal(MetadataNotFoundError, self.backend(store).get_metadata, image_id, "parent")
        assert store.children(parent) == store.children(grandparent) == []
        assert sorted(store.heads()) == sorted([grandparent, child, other])
        store.create(make_config(1))
        assert store.children(parent) == []

    # Parents that come through the port

    def test_the_parent_is_what_the_metadata_says(self) -> None:
        store = self.make_store()
        parent, child = _create(store, 2)
        for value in (*NO_PARENTS, make_digest().encode(), f"{parent}\n".encode(), parent.upper().encode()):
            self.backend(store).set_metadata(child, "parent", value)
            opened = self.reopen(store)
            text = value.decode("utf-8", "surrogateescape")
            assert opened.get_parent(child) == opened.get(child).parent == text
            assert opened.map()[child].parent == text
            assert opened.children(parent) == opened.lineage.ancestors(child) == []
            assert sorted(opened.heads()) == sorted([parent, child])

    def test_an_empty_parent_is_an_empty_text(self) -> None:
        store = self.make_store()
        (image_id,) = _create(store, 1)
        self.backend(store).set_metadata(image_id, "parent", b"")
        opened = self.reopen(store)
        assert opened.get_parent(image_id) == ""
        assert not opened.get(image_id).parent
        assert opened.lineage.ancestors(image_id) == []

    def test_a_parent_from_the_port_is_a_parent(self) -> None:
        store = self.make_store()
        parent, other, child = _create(store, 3)
        for value in (parent, other):
            self.backend(store).set_metadata(child, "parent", value.encode())
            opened = self.reopen(store)
            assert opened.get_parent(child) == value
            assert opened.children(value) == [child]
            assert sorted(opened.heads()) == sorted({parent, other, child} - {value})
        self.backend(store).delete_metadata(child, "parent")
        opened = self.reopen(store)
        assert opened.get_parent(child) is None
        assert opened.children(other) == []

    def test_set_parent_replaces_what_was_no_parent(self) -> None:
        store = self.make_store()
        parent, child = _create(store, 2)
        for value in NO_PARENTS:
            self.backend(store).set_metadata(child, "parent", value)
            opened = self.reopen(store)
            opened.set_parent(child, parent)
            assert opened.get_parent(child) == parent
            assert opened.children(parent) == [child]

    def test_create_links_the_children_that_waited(self) -> None:
        self._check_waiting_children(lambda store, awaited: store.create(awaited))

    def test_create_many_links_the_children_that_waited(self) -> None:
        self._check_waiting_children(lambda store, awaited: store.create_many([make_config("other"), awaited])[1])

    def test_set_links_the_children_that_waited(self) -> None:
        self._check_waiting_children(lambda store, awaited: self.backend(store).set(awaited))

    def _check_waiting_children(self, create: Callable[[Store, bytes], Digest]) -> None:
        store = self.make_store()
        waiting = _create(store, 3)
        awaited = make_config("awaited")
        for child in waiting[:2]:
            self.backend(store).set_metadata(child, "parent", ImageID.from_bytes(awaited).encode())
        store = self.reopen(store)
        assert sorted(store.heads()) == sorted(waiting)
        parent = ImageID.from_digest(create(store, awaited))
        store = self.reopen(store)
        assert sorted(store.children(parent)) == sorted(waiting[:2])
        assert store.lineage.ancestors(waiting[0]) == [parent]
        assert parent not in store.heads()
        assert waiting[2] in store.heads()

    def test_a_cycle_from_the_port_makes_no_edge(self) -> None:
        store = self.make_store()
        chain = _chain(store, 3)
        self.backend(store).set_metadata(chain[0], "parent", chain[2].encode())
        store = self.reopen(store)
        assert store.get_parent(chain[0]) == chain[2]
        edges = {child: parent for parent in chain for child in store.children(parent)}
        assert len(edges) == 2
        assert len(store.heads()) == 1
        for image_id in chain:
            assert image_id not in store.lineage.ancestors(image_id)
            assert image_id not in store.lineage.descendants(image_id)
        assert sorted(len(store.lineage.ancestors(image_id)) for image_id in chain) == [0, 1, 2]

    def test_its_own_parent_from_the_port_makes_no_edge(self) -> None:
        store = self.make_store()
        (image_id,) = _create(store, 1)
        self.backend(store).set_metadata(image_id, "parent", image_id.encode())
        store = self.reopen(store)
        assert store.get_parent(image_id) == image_id
        assert store.children(image_id) == store.lineage.ancestors(image_id) == []
        assert list(store.heads()) == [image_id]
        assert store.delete(image_id) == []
        assert len(store) == 0

    def test_a_cycle_that_is_broken_leaves_an_edge(self) -> None:
        store = self.make_store()
        one, other = _create(store, 2)
        store.set_parent(one, other)
        self.backend(store).set_metadata(other, "parent", one.encode())
        self.backend(store).delete_metadata(one, "parent")
        store = self.reopen(store)
        assert store.children(one) == [other]
        assert store.children(other) == []
        assert store.lineage.ancestors(other) == [one]

    # Lineage

    def test_ancestors_come_nearest_first(self) -> None:
        store = self.make_store()
        chain = _chain(store, 60)
        for index in (0, 1, 30, 59):
            assert store.lineage.ancestors(chain[index]) == chain[:index][::-1]

    def test_descendants_come_by_generation(self) -> None:
        store = self.make_store()
        root, *first = _create(store, 4)
        grandchildren = store.create_many(make_config(f"grandchild {number}") for number in range(6))
        for child in first:
            store.set_parent(child, root)
        for number, grandchild in enumerate(grandchildren):
            store.set_parent(grandchild, first[number % 3])
        found = store.lineage.descendants(root)
        assert sorted(found[:3]) == sorted(first)
        assert sorted(found[3:]) == sorted(grandchildren)
        assert sorted(store.lineage.descendants(first[0])) == sorted(grandchildren[::3])
        assert store.lineage.descendants(grandchildren[0]) == []
        assert store.lineage.ancestors(grandchildren[1]) == [first[1], root]
        assert all(isinstance(image_id, ImageID) for image_id in found)

    # Times

    def test_times_are_noted(self) -> None:
        store = self.make_store()
        image_id, other = _create(store, 2)
        for note, told, key in (
            (store.set_last_updated, store.get_last_updated, "lastUpdated"),
            (store.touch, store.last_used, "lastUsed"),
        ):
            assert told(image_id) is None
            before = GoTime.now()
            note(image_id)
            first = told(image_id)
            assert first is not None
            assert before <= first <= GoTime.now()
            assert self.backend(store).get_metadata(image_id, key) == str(first).encode()
            note(image_id)
            second = told(image_id)
            assert second is not None
            assert first <= second
            assert told(other) is None
        assert store.get_last_updated(image_id) != store.last_used(image_id)

    def test_times_from_the_port_keep_offset_and_nanoseconds(self) -> None:
        store = self.make_store()
        (image_id,) = _create(store, 1)
        for text in (
            "2020-01-02T03:04:05.000000006+02:00",
            "2020-01-02T03:04:05Z",
            "0001-01-01T00:00:00.5Z",
            "9999-12-31T23:59:59-12:00",
        ):
            self.backend(store).set_metadata(image_id, "lastUpdated", text.encode())
            self.backend(store).set_metadata(image_id, "lastUsed", text.encode())
            assert str(store.get_last_updated(image_id)) == str(store.last_used(image_id)) == text
        self.backend(store).set_metadata(image_id, "lastUpdated", b"")
        assert store.get_last_updated(image_id) is None
        for value in (b"garbage", b"2020-01-02", b"2020-01-02T24:00:00Z", b"\xff", b"\0", b"9" * 10_000):
            self.backend(store).set_metadata(image_id, "lastUpdated", value)
            refusal(InvalidTimeError, store.get_last_updated, image_id)
        store.set_last_updated(image_id)
        assert store.get_last_updated(image_id) is not None
        self.backend(store).delete_metadata(image_id, "lastUpdated")
        assert store.get_last_updated(image_id) is None

    def test_built_locally_is_noted(self) -> None:
        store = self.make_store()
        image_id, other = _create(store, 2)
        assert store.is_built_locally(image_id) is False
        store.set_built_locally(image_id)
        assert store.is_built_locally(image_id) is True
        assert store.is_built_locally(other) is False
        assert self.backend(store).get_metadata(image_id, "builtLocally") == b"\1"
        for value in (b"", b"\0", b"0", b"true"):
            self.backend(store).set_metadata(image_id, "builtLocally", value)
            assert store.is_built_locally(image_id) is False

    def test_what_was_noted_is_there_after_opening_again(self) -> None:
        store = self.make_store()
        chain = _chain(store, 3)
        store.set_last_updated(chain[1])
        store.touch(chain[1])
        store.set_built_locally(chain[1])
        opened = self.reopen(store)
        assert list(opened.map()) == sorted(chain)
        assert opened.lineage.ancestors(chain[2]) == [chain[1], chain[0]]
        assert opened.get_last_updated(chain[1]) == store.get_last_updated(chain[1]) is not None
        assert opened.last_used(chain[1]) == store.last_used(chain[1]) is not None
        assert opened.is_built_locally(chain[1]) is True


def _create(store: Store, count: int) -> list[ImageID]:
    return store.create_many(make_config(number) for number in range(count))


def _chain(store: Store, length: int) -> list[ImageID]:
    """Images of which each is the parent of the next."""
    chain = _create(store, length)
    _link(store, chain)
    return chain


def _link(store: Store, chain: Sequence[ImageID]) -> None:
    for parent, child in pairwise(chain):
        store.set_parent(child, parent)
