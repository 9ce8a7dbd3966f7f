"""The rules of a store's images: create, get, delete, search, list. A part of `imagestore.testing.store.StoreContract`."""

from __future__ import annotations

from typing import Final

from imagestore.digest import ImageID
from imagestore.errors import (
    AmbiguousIDError,
    BlobNotFoundError,
    CorruptBlobError,
    ImageNotFoundError,
    InvalidDigestError,
    InvalidError,
    InvalidImageError,
)
from imagestore.image import Image
from imagestore.store import Store
from imagestore.testing.backend import MALFORMED_DIGESTS
from imagestore.testing.makers import make_config, make_digest, make_random_config
from imagestore.testing.refusal import refusal
from imagestore.testing.subject import StoreSubject

NO_IMAGES: Final = (
    b"",
    b"\0",
    b"null",
    b"[]",
    b'"rootfs"',
    b"junk",
    b"{}",
    b'{"comment":"no rootfs"}',
    b'{"rootfs":null}',
    b'{"rootfs":{"type":5}}',
    b'{"rootfs":{"diff_ids":"x"}}',
    b'{"rootfs":{},"comment":"raw \0 byte"}',
    b'{"rootfs":{},"created":"yesterday"}',
    b'{"rootfs":{}} trailing',
    b'{"rootfs":{}',
    b"\xef\xbb\xbf" + b'{"rootfs":{}}',
    b'{"rootfs":{},"x":' + b"[" * 10_001 + b"]" * 10_001 + b"}",
    b'{"rootfs":{"type":"layers"},"history":[{}]}',
    b'{"rootfs":{"diff_ids":["a"]},"history":[{},{"empty_layer":true},{"created_by":"y"}]}',
)
"""Bytes that no store takes as an image."""

ODD_IMAGES: Final = (
    b'{"rootfs":{}}',
    b' \t\r\n{ "rootfs" : { } } \n',
    b'{"RootFS":{"Diff_IDs":["not a digest",""]}}',
    b'{"rootfs":{"type":"layers","diff_ids":[]},"history":[{"empty_layer":true}]}',
    b'{"rootfs":{},"comment":"NUL \\u0000, lone surrogate \\ud800"}',
    b'{"rootfs":{"diff_ids":["\\u0000"]},"os":"\\u0000"}',
    b'{"rootfs":{},"comment":"no UTF-8: \xff"}',
    '{"rootfs":{},"comment":"<&> \u2028 åäö 😀"}'.encode(),
    b'{"rootfs":{},"created":"0001-01-01T00:00:00Z","x":' + b"[" * 1000 + b"]" * 1000 + b"}",
    b'{"rootfs":{},"id":"legacy"}',
    b'{"comment":"first","rootfs":{},"comment":"second"}',
)
"""Configurations that are unusual and valid."""


