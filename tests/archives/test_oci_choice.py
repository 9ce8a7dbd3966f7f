"""Which images are taken of any layout, by the rules alone: a naive reading of them, beside what is done."""

from __future__ import annotations

import io
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from imagestore.archive.inspecting import inspect
from tests.archives.layouts import Layout, named, on

EMPTY = "application/vnd.oci.empty.v1+json"


class Leaf(NamedTuple):
    """A manifest: of an image with this number and architecture, or of no image; and the architecture that its entry states."""

    number: int
    architecture: str
    is_image: bool
    states: bool


class Index(NamedTuple):
    """An index below index.json."""

    entries: tuple[Leaf | Index, ...]


architectures = st.sampled_from(["amd64", "arm64", "s390x"])
images = st.builds(Leaf, st.integers(0, 5), architectures, st.just(True), st.booleans())
others = st.builds(Leaf, st.integers(0, 5), architectures, st.just(False), st.just(False))
leaves = images | others
trees = st.recursive(leaves, lambda below: st.builds(Index, st.lists(below, max_size=3).map(tuple)), max_leaves=5)
entries = st.lists(st.tuples(st.sampled_from([None, None, "a:1", "b:1", "word"]), trees), max_size=6)


def descriptor(layout, tree, **members):
    if isinstance(tree, Index):
        return layout.nested(*[descriptor(layout, each) for each in tree.entries], **members)
    if tree.states:
        members |= on(f"linux/{tree.architecture}")
    if not tree.is_image:
        return layout.manifest(layout.blob(EMPTY, str(tree.number).encode()), [], **members)
    config = {"architecture": tree.architecture}
    return layout.image(str(tree.number), layers=(), config=config, **members)


def images_of(tree):
    """The images that an entry leads to, in order."""
    if isinstance(tree, Index):
        return [image for each in tree.entries for image in images_of(each)]
    return [tree] if tree.is_image else []


def grouped(found):
    """The entries that are alternatives, in the order of the first of each."""
    nameless = [tree for name, tree in found if name is None and (isinstance(tree, Index) or tree.is_image)]
    stated = [tree.architecture for tree in nameless if isinstance(tree, Leaf) and tree.states]
    are_alternatives = len(set(stated)) == len(nameless)
    groups: dict[object, tuple[str | None, list[Leaf | Index]]] = {}
    for place, (name, tree) in enumerate(found):
        key = name or ("nameless" if are_alternatives else place)
        groups.setdefault(key, (name, []))[1].append(tree)
    return groups.values()


def expected(found, wanted):
    """The number and architecture of each image that is taken with its tags; None: it is an error."""
    taken: dict[tuple[str, str], list[str]] = {}
    for name, trees in grouped(found):
        candidates = [(str(image.number), image.architecture) for tree in trees for image in images_of(tree)]
        matching = [each for each in candidates if each[1] == (wanted or "amd64")]
        if not matching and candidates and (wanted or len(set(candidates)) > 1):
            return None
        for image in matching[:1] or candidates[:1]:
            taken.setdefault(image, []).extend([name] if name and ":" in name else [])
    return taken if taken or not found else None


@settings(max_examples=300)
@given(entries, st.none() | architectures)
def test_a_layout_is_read_by_the_rules(found, wanted):
    layout = Layout()
    for name, tree in found:
        layout.add(descriptor(layout, tree, **(named(name) if name else {})))
    inspection = inspect(io.BytesIO(layout.tar()), platform=wanted and f"linux/{wanted}")
    images = {
        (each.image.comment, each.image.architecture): [tag.familiar for tag in each.tags] for each in inspection.images
    }
    taken = expected(found, wanted)
    if taken is None:
        assert [problem.reason for problem in inspection.problems] in (["platform"], ["unsupported-media-type"])
    else:
        assert inspection.problems == ()
        assert list(images.items()) == list(taken.items())
