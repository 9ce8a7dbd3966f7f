"""Each kind of damage, made by hand, is found, named, and repaired where it is one of the index."""

from __future__ import annotations

import random
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, update

from imagestore.errors import ReadOnlyError
from imagestore.sql.schema import blobs, images
from imagestore.store import Store
from imagestore.testing.makers import make_config, make_digest
from imagestore.verify import FindingKind, verify
from tests.verify.damage import by_hand, delete_blob, delete_rows, facts, index, write_blob, write_row

SOON = "2030-01-01T00:00:00.000000000Z"


def found(store):
    """What verify tells, which changes nothing."""
    before = facts(store), index(store)
    findings = list(verify(store))
    assert (facts(store), index(store)) == before
    assert not any(finding.repaired for finding in findings)
    assert all(finding.cause and finding.remedy for finding in findings)
    return [(finding.kind.value, finding.subject) for finding in findings]


def repaired(store):
    """What a repair tells, which changes no fact: kind, subject, and whether it is repaired."""
    before = facts(store)
    findings = list(verify(store, repair=True))
    assert facts(store) == before
    return [(finding.kind.value, finding.subject, finding.repaired) for finding in findings]


@pytest.fixture
def family(store):
    """A child and its two ancestors, the oldest first, in a store with times and other keys."""
    family = store.create_many([make_config(name) for name in ("grandparent", "parent", "child")])
    for parent, child in pairwise(family):
        store.set_parent(child, parent)
    store.set_last_updated(family[0])
    store.touch(family[2])
    store.set_built_locally(family[1])
    return family


def test_a_sound_store_gives_no_finding(store, family):
    store.backend.set(b"no image")
    assert found(store) == []
    assert repaired(store) == []


def test_what_the_port_lets_in_is_no_damage(store, family):
    """A parent that is awaited, metadata that is no ID or no time, metadata of what is no image."""
    no_image = store.backend.set(b"no image")
    for digest in (family[0], no_image):
        store.backend.set_metadata(digest, "parent", make_digest("awaited").encode())
        store.backend.set_metadata(digest, "lastUpdated", b"yesterday")
        store.backend.set_metadata(digest, "lastUsed", b"\xff")
    store.backend.set_metadata(family[1], "parent", b"sha256:abc")
    store.backend.set_metadata(family[2], "parent", no_image.encode())
    assert found(store) == []


def test_bytes_that_changed(store, family):
    config = make_config("child").replace(b"amd64", b"arm64")
    write_blob(store, family[2], config)
    assert found(store) == [("corrupt-blob", family[2])]
    before = index(store)
    assert repaired(store) == [("corrupt-blob", family[2], False)]
    assert index(store) == before


def test_bytes_that_are_gone(store, family):
    delete_blob(store, family[1])
    assert found(store) == [("extra-row", family[1]), ("stray-metadata", family[1])]
    assert repaired(store) == [("extra-row", family[1], True), ("stray-metadata", family[1], False)]
    assert set(index(store)) == {family[0], family[2]}
    assert store.children(family[0]) == []
    assert found(store) == [("stray-metadata", family[1])]


def test_an_image_that_the_index_does_not_have(store, family):
    before = index(store)
    delete_rows(store, family[1])
    assert family[1] not in store
    assert found(store) == [("missing-row", family[1])]
    assert repaired(store) == [("missing-row", family[1], True)]
    assert index(store) == before


def test_a_row_whose_bytes_are_no_image(store, family):
    before = index(store)
    no_image = store.backend.set(b"no image")
    write_row(store, no_image)
    write_row(store, family[0], parent=no_image)
    assert found(store) == [("extra-row", no_image), ("wrong-parent", family[0])]
    assert repaired(store) == [("extra-row", no_image, True)]
    assert index(store) == before
    assert store.backend.get(no_image) == b"no image"


@pytest.mark.parametrize("column", ["last_updated", "last_used"])
@pytest.mark.parametrize("value", [None, SOON])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_time_that_differs(store, family, column, value, place):
    before = index(store)
    write_row(store, family[place], **{column: value})
    wrong = index(store) != before
    assert found(store) == [("wrong-time", family[place])] * wrong
    assert repaired(store) == [("wrong-time", family[place], True)] * wrong
    assert index(store) == before


def test_the_cause_has_both_values(store, family):
    write_row(store, family[0], last_updated=SOON)
    (finding,) = verify(store)
    assert SOON in finding.cause
    assert str(store.get_last_updated(family[0]))[:19] in finding.cause


RIGHT = {0: None, 1: 0, 2: 1}


