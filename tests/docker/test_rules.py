"""What the daemon's tag and rmi do, and how it reads a name."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import create_engine

from imagestore.backends.filesystem import FSBackend
from imagestore.digest import chain_id
from imagestore.docker.rules import DeleteResponse, remove_image, resolve, tag_image
from imagestore.errors import (
    AmbiguousIDError,
    DependentChildrenError,
    ImageNotFoundError,
    InvalidReferenceError,
    MultipleReferencesError,
    UnusableBindError,
)
from imagestore.sql import sizes
from imagestore.store import Store
from imagestore.testing.layers import RecordingLayerStore
from imagestore.testing.makers import make_config, make_diff_id, make_digest

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
DIGEST = make_digest("a manifest")


@pytest.fixture
def line(store):
    """A base, an image on it, and one on that: each has a layer more."""
    line = [store.create(make_config(name, layers=number + 1)) for number, name in enumerate(("base", "mid", "top"))]
    store.set_parent(line[1], line[0])
    store.set_parent(line[2], line[1])
    return line


def chain(layers):
    return chain_id([make_diff_id(number) for number in range(layers)])


def lines(responses):
    return [str(response) for response in responses]


def names(store):
    return {each.reference.familiar: each.image_id for each in store.references.stream()}


# What a term means


def test_a_name_is_looked_for_before_a_short_id(store):
    one, other = store.create_many([make_config("one"), make_config("other")])
    short = one.hex[:12]
    assert resolve(store, short) == one
    store.references.add_tag(short, other)
    assert resolve(store, short) == other
    assert resolve(store, f"sha256:{short}") == resolve(store, one) == resolve(store, one.hex) == one


def test_every_form_of_a_name(store):
    image_id = store.create(make_config())
    store.references.add_tag("app:1", image_id)
    store.references.add_digest(f"app@{DIGEST}", image_id)
    for term in ("app:1", "docker.io/library/app:1", f"app@{DIGEST}", f"app:none@{DIGEST}"):
        assert resolve(store, term) == image_id


@pytest.mark.parametrize(
    ("term", "told"),
    [
        ("app", "app:latest"),
        ("app:1", "app:1"),
        ("docker.io/app", "app:latest"),
        (f"app@{DIGEST}", f"app@{DIGEST}"),
        (make_digest(), make_digest()),
        (make_digest().hex, make_digest()),
        ("sha256:abc", "sha256:abc"),
        ("sha512:" + "0" * 128, "sha512:" + "0" * 128),
    ],
)
def test_what_is_not_there_is_told_with_its_tag(store, term, told):
    with pytest.raises(ImageNotFoundError) as caught:
        resolve(store, term)
    assert str(caught.value) == f"No such image: {told}"
    with pytest.raises(ImageNotFoundError, match="No such image") as caught:
        remove_image(store, term)
    assert str(caught.value) == f"No such image: {term}"


def test_several_images_are_told(store):
    digits = [image_id.hex[0] for image_id in store.create_many(make_config(number) for number in range(17))]
    with pytest.raises(AmbiguousIDError):
        resolve(store, next(digit for digit in digits if digits.count(digit) > 1))


@pytest.mark.parametrize("term", ["", "App", "a b", "a:", "sha256:", "\0", None, 5])
def test_what_means_nothing(store, term):
    for call in (resolve, remove_image, lambda of, given: tag_image(of, given, "app")):
        with pytest.raises(InvalidReferenceError):
            call(store, term)
    assert names(store) == {}


def test_a_snapshot_resolves_too(store):
    image_id = store.create(make_config())
    with store.reading() as snapshot:
        store.references.add_tag("app", image_id) if store.engine.dialect.name == "postgresql" else None
        assert resolve(snapshot, image_id[:20]) == image_id


# tag


def test_a_tag_moves_and_is_noted(store):
    one, other = store.create_many([make_config("one"), make_config("other")])
    assert tag_image(store, one, "app:1") == one
    assert store.get_last_updated(one) is not None
    assert tag_image(store, other.hex[:20], "docker.io/app:1") == other
    assert tag_image(store, "app:1", "team/app") == other
    assert names(store) == {"app:1": other, "team/app:latest": other}


def test_a_target_that_is_no_tag(store):
    image_id = store.create(make_config())
    for target in ("", "App", "sha256", f"app@{DIGEST}", DIGEST, DIGEST.hex, "a:" + "t" * 129):
        with pytest.raises(InvalidReferenceError):
            tag_image(store, image_id, target)
    with pytest.raises(ImageNotFoundError, match="No such image: nothing:latest"):
        tag_image(store, "nothing", "app")
    assert names(store) == {}
    assert store.get_last_updated(image_id) is None


# rmi by name


def test_one_of_several_names_goes_alone(store, line):
    for name in ("app:1", "app:2"):
        store.references.add_tag(name, line[2])
    assert lines(remove_image(store, "app:1")) == ["Untagged: app:1"]
    assert names(store) == {"app:2": line[2]}
    assert len(store) == 3


def test_the_last_name_takes_the_image_its_layers_and_its_untagged_parents(store, line):
    store.references.add_tag("base", line[0])
    store.references.add_tag("top", line[2])
    assert remove_image(store, "top") == [
        DeleteResponse(untagged="top:latest"),
        DeleteResponse(deleted=line[2]),
        DeleteResponse(deleted=chain(3)),
        DeleteResponse(deleted=line[1]),
        DeleteResponse(deleted=chain(2)),
    ]
    assert list(store.map()) == [line[0]]
    assert [layer.chain_id for layer in store.layers.page()] == [chain(1)]


def test_parents_stay_if_that_is_asked_for(store, line):
    store.references.add_tag("top", line[2])
    assert lines(remove_image(store, "top", prune=False)) == [
        "Untagged: top:latest",
        f"Deleted: {line[2]}",
        f"Deleted: {chain(3)}",
    ]
    assert set(store.map()) == set(line[:2])


def test_a_parent_with_another_child_stays(store, line):
    other = store.create(make_config("other", layers=2))
    store.set_parent(other, line[0])
    assert lines(remove_image(store, line[2])) == [
        f"Deleted: {line[2]}",
        f"Deleted: {chain(3)}",
        f"Deleted: {line[1]}",
    ]
    assert set(store.map()) == {line[0], other}
    assert lines(remove_image(store, other))[-2:] == [f"Deleted: {line[0]}", f"Deleted: {chain(1)}"]


def test_what_others_are_built_on_loses_its_name_only(store, line):
    store.references.add_tag("base", line[0])
    assert lines(remove_image(store, "base")) == ["Untagged: base:latest"]
    assert len(store) == 3


def test_with_the_last_tag_of_a_repository_go_its_digests(store, line):
    for name in ("app:1", "app:2", "other:1"):
        store.references.add_tag(name, line[2])
    for name in (f"app@{DIGEST}", f"other@{DIGEST}"):
        store.references.add_digest(name, line[2])
    assert lines(remove_image(store, "app:2")) == ["Untagged: app:2"]
    assert lines(remove_image(store, "app:1")) == ["Untagged: app:1", f"Untagged: app@{DIGEST}"]
    assert set(names(store)) == {"other:1", f"other@{DIGEST}"}
    assert lines(remove_image(store, f"other@{DIGEST}")) == [f"Untagged: other@{DIGEST}"]
    assert lines(remove_image(store, "other:1"))[:2] == ["Untagged: other:1", f"Deleted: {line[2]}"]


def test_the_last_digest_takes_the_image(store, line):
    store.references.add_digest(f"app@{DIGEST}", line[2])
    assert lines(remove_image(store, f"app:1@{DIGEST}", prune=False)) == [
        f"Untagged: app@{DIGEST}",
        f"Deleted: {line[2]}",
        f"Deleted: {chain(3)}",
    ]


def test_what_is_freed_has_sizes_as_numbers(store, line):
    store._bind.write(sizes.set_many, [(chain(layers), 10**layers) for layers in (1, 2, 3)])
    freed = store.delete(line[2])
    assert [(layer.size, layer.diff_size) for layer in freed] == [(1110, 1000)]
    assert all(type(layer.size) is int for layer in freed)


# rmi by ID


def test_an_id_takes_its_only_name(store, line):
    store.references.add_tag("app:1", line[2])
    store.references.add_digest(f"app@{DIGEST}", line[2])
    assert lines(remove_image(store, line[2].hex[:12], prune=False)) == [
        "Untagged: app:1",
        f"Untagged: app@{DIGEST}",
        f"Deleted: {line[2]}",
        f"Deleted: {chain(3)}",
    ]


@pytest.mark.parametrize("second", ["app:2", "other:1", f"other@{DIGEST}"])
def test_several_names_go_only_if_forced(store, line, second):
    store.references.add_tag("app:1", line[2])
    add = store.references.add_digest if "@" in second else store.references.add_tag
    add(second, line[2])
    with pytest.raises(MultipleReferencesError) as caught:
        remove_image(store, line[2])
    short = line[2].hex[:12]
    assert str(caught.value) == (
        f"conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"
    )
    assert len(names(store)) == 2
    done = lines(remove_image(store, line[2], force=True, prune=False))
    assert done == ["Untagged: app:1", f"Untagged: {second}", f"Deleted: {line[2]}", f"Deleted: {chain(3)}"]


def test_digests_of_one_repository_are_one_name(store, line):
    for name in (f"app@{DIGEST}", f"app@{make_digest('another')}"):
        store.references.add_digest(name, line[2])
    assert len(lines(remove_image(store, line[2], prune=False))) == 4


@pytest.mark.parametrize("force", [False, True])
def test_an_image_with_children_stays_and_they_are_named(store, line, force):
    store.references.add_tag("base", line[0])
    with pytest.raises(DependentChildrenError) as caught:
        remove_image(store, line[0], force=force)
    assert (caught.value.image_id, caught.value.children) == (line[0], (line[1],))
    assert str(caught.value).startswith(
        f"conflict: unable to delete {line[0].hex[:12]} (cannot be forced) - image has dependent child images"
    )
    assert names(store) == {"base:latest": line[0]}


def test_many_children_are_not_all_named():
    error = DependentChildrenError(make_digest(), [make_digest(number) for number in range(25)])
    assert "and 15 more; remove them first" in str(error)
    assert len(error.children) == 25


def test_an_awaited_image_has_no_children(store):
    parent, child = store.create_many([make_config("parent"), make_config("child")])
    store.backend.set_metadata(child, "parent", make_digest().encode())
    remove_image(store, child)
    assert list(store.map()) == [parent]


# Where it may run


def test_a_callers_transaction_is_joined(store, line):
    store.references.add_tag("top", line[2])
    with pytest.raises(KeyError), store.begin() as joined:
        assert len(remove_image(joined, "top")) > 1
        assert list(joined.map()) == []
        raise KeyError
    assert names(store) == {"top:latest": line[2]}
    assert len(store) == 3


def test_a_conflict_in_a_callers_transaction_takes_nothing_back_but_itself(store, line):
    with store.begin() as joined:
        tag_image(joined, line[0], "base")
        with pytest.raises(DependentChildrenError):
            remove_image(joined, line[0])
    assert names(store) == {"base:latest": line[0]}


def test_stores_that_have_no_transactions_are_refused(store, tmp_path):
    held = Store(store.engine, layer_stores={"linux": RecordingLayerStore()})
    with Store.restore(FSBackend(tmp_path)) as restored:
        for other in (held, restored):
            image_id = other.create(make_config())
            with pytest.raises(UnusableBindError):
                tag_image(other, image_id, "app")
            with pytest.raises(UnusableBindError):
                remove_image(other, image_id)
            assert image_id in other
        with pytest.raises(UnusableBindError, match="no references"):
            restored.references  # noqa: B018


# Several at once


def wait_until_blocked(url):
    """Until another connection to the database waits for a lock."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        while not connection.exec_driver_sql(WAITING).scalar():
            pass
    engine.dispose()


