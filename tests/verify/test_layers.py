"""Damage of the trie, of names and of contents is told, and repaired where images, or a name itself, tell what was there."""

from __future__ import annotations

import io
import os
import shutil
from dataclasses import dataclass

import pytest
from sqlalchemy import delete, update

from imagestore.digest import ImageID
from imagestore.layer import StoredLayer, links
from imagestore.sql.schema import images, layers, lease_layers, leases, references
from imagestore.store import Store
from imagestore.testing.makers import make_config, make_diff_id, make_digest, make_layer
from imagestore.verify import FindingKind, lacks_content, verify
from tests.verify.damage import (
    beside,
    by_hand,
    delete_blob,
    delete_layers,
    facts,
    index,
    trie,
    write_blob,
    write_layer,
    write_name,
    write_row,
)

CHAIN = make_digest("chain")
NAME = "docker.io/library/app:1"


def everything(store):
    return facts(store), index(store), trie(store), beside(store)


def found(store, **options):
    """What verify tells, which changes nothing."""
    before = everything(store)
    findings = list(verify(store, **options))
    assert everything(store) == before
    assert all(finding.cause and finding.remedy and not finding.repaired for finding in findings)
    return [(finding.kind.value, finding.subject) for finding in findings]


def repaired(store):
    """What a repair tells, which changes neither a fact nor a row beside the index: kind, subject, and whether it is repaired."""
    before = facts(store)
    findings = list(verify(store, repair=True))
    assert facts(store) == before
    return [(finding.kind.value, finding.subject, finding.repaired) for finding in findings]


@dataclass
class Filled:
    """A store with a place for content: an image on the lowest layer, one with all three, and a layer on top that a lease holds."""

    store: Store
    base: ImageID
    app: ImageID
    stack: list
    leased: str
    lease: str

    def file(self, place):
        """Where the tar of one of the three layers is."""
        with self.store.engine.connect() as connection:
            row = connection.exec_driver_sql("SELECT diff_id, name FROM imagestore_contents").all()
        names = {"sha256:" + bytes(diff_id).hex(): name for diff_id, name in row}
        return self.store.content._path(names[self.stack[place].diff_id])

    @property
    def file_folder(self):
        return self.store.content._folder / "data"


@pytest.fixture
def filled(store, tmp_path):
    with Store(store.engine, content=tmp_path / "content") as filled, filled.lease() as lease:
        stack: list[StoredLayer] = []
        for name in ("lower", "middle", "upper", "leased"):
            parent = stack[-1].chain_id if stack else None
            stack.append(filled.layers.register(io.BytesIO(make_layer(name)), parent, lease=lease))
        *stack, leased = stack
        base = filled.create(make_config("base", layers=[stack[0].diff_id]))
        app = filled.create(make_config("app", layers=[layer.diff_id for layer in stack]))
        filled.references.add_tag("app:1", app)
        filled.references.add_digest(f"app@{make_digest()}", app)
        yield Filled(filled, base, app, stack, leased.chain_id, lease.id)


def test_a_sound_store_gives_no_finding(filled):
    assert found(filled.store, content=True) == []
    assert repaired(filled.store) == []


def test_garbage_and_expired_leases_are_no_damage(filled):
    filled.store.content.write(f"{'0' * 32}-1", [b"left behind"])
    filled.store.layers.register(io.BytesIO(make_layer("alone")))
    delete_layers(filled.store, filled.store.layers.register(io.BytesIO(make_layer("content"))).chain_id)
    with by_hand(filled.store) as connection:
        connection.execute(delete(lease_layers))
    expired = "2000-01-01T00:00:00.000000000Z"
    with by_hand(filled.store) as connection:
        connection.execute(update(leases).where(leases.c.id != filled.lease).values(expires=expired))
    garbage = filled.store.collect(dry_run=True)
    assert (garbage.leases, garbage.layers, garbage.contents, garbage.files) == (2, 2, 3, 4)
    assert found(filled.store, content=True) == []