@pytest.mark.parametrize(
    ("child", "parent"), [(child, parent) for child in RIGHT for parent in (None, *RIGHT) if parent != RIGHT[child]]
)
def test_an_edge_that_differs(store, family, child, parent):
    before = index(store)
    write_row(store, family[child], parent=None if parent is None else family[parent])
    kinds = found(store)
    assert ("wrong-parent", family[child]) in kinds
    assert {kind for kind, _ in kinds} == {"wrong-parent"}
    assert repaired(store) == [("wrong-parent", family[child], True)]
    assert index(store) == before


@pytest.mark.parametrize("place", [0, 1])
def test_an_edge_to_nothing(store, family, place):
    before = index(store)
    write_row(store, family[place], parent=make_digest())
    assert found(store) == [("wrong-parent", family[place])]
    assert repaired(store) == [("wrong-parent", family[place], True)]
    assert index(store) == before


def test_an_edge_to_what_is_awaited(store, family):
    """The metadata names it as well, so it is the image that is missing."""
    store.backend.set_metadata(family[0], "parent", make_digest().encode())
    before = index(store)
    write_row(store, family[0], parent=make_digest())
    assert found(store) == [("wrong-parent", family[0])]
    assert repaired(store) == [("wrong-parent", family[0], True)]
    assert index(store) == before


def test_a_cycle_in_the_metadata_is_named_and_left(store, family):
    store.backend.set_metadata(family[0], "parent", family[2].encode())
    before = index(store)
    (finding,) = verify(store)
    assert (finding.kind, finding.subject) == (FindingKind.PARENT_CYCLE, family[0])
    assert f"{family[0]} < {family[2]} < {family[1]} < {family[0]}" in finding.cause
    assert repaired(store) == [("parent-cycle", family[0], False)]
    assert index(store) == before


def test_an_image_that_its_metadata_makes_its_own_parent(store, family):
    store.backend.set_metadata(family[0], "parent", family[0].encode())
    assert found(store) == [("parent-cycle", family[0])]
    assert repaired(store) == [("parent-cycle", family[0], False)]


def test_a_cycle_in_index_and_metadata(store, family):
    """As the index was told by a release that did not look: one edge has to go, and the others stay."""
    store.backend.set_metadata(family[0], "parent", family[2].encode())
    write_row(store, family[0], parent=family[2])
    below = store.create(make_config("below"))
    store.set_parent(below, family[1])
    first = min(family)
    (finding,) = verify(store)
    assert (finding.kind, finding.subject) == (FindingKind.WRONG_PARENT, first)
    assert all(image_id in finding.cause for image_id in family)
    assert below not in finding.cause
    assert repaired(store) == [("wrong-parent", first, True), ("parent-cycle", first, False)]
    assert [image_id for image_id in family if index(store)[image_id][0] is None] == [first]
    assert found(store) == [("parent-cycle", first)]


def test_each_cycle_of_the_index_is_found(store):
    pairs = [store.create_many([make_config(f"{name} {side}") for side in "ab"]) for name in range(3)]
    for a, b in pairs:
        write_row(store, a, parent=b)
        write_row(store, b, parent=a)
    alone = store.create(make_config("alone"))
    write_row(store, alone, parent=alone)
    endless = sorted(finding.subject for finding in verify(store) if "its own ancestor" in finding.cause)
    assert endless == sorted([*(min(pair) for pair in pairs), alone])
    assert {kind for kind, _ in found(store)} == {"wrong-parent"}
    assert all(done for *_, done in repaired(store))
    assert {columns[0] for columns in index(store).values()} == {None}


def grow(store, seed, count=300):
    """A forest with times, waiting children and blobs that are no images."""
    draw = random.Random(seed)
    grown = store.create_many([make_config(f"{seed} {number}") for number in range(count)])
    with store.begin() as joined:
        for number, image_id in enumerate(grown):
            chance = draw.random()
            if chance < 0.1:
                joined.backend.set_metadata(image_id, "parent", make_digest(number).encode())
            elif number and chance < 0.8:
                joined.set_parent(image_id, draw.choice(grown[:number]))
            if draw.random() < 0.3:
                joined.backend.set_metadata(
                    image_id, "lastUpdated", b"20%d-01-02T03:04:05+01:00" % draw.randint(10, 99)
                )
            if draw.random() < 0.3:
                joined.touch(image_id)
            if draw.random() < 0.1:
                joined.backend.set(b"no image %d" % number)
    return grown


def test_an_index_that_is_gone_is_made_anew(store):
    grown = grow(store, 1)
    before = index(store)
    with by_hand(store) as connection:
        connection.execute(delete(images))
    assert len(store) == 0
    assert sorted(repaired(store)) == sorted(("missing-row", image_id, True) for image_id in grown)
    assert index(store) == before
    assert found(store) == []