def beside(store, block, call):
    """Call in another thread while a transaction is open that has done the block's work; returns the future."""
    with ThreadPoolExecutor(1) as thread:
        with store.begin() as joined:
            block(joined)
            future = thread.submit(call)
            if store.engine.dialect.name == "postgresql":
                wait_until_blocked(store.engine.url)
        future.exception()
    return future


def test_a_child_that_comes_meanwhile_is_waited_for(store):
    parent, child = store.create_many([make_config("parent"), make_config("child")])
    removal = beside(store, lambda joined: joined.set_parent(child, parent), lambda: remove_image(store, parent))
    with pytest.raises(DependentChildrenError):
        removal.result()
    assert store.children(parent) == [child]


def test_a_name_that_comes_meanwhile_is_waited_for(store):
    image_id = store.create(make_config())
    store.references.add_tag("app:1", image_id)
    removal = beside(
        store, lambda joined: joined.references.add_tag("other:1", image_id), lambda: remove_image(store, "app:1")
    )
    assert lines(removal.result()) == ["Untagged: app:1"]
    assert names(store) == {"other:1": image_id}


def test_a_name_that_moves_meanwhile_is_read_again(store):
    one, other = store.create_many([make_config("one"), make_config("other")])
    store.references.add_tag("app:1", one)
    removal = beside(
        store,
        lambda joined: joined.references.add_tag("app:1", other, force=True),
        lambda: remove_image(store, "app:1"),
    )
    assert lines(removal.result()) == ["Untagged: app:1", f"Deleted: {other}"]
    assert list(store.map()) == [one]