def test_an_image_without_a_place_in_the_trie(store):
    store.create(make_config("without layers"))
    store.create(make_config("of other digests", layers=["sha512:" + "0" * 128]))
    assert found(store) == []


# Tops


@pytest.mark.parametrize("top", ["none", "another", "missing"])
def test_a_top_that_differs(filled, top):
    before = everything(filled.store)
    value = {"none": None, "another": filled.stack[0].chain_id, "missing": CHAIN}[top]
    write_row(filled.store, filled.app, top=value)
    assert found(filled.store) == [("wrong-top", filled.app)]
    assert repaired(filled.store) == [("wrong-top", filled.app, True)]
    assert everything(filled.store) == before


def test_a_top_that_should_be_none(filled):
    plain = filled.store.create(make_config("without layers"))
    write_row(filled.store, plain, top=filled.stack[0].chain_id)
    assert found(filled.store) == [("wrong-top", plain)]
    assert repaired(filled.store) == [("wrong-top", plain, True)]
    assert index(filled.store)[plain][-1] is None


def test_a_top_that_is_gone_from_the_trie(store):
    diff_ids = [make_diff_id(number) for number in range(3)]
    image = store.create(make_config(layers=diff_ids))
    before = everything(store)
    delete_layers(store, links(diff_ids)[2].chain_id)
    assert found(store) == [("wrong-top", image)]
    assert repaired(store) == [("wrong-top", image, True)]
    assert everything(store) == before


# The trie


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("column", ["diff_id", "parent"])
def test_a_row_that_does_not_fit_its_key(filled, place, column):
    before = everything(filled.store)
    value = make_diff_id("other") if column == "diff_id" else filled.stack[place].chain_id
    write_layer(filled.store, filled.stack[place].chain_id, **{column: value})
    assert found(filled.store) == [("wrong-layer", filled.stack[place].chain_id)]
    assert repaired(filled.store) == [("wrong-layer", filled.stack[place].chain_id, True)]
    assert everything(filled.store) == before


def test_layers_that_are_missing_below(store):
    """Also two, one on the other: above them a layer that an image has, and one that only a lease has."""
    diff_ids = [make_diff_id(number) for number in range(4)]
    stack = links(diff_ids)
    store.create(make_config(layers=diff_ids))
    before = everything(store)
    delete_layers(store, stack[0].chain_id, stack[1].chain_id)
    (finding,) = verify(store)
    assert (finding.kind, finding.subject) == (FindingKind.WRONG_LAYER, stack[2].chain_id)
    assert f"its parent {stack[1].chain_id} is missing" in finding.cause
    assert repaired(store) == [("wrong-layer", stack[2].chain_id, True)]
    assert everything(store) == before


def test_a_missing_parent_of_a_layer_that_no_image_has(filled):
    """Its own stack is nobody's, the one below is an image's."""
    filled.store.delete(filled.base)
    lowest = filled.stack[0].chain_id
    beside_it = filled.store.layers.register(io.BytesIO(make_layer("beside")), lowest).chain_id
    before = trie(filled.store)
    delete_layers(filled.store, lowest)
    orphans = sorted([filled.stack[1].chain_id, beside_it])
    wrong = [("wrong-layer", orphan) for orphan in orphans]
    assert found(filled.store) == [*wrong, ("wrong-lease", filled.lease)]
    assert repaired(filled.store) == [(*orphan, True) for orphan in wrong]
    assert trie(filled.store) == {**before, lowest: (*before[lowest][:2], None)}  # its size nobody tells any more
    assert found(filled.store) == []


def test_what_no_image_explains_is_left(filled):
    write_layer(filled.store, filled.leased, diff_id=make_diff_id("other"))
    alone = filled.store.layers.register(io.BytesIO(make_layer("alone")))
    above = filled.store.layers.register(io.BytesIO(make_layer("above")), alone.chain_id)
    delete_layers(filled.store, alone.chain_id)
    with by_hand(filled.store) as connection:
        connection.execute(delete(lease_layers).where(lease_layers.c.chain_id == alone.chain_id))
    wrong = sorted([filled.leased, above.chain_id])
    assert found(filled.store) == [("wrong-layer", chain) for chain in wrong]
    before = everything(filled.store)
    assert repaired(filled.store) == [("wrong-layer", chain, False) for chain in wrong]
    assert everything(filled.store) == before


