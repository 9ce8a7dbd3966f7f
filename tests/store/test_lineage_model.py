"""Lineage over random tries of layers, beside a model that has each image's layers as a tuple and looks at all of them."""

from __future__ import annotations

from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, update

from imagestore.digest import chain_id
from imagestore.sql import schema
from imagestore.sql.sharing import Sizes
from imagestore.testing.makers import make_config, make_diff_id

stacks = st.lists(st.sampled_from("ab"), max_size=5).map(tuple)
pages = st.sampled_from([1, 2, 3, 100])


@st.composite
def tries(draw):
    """The stacks of images, of images that are deleted again, and of what leases hold; and what is known of sizes."""
    there, gone = draw(st.lists(stacks, min_size=1, max_size=12)), draw(st.lists(stacks, max_size=4))
    prefixes = sorted({stack[:depth] for stack in (*there, *gone) for depth in range(1, len(stack) + 1)})
    leased = draw(st.sets(st.sampled_from(prefixes), max_size=3)) if prefixes else set()
    sizes = {prefix: draw(st.none() | st.integers(0, 9)) for prefix in prefixes}
    return there, gone, leased, sizes, draw(st.dictionaries(st.sampled_from("ab"), st.integers(10, 19)))


class Model:
    """What is in the store: each image's layers as a tuple, the stacks in the trie, what leases hold, and sizes."""

    def __init__(self, images, leased, sizes, contents):
        self.images, self.leased, self.sizes, self.contents = images, leased, sizes, contents
        self.trie = {stack for top in (*images.values(), *leased) for stack in _prefixes(top)}

    def bases(self, image_id):
        own = self.images[image_id]
        found = [(each, len(stack)) for each, stack in self._others(image_id) if stack and stack == own[: len(stack)]]
        return sorted(found, key=lambda each: (-each[1], each[0]))

    def derived(self, image_id):
        own = self.images[image_id]
        return sorted(each for each, stack in self._others(image_id) if own and own == stack[: len(own)])

    def shared(self, image_id, other):
        both = zip(_prefixes(self.images[image_id]), _prefixes(self.images[other]), strict=False)
        return [one for one, another in both if one == another]

    def sizes_of(self, image_id):
        stack = _prefixes(self.images[image_id])
        others = {each for _, top in self._others(image_id) for each in _prefixes(top)}
        total, shared = self._weigh(stack), self._weigh([each for each in stack if each in others])
        goes = self._alone(image_id)
        tars = {each[-1] for each in goes} - {each[-1] for each in self.trie - goes}
        return Sizes(total, shared, total - shared, sum(self.contents.get(tar, 0) for tar in tars))

    def _alone(self, image_id):
        held = {top for _, top in self._others(image_id)} | self.leased
        found: set[tuple[str, ...]] = set()
        for stack in reversed(_prefixes(self.images[image_id])):
            if stack in held or any(each[:-1] == stack for each in self.trie - found):
                break
            found.add(stack)
        return found

    def _weigh(self, found):
        return sum(self.sizes[each] or 0 for each in found)

    def _others(self, image_id):
        return [(each, stack) for each, stack in self.images.items() if each != image_id]


def _prefixes(stack):
    return [stack[:depth] for depth in range(1, len(stack) + 1)]


def _all(page, image_id, limit):
    found, after = [], None
    while some := page(image_id, after, limit):
        assert len(some) <= limit
        found += some
        after = some[-1]
    return found


def test_lineage_is_that_of_all_layers_looked_at(store):
    examples = count()

    @settings(max_examples=80, suppress_health_check=list(HealthCheck))
    @given(tries(), pages)
    def run(trie, limit):
        there, gone, leased, sizes, contents = trie
        example = next(examples)  # each has layers of its own, in one store

        def diff_ids(stack):
            return [make_diff_id(f"{example} {layer}") for layer in stack]

        def chain(stack):
            return chain_id(diff_ids(stack))

        def configs(name, found):
            return [
                make_config(f"{name} {example} {number}", layers=diff_ids(each)) for number, each in enumerate(found)
            ]

        images = dict(zip(store.create_many(configs("there", there)), there, strict=True))
        doomed = store.create_many(configs("gone", gone))
        with store.engine.begin() as connection:
            for diff, size in contents.items():
                content = {"diff_id": diff_ids(diff)[0], "name": f"{example} {diff}", "size": size}
                connection.execute(insert(schema.contents), content)
            connection.execute(insert(schema.leases), {"id": f"{example:032}", "expires": "", "labels": "{}"})
            for stack in leased:
                held = {"lease": f"{example:032}", "chain_id": chain(stack)}
                connection.execute(insert(schema.lease_layers), held)
            for stack, size in sizes.items():
                connection.execute(
                    update(schema.layers).where(schema.layers.c.chain_id == chain(stack)).values(size=size)
                )
        for image_id in doomed:
            store.delete(image_id)
        model = Model(images, leased, sizes, contents)

        lineage = store.lineage
        for image_id in images:
            bases = _all(lineage.bases, image_id, limit)
            assert [(base.image_id, base.layers) for base in bases] == model.bases(image_id)
            derived = _all(lineage.derived, image_id, limit)
            assert sorted(each.image_id for each in derived) == model.derived(image_id)
            for other in images:
                shared = [layer.chain_id for layer in lineage.shared_layers(image_id, other)]
                assert shared == [chain(stack) for stack in model.shared(image_id, other)]
        assert lineage.sizes_of(images) == {image_id: model.sizes_of(image_id) for image_id in images}
        for image_id in images:
            assert lineage.sizes(image_id) == lineage.sizes_of([image_id])[image_id]

    run()