def test_an_image_that_goes_meanwhile_gets_no_name(store):
    image_id = store.create(make_config())
    tagging = beside(store, lambda joined: joined.delete(image_id), lambda: tag_image(store, image_id, "app:1"))
    with pytest.raises(ImageNotFoundError):
        tagging.result()
    assert names(store) == {}


def test_of_two_that_set_one_tag_the_second_is_told(store):
    one, other = store.create_many([make_config("one"), make_config("other")])
    second = beside(
        store,
        lambda joined: joined.references.add_tag("app:1", one),
        lambda: store.references.add_tag("app:1", other),
    )
    assert f"already set to image {one}" in str(second.exception())
    assert names(store) == {"app:1": one}


def test_of_two_that_force_one_tag_the_second_counts(store):
    one, other = store.create_many([make_config("one"), make_config("other")])
    second = beside(
        store,
        lambda joined: joined.references.add_tag("app:1", one, force=True),
        lambda: store.references.add_tag("app:1", other, force=True),
    )
    assert second.result() is None
    assert names(store) == {"app:1": other}


def test_a_tag_that_is_taken_back_is_free(store):
    one, other = store.create_many([make_config("one"), make_config("other")])

    def take_back(joined):
        joined.references.add_tag("app:1", one)
        joined.references.delete("app:1")

    beside(store, take_back, lambda: store.references.add_tag("app:1", other)).result()
    assert names(store) == {"app:1": other}