def test_a_damaged_configuration_explains_nothing(filled):
    write_layer(filled.store, filled.stack[2].chain_id, diff_id=make_diff_id("other"))
    for image_id in (filled.base, filled.app):
        write_blob(filled.store, image_id, filled.store.get(image_id).raw_json + b" ")
    wrong = ("wrong-layer", filled.stack[2].chain_id)
    assert found(filled.store) == [*(("corrupt-blob", image) for image in sorted([filled.base, filled.app])), wrong]
    assert (*wrong, False) in repaired(filled.store)


def test_all_that_is_derived_is_made_anew(store):
    """Rows of images and their layers, and repositories, all gone: the configurations, the metadata and the names have it all."""
    draw = [[make_diff_id(f"{number % 7} {depth}") for depth in range(1 + number % 5)] for number in range(60)]
    ids = store.create_many(make_config(number, layers=diff_ids) for number, diff_ids in enumerate(draw))
    for number, image_id in enumerate(ids):
        store.references.add_tag(f"host.test/app{number % 3}:{number}", image_id)
        if number % 2:
            store.set_parent(image_id, ids[number - 1])
            store.touch(image_id)
    before = everything(store)
    with by_hand(store) as connection:
        connection.execute(delete(images))
        connection.execute(delete(layers))
        connection.execute(update(references).values(repository=""))
    told = repaired(store)
    assert {done for *_, done in told} == {True}
    assert {kind for kind, *_ in told} == {"missing-row", "wrong-reference"}
    assert everything(store) == before
    assert found(store) == []


def test_columns_of_the_trie_are_made_anew(store):
    """All parents and all tops at once, so that no layer can be reached from above."""
    draw = [[make_diff_id(f"{number % 7} {depth}") for depth in range(1 + number % 5)] for number in range(60)]
    store.create_many(make_config(number, layers=diff_ids) for number, diff_ids in enumerate(draw))
    before = everything(store)
    with by_hand(store) as connection:
        connection.execute(update(images).values(top=None))
        connection.execute(update(layers).values(parent=None, diff_id=make_diff_id("other")))
    assert {(kind, done) for kind, _, done in repaired(store)} == {("wrong-top", True), ("wrong-layer", True)}
    assert everything(store) == before


# Names


def test_a_repository_that_is_not_the_names(filled):
    before = everything(filled.store)
    write_name(filled.store, NAME, repository="docker.io/library/other")
    assert found(filled.store) == [("wrong-reference", NAME)]
    assert repaired(filled.store) == [("wrong-reference", NAME, True)]
    assert everything(filled.store) == before


@pytest.mark.parametrize("name", ["APP:1", "app:1", "docker.io/library/app", f"{NAME}@{make_digest()}", "a b"])
def test_a_name_that_is_none(filled, name):
    write_name(filled.store, NAME, name=name)
    assert found(filled.store) == [("wrong-reference", name)]
    before = everything(filled.store)
    assert repaired(filled.store) == [("wrong-reference", name, False)]
    assert everything(filled.store) == before


def test_a_name_of_an_image_that_is_not_there(filled):
    write_name(filled.store, NAME, image=make_digest())
    assert found(filled.store) == [("wrong-reference", NAME)]
    assert repaired(filled.store) == [("wrong-reference", NAME, False)]


def test_an_image_whose_bytes_are_gone_keeps_its_names(filled):
    """A name is a fact, and it would go with the row."""
    config = filled.store.get(filled.app).raw_json
    delete_blob(filled.store, filled.app)
    names = filled.store.references.references(filled.app)
    assert repaired(filled.store) == [("extra-row", filled.app, False)]
    assert filled.store.references.references(filled.app) == names
    assert filled.store.create(config) == filled.app
    assert found(filled.store) == []
    delete_blob(filled.store, filled.app)
    for name in names:
        assert filled.store.references.delete(name)
    assert repaired(filled.store) == [("extra-row", filled.app, True)]