class ImagesContract(StoreSubject):
    """What every store does with images."""

    # Creating and getting

    def test_an_image_is_its_bytes(self) -> None:
        store = self.make_store()
        config = make_config("hello", layers=2, author="Zoë")
        image_id = store.create(config)
        assert image_id == ImageID.from_bytes(config)
        assert isinstance(image_id, ImageID)
        image = store.get(image_id)
        assert image.raw_json == config
        assert image.image_id == image_id
        assert image.parent is None
        assert (image.comment, image.author) == ("hello", "Zoë")
        assert image.rootfs == Image.from_json(config).rootfs
        assert store.get(str(image_id)).raw_json == config

    def test_random_images_come_back_as_they_are_parsed(self) -> None:
        store = self.make_store()
        for seed in range(20):
            config = make_random_config(seed)
            image, parsed = store.get(store.create(config)), Image.from_json(config)
            assert image.raw_json == config
            assert image.to_json() == parsed.to_json()
            assert image.history == parsed.history
            assert image.created == parsed.created

    def test_odd_images_are_kept_byte_for_byte(self) -> None:
        store = self.make_store()
        for config in ODD_IMAGES:
            image_id = store.create(config)
            assert store.get(image_id).raw_json == config
            assert store.get(image_id).to_json() == Image.from_json(config).to_json()
            assert self.backend(store).get(image_id) == config
        assert len(store) == len(ODD_IMAGES)

    def test_a_parent_in_the_bytes_is_no_parent(self) -> None:
        store = self.make_store()
        parent = store.create(make_config("parent"))
        config = make_config("child", parent=parent)
        image_id = store.create(config)
        assert Image.from_json(config).parent == parent
        assert store.get(image_id).parent is None
        assert store.get_parent(image_id) is None
        assert store.children(parent) == []
        assert store.get(image_id).raw_json == config
        assert b'"parent"' not in store.get(image_id).to_json()
        store.set_parent(image_id, parent)
        assert store.get(image_id).to_json() == Image.from_json(config).to_json()

    def test_what_is_no_image_is_refused_and_leaves_nothing(self) -> None:
        store = self.make_store()
        for config in (*NO_IMAGES, bytes(64 << 20)):
            refusal(InvalidImageError, store.create, config)
        assert len(store) == 0
        assert list(self.backend(store).walk()) == []

    def test_docker_words_are_kept(self) -> None:
        store = self.make_store()
        assert str(refusal(InvalidImageError, store.create, b"{}")) == "invalid image JSON, no RootFS key"
        too_many = make_config(layers=1, history=[{}, {}])
        assert "too many non-empty layers in History section" in str(refusal(InvalidImageError, store.create, too_many))
        assert "No such image: nothing" in str(refusal(ImageNotFoundError, store.search, "nothing"))

    def test_created_twice_is_one_image_and_keeps_its_metadata(self) -> None:
        store = self.make_store()
        parent, image_id = store.create(make_config("parent")), store.create(make_config())
        store.set_parent(image_id, parent)
        store.set_last_updated(image_id)
        updated = store.get_last_updated(image_id)
        assert store.create(make_config()) == image_id
        assert len(store) == 2
        assert store.get_parent(image_id) == parent
        assert store.get_last_updated(image_id) == updated

    def test_create_many_is_create_for_each(self) -> None:
        store = self.make_store()
        there = store.create(make_config(0))
        configs = [make_config(number) for number in (3, 1, 0, 2, 3)]
        made = store.create_many(iter(configs))
        assert made == [ImageID.from_bytes(config) for config in configs]
        assert made[2] == there
        assert len(store) == 4
        assert [store.get(image_id).raw_json for image_id in made] == configs
        assert store.create_many([]) == []

    def test_create_many_creates_all_or_none(self) -> None:
        store = self.make_store()
        for bad in (b"{}", b"junk", make_config(history=[{}])):
            refusal(InvalidImageError, store.create_many, [make_config("good"), bad, make_config("good too")])
        assert len(store) == 0
        assert list(self.backend(store).walk()) == []

    def test_an_unknown_image_is_not_found(self) -> None:
        store = self.make_store()
        there, missing = store.create(make_config()), make_digest()
        for call in (
            store.get,
            store.delete,
            store.get_parent,
            store.set_last_updated,
            store.touch,
            store.set_built_locally,
        ):
            error = refusal(ImageNotFoundError, call, missing)
            assert error.image_id == missing
            assert missing in str(error)
        refusal(ImageNotFoundError, store.set_parent, missing, there)
        refusal(ImageNotFoundError, store.lineage.ancestors, missing)
        refusal(ImageNotFoundError, store.lineage.descendants, missing)
        assert missing not in store
        assert store.get_many([missing]) == {}
        assert list(store.map()) == [there]

    def test_what_is_no_image_has_no_children_and_no_times(self) -> None:
        store = self.make_store()
        store.create(make_config())
        for missing in (make_digest(), *MALFORMED_DIGESTS):
            assert store.children(missing) == []
            assert store.get_last_updated(missing) is None
            assert store.last_used(missing) is None
            assert store.is_built_locally(missing) is False

    def test_what_is_no_id_is_refused(self) -> None:
        store = self.make_store()
        there = store.create(make_config())
        for text in MALFORMED_DIGESTS:
            for call in (
                store.get,
                store.delete,
                store.get_parent,
                store.set_last_updated,
                store.touch,
                store.set_built_locally,
                store.lineage.ancestors,
                store.lineage.descendants,
                store.__contains__,
                store.page,
            ):
                assert refusal(InvalidDigestError, call, text).text == text
            refusal(InvalidDigestError, store.get_many, [there, text])
            refusal(InvalidDigestError, store.set_parent, text, there)
            refusal(InvalidDigestError, store.set_parent, there, text)
        assert list(store.map()) == [there]
        assert store.get_parent(there) is None

    def test_get_many_answers_for_those_that_are_there(self) -> None:
        store = self.make_store()
        made = store.create_many(make_config(number) for number in range(5))
        store.set_parent(made[1], made[0])
        found = store.get_many(iter([made[3], make_digest(), made[1], made[3]]))
        assert list(found) == [made[3], made[1]]
        assert found[made[3]].raw_json == make_config(3)
        assert found[made[1]].parent == made[0]
        assert store.get_many([]) == {}

    def test_contains_and_len(self) -> None:
        store = self.make_store()
        assert len(store) == 0
        assert bool(store)
        made = store.create_many(make_config(number) for number in range(3))
        assert all(image_id in store for image_id in made)
        assert str(made[0]) in store
        assert len(store) == 3

    # Deleting

    def test_delete_removes_an_image(self) -> None:
        store = self.make_store()
        image_id, other = store.create(make_config()), store.create(make_config("other"))
        assert store.delete(image_id) == []
        for call in (store.get, store.delete, store.search, store.get_parent):
            refusal(ImageNotFoundError, call, image_id)
        refusal(BlobNotFoundError, self.backend(store).get, image_id)
        assert image_id not in store
        assert list(store.map()) == list(store.heads()) == [other]
        assert list(self.backend(store).walk()) == [other]

    def test_an_image_that_comes_back_has_forgotten_its_metadata(self) -> None:
        store = self.make_store()
        parent, image_id = store.create(make_config("parent")), store.create(make_config())
        store.set_parent(image_id, parent)
        store.set_last_updated(image_id)
        store.touch(image_id)
        store.set_built_locally(image_id)
        self.backend(store).set_metadata(image_id, "extra", b"value")
        store.delete(image_id)
        assert store.create(make_config()) == image_id
        assert store.get_parent(image_id) is None
        assert store.get_last_updated(image_id) is None
        assert store.last_used(image_id) is None
        assert store.is_built_locally(image_id) is False
        refusal(LookupError, self.backend(store).get_metadata, image_id, "extra")
        assert store.children(parent) == []
        assert sorted(store.heads()) == sorted([parent, image_id])

    # Searching

    def test_search_takes_every_beginning_of_the_only_id(self) -> None:
        store = self.make_store()
        image_id = store.create(make_config())
        for length in range(65):
            assert store.search(image_id.hex[:length]) == image_id
            if length:
                assert store.search(f"sha256:{image_id.hex[:length]}") == image_id
        assert isinstance(store.search(image_id.hex[:12]), ImageID)

    def test_search_finds_nothing_under_what_begins_no_id(self) -> None:
        store = self.make_store()
        refusal(ImageNotFoundError, store.search, "")
        image_id = store.create(make_config())
        digits = image_id.hex
        for term in (
            "sha256:",
            ":",
            f":{digits}",
            digits[1:],
            f"{digits}0",
            digits.upper(),
            f"sha256:{digits[:5].upper()}x",
            f"SHA256:{digits}",
            f"sha512:{digits}",
            f"foo:{digits[:5]}",
            f"sha256:sha256:{digits[:5]}",
            f"{digits[:5]}*",
            f"{digits[:5]}%",
            f"{digits[:5]}_",
            f" {digits[:5]}",
            f"{digits[:5]}\0",
            f"{digits[:5]}\n",
            "g",
            "latest",
            "é",
            "\udcff",
            "٠",
        ):
            error = refusal(ImageNotFoundError, store.search, term)
            assert term in str(error)

    def test_search_agrees_with_looking_at_every_id(self) -> None:
        store = self.make_store()
        made = sorted(store.create_many(make_config(number) for number in range(300)))
        terms = {image_id.hex[:length] for image_id in made for length in (0, 1, 2, 3, 4)}
        for term in sorted(terms):
            beginning = [image_id for image_id in made if image_id.hex.startswith(term)]
            if len(beginning) == 1:
                assert store.search(term) == beginning[0]
            else:
                error = refusal(AmbiguousIDError, store.search, term)
                assert error.term == term
                assert 2 <= len(error.candidates) <= 10
                assert set(error.candidates) <= set(beginning)
                assert all(candidate in str(error) for candidate in error.candidates)
        assert [store.search(image_id) for image_id in made] == made

    def test_an_ambiguous_id_is_none_when_one_is_left(self) -> None:
        store = self.make_store()
        one, other = store.create_many(make_config(number) for number in range(2))
        refusal(AmbiguousIDError, store.search, "")
        store.delete(one)
        assert store.search("") == other
        store.delete(other)
        refusal(ImageNotFoundError, store.search, "")

    # Listing

    def test_map_has_all_images_and_heads_those_without_children(self) -> None:
        store = self.make_store()
        assert store.map() == store.heads() == {}
        root, middle, leaf, lone = store.create_many(make_config(number) for number in range(4))
        store.set_parent(middle, root)
        store.set_parent(leaf, middle)
        everything, heads = store.map(), store.heads()
        assert list(everything) == sorted([root, middle, leaf, lone])
        assert list(heads) == sorted([leaf, lone])
        assert {image_id: image.parent for image_id, image in everything.items()} == {
            root: None,
            middle: root,
            leaf: middle,
            lone: None,
        }
        assert all(image.image_id == image_id for image_id, image in everything.items())
        assert heads[leaf].raw_json == make_config(2)

    def test_pages_go_through_all_images_in_the_order_of_their_ids(self) -> None:
        store = self.make_store()
        assert store.page() == []
        made = sorted(store.create_many(make_config(number) for number in range(25)))
        for child in made[::2]:
            if child != made[1]:
                store.set_parent(child, made[1])
        heads = [image_id for image_id in made if image_id != made[1]]
        for limit in (1, 7, 24, 25, 26):
            assert _paged(store, limit, heads=False) == made
            assert _paged(store, limit, heads=True) == heads
        assert len(store.page()) == 25
        assert store.page(after=made[-1]) == []

    def test_a_page_may_follow_an_image_that_is_gone(self) -> None:
        store = self.make_store()
        made = sorted(store.create_many(make_config(number) for number in range(5)))
        store.delete(made[2])
        assert [image.image_id for image in store.page(after=made[2], limit=1)] == [made[3]]

    def test_a_page_has_room_for_an_image(self) -> None:
        store = self.make_store()
        for limit in (0, -1):
            refusal(InvalidError, store.page, None, limit)

    def test_a_stream_is_all_pages(self) -> None:
        store = self.make_store()
        assert list(store.stream()) == []
        made = sorted(store.create_many(make_config(number) for number in range(30)))
        store.set_parent(made[3], made[7])
        assert [image.image_id for image in store.stream()] == made
        assert [image.image_id for image in store.stream(heads=True)] == [one for one in made if one != made[7]]
        assert next(image for image in store.stream() if image.image_id == made[3]).parent == made[7]

    def test_what_is_streamed_can_be_deleted_meanwhile(self) -> None:
        store = self.make_store()
        made = sorted(store.create_many(make_config(number) for number in range(10)))
        streamed = []
        for image in store.stream():
            store.delete(image.image_id)
            streamed.append(image.image_id)
        assert streamed == made
        assert len(store) == 0

    # Damage

    def test_to_create_it_again_mends_a_damaged_image(self) -> None:
        store = self.make_store()
        first, second = store.create(make_config("first")), store.create(make_config("second"))
        store.set_parent(second, first)
        self.damage(store, second, b"{}")
        assert store.create(make_config("second")) == second
        assert store.get(second).raw_json == make_config("second")
        self.damage(store, first, b"{}")
        assert store.create_many([make_config("first"), make_config("third")])[0] == first
        assert store.get(first).raw_json == make_config("first")
        assert store.children(first) == [second]

    def test_a_damaged_image_is_not_given_out(self) -> None:
        store = self.make_store()
        damaged, sound = store.create(make_config("damaged")), store.create(make_config("sound"))
        self.damage(store, damaged, make_config("other bytes"))
        error = refusal(CorruptBlobError, store.get, damaged)
        assert error.digest == damaged
        refusal(CorruptBlobError, store.get_many, [sound, damaged])
        assert list(store.map()) == list(store.heads()) == [sound]
        assert [image.image_id for image in store.stream()] == [sound]
        assert store.get(sound).raw_json == make_config("sound")


def _paged(store: Store, limit: int, *, heads: bool) -> list[ImageID]:
    found: list[ImageID] = []
    while page := store.page(after=found[-1] if found else None, limit=limit, heads=heads):
        assert len(page) <= limit
        found += [image.image_id for image in page]
    return found