def test_columns_that_are_gone_are_made_anew(store):
    grow(store, 2)
    before = index(store)
    with by_hand(store) as connection:
        connection.execute(update(images).values(parent=None, last_updated=None, last_used=None))
    assert {done for *_, done in repaired(store)} == {True}
    assert index(store) == before


def test_columns_full_of_garbage_are_made_anew(store):
    grown = grow(store, 3)
    before = index(store)
    draw = random.Random(3)
    with by_hand(store) as connection:
        for image_id in grown:
            garbage = {"parent": draw.choice([*grown, make_digest()]), "last_updated": SOON, "last_used": "now"}
            connection.execute(update(images).where(images.c.id == image_id).values(**garbage))
    assert {done for *_, done in repaired(store)} == {True}
    assert index(store) == before
    assert found(store) == []


NUMBER = st.integers(0, 7)
EDGES = st.lists(st.tuples(NUMBER, st.one_of(st.none(), NUMBER)), max_size=12)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(facts_given=EDGES, damage=EDGES, gone=st.sets(NUMBER))
def test_a_repair_leaves_nothing_but_the_cycles_of_the_metadata(store, facts_given, damage, gone):
    with by_hand(store) as connection:
        connection.execute(delete(images))
        connection.execute(delete(blobs))
        connection.exec_driver_sql("DELETE FROM imagestore_metadata")
    ids = store.create_many([make_config(number) for number in range(8)])
    named = {}
    for child, parent in facts_given:
        named[child] = parent
        value = b"nobody" if parent is None else ids[parent].encode()
        store.backend.set_metadata(ids[child], "parent", value)
    assert {kind for kind, _ in found(store)} <= {"parent-cycle"}
    for child, parent in damage:
        write_row(store, ids[child], parent=None if parent is None else ids[parent])
    delete_rows(store, *(ids[number] for number in gone))
    repaired(store)
    assert [kind for kind, _ in found(store)] == ["parent-cycle"] * count_cycles(named)
    edges = {child: row[0] for child, row in index(store).items() if row[0] is not None}
    wanted = {(ids[child], ids[parent]) for child, parent in named.items() if parent is not None}
    assert set(edges.items()) <= wanted
    assert len(edges) == len(wanted) - count_cycles(named)


def count_cycles(named):
    cycles = set()
    for start in named:
        path, step = [], start
        while step is not None and step not in path:
            path.append(step)
            step = named.get(step)
        if step is not None:
            cycles.add(frozenset(path[path.index(step) :]))
    return len(cycles)


def test_a_snapshot_is_verified_and_not_repaired(store, family):
    write_row(store, family[0], last_updated=SOON)
    with store.reading() as snapshot:
        assert [finding.kind for finding in verify(snapshot)] == [FindingKind.WRONG_TIME]
        with pytest.raises(ReadOnlyError):
            list(verify(snapshot, repair=True))


def test_a_repair_in_a_callers_transaction_is_the_callers(store, family):
    write_row(store, family[0], last_updated=SOON)
    damaged = index(store)
    with store.engine.connect() as connection, connection.begin() as transaction:
        assert [finding.repaired for finding in verify(store.joined(connection), repair=True)] == [True]
        transaction.rollback()
    assert index(store) == damaged


def test_pages_meet(store, monkeypatch):
    """No row is lost between two pages, nor told twice."""
    monkeypatch.setattr("imagestore.verify.images._BLOBS", 2)
    for part in ("images", "layers", "names"):
        monkeypatch.setattr(f"imagestore.verify.{part}.ROWS", 2)
    grown = store.create_many([make_config(number) for number in range(5)])
    for image_id in grown:
        store.backend.set_metadata(image_id, "parent", image_id.encode())
        write_row(store, image_id, last_used=SOON)
        write_blob(store, image_id, b"changed")
    strays = store.create_many([make_config(f"stray {number}") for number in range(5)])
    for image_id in strays:
        store.touch(image_id)
        delete_blob(store, image_id)
    findings = found(store)
    assert {kind: [subject for other, subject in findings if other == kind] for kind, _ in findings} == {
        "corrupt-blob": sorted(grown),
        "extra-row": sorted(strays),
        "stray-metadata": sorted(strays),
        "wrong-time": sorted(grown),
        "parent-cycle": sorted(grown),
    }


def test_memory_does_not_grow_with_the_store(tmp_path):
    peaks = []
    for count in (2000, 8000):
        with Store.open(f"sqlite:///{tmp_path / str(count)}.db") as store:
            store.create_many(make_config(number) for number in range(count))
            list(verify(store))  # what is loaded and compiled once
            tracemalloc.start()
            assert list(verify(store)) == []
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.5