def test_a_row_of_no_image_keeps_its_names(filled):
    no_image = filled.store.backend.set(b"no image")
    write_row(filled.store, no_image)
    write_name(filled.store, NAME, image=no_image)
    assert repaired(filled.store) == [("extra-row", no_image, False)]
    assert filled.store.references.get(NAME) == no_image


# Contents


def make_symlink(path):
    sound = path.with_name("sound")
    path.rename(sound)
    path.symlink_to(sound)


def make_folder(path):
    path.unlink()
    path.mkdir()


def make_pipe(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("damage", [os.unlink, make_symlink, make_folder, make_pipe])
def test_content_that_is_lost(filled, damage):
    damage(filled.file(1))
    lost = [("content-lost", filled.stack[1].diff_id)]
    assert found(filled.store) == found(filled.store, content=True) == lost
    assert repaired(filled.store) == [(*lost[0], False)]


@pytest.mark.parametrize("data", [b"", make_layer("middle")[:-1], make_layer("middle") + b"x"])
def test_content_of_another_size(filled, data):
    filled.file(1).write_bytes(data)
    corrupt = [("corrupt-content", filled.stack[1].diff_id)]
    assert found(filled.store) == found(filled.store, content=True) == corrupt
    assert repaired(filled.store) == [(*corrupt[0], False)]
    assert filled.file(1).read_bytes() == data


def test_content_of_another_digest_is_told_where_all_bytes_are_read(filled):
    data = make_layer("middle").replace(b"x", b"y", 1)
    filled.file(1).write_bytes(data)
    assert found(filled.store) == []
    assert found(filled.store, content=True) == [("corrupt-content", filled.stack[1].diff_id)]
    assert filled.file(1).read_bytes() == data


def test_contents_that_were_swapped(filled):
    lower, upper = filled.file(0), filled.file(2)
    spare = lower.with_name("spare")
    lower.rename(spare)
    upper.rename(lower)
    spare.rename(upper)
    swapped = sorted(("corrupt-content", filled.stack[place].diff_id) for place in (0, 2))
    assert sorted(found(filled.store, content=True)) == swapped


def test_a_name_of_content_that_leads_elsewhere(filled):
    with by_hand(filled.store) as connection:
        connection.exec_driver_sql(
            f"UPDATE imagestore_contents SET name = '../{filled.file(1).name}' WHERE size > 0 AND "
            f"name = '{filled.file(1).name}'"
        )
    assert found(filled.store) == [("content-lost", filled.stack[1].diff_id)]


def test_a_store_without_a_place_looks_for_no_content(filled, store):
    shutil.rmtree(filled.file_folder)
    assert found(store) == []
    assert (lacks_content(store), lacks_content(filled.store)) == (True, False)
    assert len(found(filled.store)) == 4


def test_pages_meet(filled, monkeypatch):
    for part in ("images", "layers", "names"):
        monkeypatch.setattr(f"imagestore.verify.{part}.ROWS", 2)
    for number in range(5):
        filled.store.references.add_tag(f"app:t{number}", filled.app)
    for layer in filled.stack:
        write_layer(filled.store, layer.chain_id, diff_id=make_diff_id("other"))
    shutil.rmtree(filled.file_folder)
    with by_hand(filled.store) as connection:
        connection.execute(update(references).values(repository=""))
    findings = found(filled.store)
    names = [name for name, *_ in beside(filled.store)[0]]
    diff_ids = [diff_id for diff_id, *_ in beside(filled.store)[1]]
    assert findings == [
        *(("wrong-layer", chain) for chain in sorted(layer.chain_id for layer in filled.stack)),
        *(("wrong-reference", name) for name in names),
        *(("content-lost", diff_id) for diff_id in diff_ids),
    ]
