"""The rules of lineage by layers, of sizes and of last use, which hold for every store on a database: not for a restored one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from imagestore.digest import ImageID
from imagestore.errors import ImageNotFoundError, InvalidDigestError, InvalidError, InvalidTimeError
from imagestore.gojson import GoTime
from imagestore.sql.sharing import Sizes
from imagestore.sql.trie import Base, Derived
from imagestore.sql.uses import Use
from imagestore.store import Store
from imagestore.testing.makers import make_config, make_diff_id, make_digest
from imagestore.testing.refusal import refusal
from imagestore.testing.subject import StoreSubject


class LineageContract(StoreSubject):
    """What every store on a database tells of layers and of last use."""

    # Bases and what is derived

    def test_an_image_is_built_on_those_whose_layers_it_begins_with(self) -> None:
        store = self.make_store()
        base, middle, top, beside = (_create(store, name, name) for name in ("a", "ab", "abcd", "ac"))
        assert [(each.image_id, each.layers) for each in store.lineage.bases(top)] == [(middle, 2), (base, 1)]
        assert [each.image_id for each in store.lineage.bases(str(beside))] == [base]
        assert store.lineage.bases(base) == []
        assert {each.image_id for each in store.lineage.derived(base)} == {middle, top, beside}
        assert [each.image_id for each in store.lineage.derived(str(middle))] == [top]
        assert store.lineage.derived(top) == []
        assert store.lineage.bases(top)[0].chain_id == store.get(middle).stack[-1].chain_id

    def test_recorded_parents_make_no_difference(self) -> None:
        store = self.make_store()
        base, child, other = (_create(store, name, layers) for name, layers in (("1", "a"), ("2", "ab"), ("3", "x")))
        store.set_parent(other, base)
        assert [each.image_id for each in store.lineage.derived(base)] == [child]
        assert store.lineage.bases(other) == []

    def test_images_of_the_same_layers_are_built_on_each_other(self) -> None:
        store = self.make_store()
        base, *twins = (
            _create(store, name, layers) for name, layers in (("0", "a"), ("1", "ab"), ("2", "ab"), ("3", "ab"))
        )
        for image_id in twins:
            others = sorted(set(twins) - {image_id})
            assert [each.image_id for each in store.lineage.bases(image_id)] == [*others, base]
            assert [each.image_id for each in store.lineage.derived(image_id)] == others

    def test_images_that_are_in_no_trie(self) -> None:
        store = self.make_store()
        _create(store, "with layers", "a")
        other = make_config("not sha256", layers=["sha512:" + "0" * 128])
        for image_id in (_create(store, "1"), _create(store, "2"), store.create(other)):
            assert not store.lineage.bases(image_id)
            assert not store.lineage.derived(image_id)
            assert store.lineage.layers(image_id) == store.lineage.shared_layers(image_id, image_id) == []
            assert store.lineage.sizes(image_id) == Sizes(0, 0, 0, 0)

    def test_what_is_derived_tells_when_it_was_last_used(self) -> None:
        store = self.make_store()
        base, used, unused = (_create(store, name, name) for name in ("a", "ab", "ac"))
        store.touch(used)
        found = {each.image_id: each.last_used for each in store.lineage.derived(base)}
        assert found == {used: store.last_used(used), unused: None}

    def test_pages_go_on_where_their_last_image_was_deleted(self) -> None:
        store = self.make_store()
        base = _create(store, "base", "a")
        names = ["ab", "abc", "abcd", "abce", "abf", "ag", "agh", "ai"]
        left = {_create(store, name, name) for name in names}
        left |= {_create(store, f"{name} again", name) for name in names}
        after = None
        while page := store.lineage.derived(base, after, 3):
            after = page[-1]
            for each in page:
                left.remove(each.image_id)
                store.delete(each.image_id)
        assert left == set()
        assert store.lineage.derived(base) == []

    def test_pages_have_each_image_once_while_others_come_and_go(self) -> None:
        store = self.make_store()
        base = _create(store, "base", "a")
        names = ["ab", "abc", "abcd", "abce", "abf", "ag", "agh", "ai"]
        stay = {_create(store, name, name) for name in names}
        found: list[ImageID] = []
        after, number = None, 0
        coming = {_create(store, f"coming {name}", name) for name in names}
        while page := store.lineage.derived(base, after, 2):
            found += [each.image_id for each in page]
            after, number = page[-1], number + 1
            for image_id in coming & set(found):
                if image_id in store:
                    store.delete(image_id)
            _create(store, f"new {number}", f"ab{number}")
        assert len(found) == len(set(found))
        assert stay < set(found)

    def test_bases_in_pages(self) -> None:
        store = self.make_store()
        of_names = {name: _create(store, name, name.rstrip("'")) for name in ("a", "ab", "ab'", "ab''", "abc")}
        whole = store.lineage.bases(of_names["abc"])
        assert [each.layers for each in whole] == [2, 2, 2, 1]
        for limit in (1, 2, 3, 4, 2**70):
            found: list[Base] = []
            while page := store.lineage.bases(of_names["abc"], found[-1] if found else None, limit):
                found += page
            assert found == whole
        store.delete(whole[1].image_id)
        assert store.lineage.bases(of_names["abc"], whole[1]) == whole[2:]

    def test_a_page_follows_one_of_the_same_kind(self) -> None:
        store = self.make_store()
        base, top, other, above = (_create(store, name, name) for name in ("a", "ab", "x", "xy"))
        (of_top,), (of_above,) = store.lineage.bases(top), store.lineage.bases(above)
        error = refusal(InvalidError, store.lineage.bases, above, of_top)
        assert base in str(error)
        assert of_above.image_id == other
        (of_other,) = store.lineage.derived(other)
        for after in (of_other, Derived(top, None), Derived(top, None, b"x" * 31)):
            error = refusal(InvalidError, store.lineage.derived, base, after)
            assert after.image_id in str(error)

    # Layers that are shared, and sizes

    def test_shared_layers_are_those_that_both_begin_with(self) -> None:
        store = self.make_store()
        one, other, apart = (_create(store, name, name) for name in ("abc", "abdc", "xbc"))
        shared = store.lineage.shared_layers(one, str(other))
        assert [layer.diff_id for layer in shared] == [make_diff_id("a"), make_diff_id("b")]
        assert shared == store.lineage.shared_layers(other, one)
        assert [layer.parent for layer in shared] == [None, shared[0].chain_id]
        assert store.lineage.shared_layers(one, apart) == []
        assert [layer.diff_id for layer in store.lineage.layers(one)] == [make_diff_id(name) for name in "abc"]
        assert store.lineage.layers(one) == store.lineage.shared_layers(one, one)

    def test_sizes_of_layers_that_nobody_has_told(self) -> None:
        store = self.make_store()
        image_id = _create(store, "image", "ab")
        assert store.lineage.sizes(image_id) == Sizes(0, 0, 0, 0)
        assert store.lineage.sizes_of([image_id, make_digest()]) == {image_id: Sizes(0, 0, 0, 0)}
        assert store.lineage.sizes_of([]) == {}

    def test_pages_of_sizes_follow_the_ids(self) -> None:
        store = self.make_store()
        expected = {
            image_id: Sizes(0, 0, 0, 0) for image_id in sorted(_create(store, name, name) for name in ("ab", "ac", ""))
        }
        first = store.lineage.sizes_page(limit=2)
        assert first == dict([*expected.items()][:2])
        assert list(first) == sorted(first)
        assert list(store.lineage.sizes_page([*first][-1])) == [*expected][2:]
        assert store.lineage.sizes_page([*expected][-1]) == {}
        refusal(InvalidError, store.lineage.sizes_page, None, 0)

    # Last use

    def test_what_was_not_used_since_a_time(self) -> None:
        store = self.make_store()
        never = sorted(_create(store, f"never {number}") for number in range(3))
        used = [_create(store, f"used {number}") for number in range(3)]
        backend, times = (
            self.backend(store),
            ["2024-03-01T10:00:00+02:00", "2024-03-01T09:00:00Z", "2024-03-01T09:00:01Z"],
        )
        for image_id, time in zip(used, times, strict=True):
            backend.set_metadata(image_id, "lastUsed", time.encode())
        since = GoTime.parse("2024-03-01T09:00:01Z")
        whole = [Use(image_id, None) for image_id in never]
        whole += [
            Use(used[0], GoTime.parse("2024-03-01T08:00:00Z")),
            Use(used[1], GoTime.parse("2024-03-01T09:00:00Z")),
        ]
        assert store.unused_since(since) == whole
        assert store.unused_since(datetime(2024, 3, 1, 11, 0, 1, 1, UTC)) == [*whole, Use(used[2], since)]
        for limit in (1, 2, 3, 4, 2**70):
            found: list[Use] = []
            while page := store.unused_since(since, found[-1] if found else None, limit):
                found += page
            assert found == whole
        store.delete(never[1])
        store.touch(never[2])
        assert store.unused_since(since, found[1]) == whole[3:]
        later = datetime.now(UTC) + timedelta(days=1)
        assert [each.image_id for each in store.unused_since(later)] == [never[0], *used, never[2]]

    # Refusals

    def test_images_that_are_not_there(self) -> None:
        store = self.make_store()
        there = _create(store, "there", "a")
        lineage, missing = store.lineage, make_digest()
        calls: list[Callable[[str], object]] = [lineage.bases, lineage.derived, lineage.layers, lineage.sizes]
        calls += [lambda each: lineage.shared_layers(each, there), lambda each: lineage.shared_layers(there, each)]
        for call in calls:
            assert missing in str(refusal(ImageNotFoundError, call, missing))
            refusal(InvalidDigestError, call, "no digest")
        place = Derived(there, None, store.get(there).stack[-1].chain_id.raw)
        refusal(ImageNotFoundError, lineage.derived, missing, place)

    def test_pages_of_nothing(self) -> None:
        store = self.make_store()
        image_id = _create(store, "image", "a")
        for limit in (0, -1):
            for call in (store.lineage.bases, store.lineage.derived):
                refusal(InvalidError, call, image_id, None, limit)
            refusal(InvalidError, store.unused_since, GoTime.ZERO, None, limit)

    def test_a_time_without_a_zone(self) -> None:
        refusal(InvalidTimeError, self.make_store().unused_since, datetime(2024, 3, 1))  # noqa: DTZ001  that is the point


def _create(store: Store, name: str, layers: Sequence[str] = ()) -> ImageID:
    """An image with a layer for each letter."""
    return store.create(make_config(name, layers=[make_diff_id(each) for each in layers]))
