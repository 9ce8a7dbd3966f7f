"""Each write of a store over Docker's directory with the Nth file operation failing once, for every N until none is left to fail.

Afterwards the store answers what the directory has, and that is what was before, or what is to be; the second try succeeds. Only a delete
may have unlinked some of the children: a backend has no transactions.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path

import pytest

from imagestore.backends.filesystem import FSBackend
from imagestore.digest import ImageID
from imagestore.errors import ImageNotFoundError
from imagestore.store import Store
from imagestore.testing.makers import make_config
from tests.backends.faults import failing
from tests.backends.state import contents_of

CONFIGS = {name: make_config(name) for name in "abcdex"}
A, B, C, D, E, X = (ImageID.from_bytes(config) for config in CONFIGS.values())
MEMORY = Path("/dev/shm")

WRITES = {
    "create": lambda store: store.create(CONFIGS["x"]),
    "create what exists": lambda store: store.create(CONFIGS["b"]),
    "delete with children": lambda store: store.delete(B),
    "delete without": lambda store: store.delete(C),
    "set_parent": lambda store: store.set_parent(C, A),
    "set_parent of a parent": lambda store: store.set_parent(B, E),
    "set_built_locally": lambda store: store.set_built_locally(B),
}


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory(prefix="imagestore-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def template(folder):
    """c > b > a and d > b, where ">" is "has the parent"."""
    with Store.restore(FSBackend(folder / "template")) as store:
        store.create_many(config for name, config in CONFIGS.items() if name != "x")
        for child, parent in ((B, A), (C, B), (D, B)):
            store.set_parent(child, parent)
    return folder / "template"


@contextlib.contextmanager
def copy_of(template):
    root = tempfile.mkdtemp(dir=template.parent)
    shutil.copytree(template, root, dirs_exist_ok=True)
    with Store.restore(FSBackend(root, create=False)) as store:
        yield store, Path(root)
    shutil.rmtree(root)


def answers(store):
    return {
        image_id: (image.raw_json, image.parent, store.children(image_id), store.is_built_locally(image_id))
        for image_id, image in store.map().items()
    }


def answers_from(root):
    """What a store answers that is restored anew."""
    found = contents_of(root)
    parents = {digest: metadata.get("parent", b"").decode() or None for digest, (_, metadata) in found.items()}
    return {
        digest: (
            data,
            parents[digest],
            [child for child in sorted(found) if parents[child] == digest],
            "builtLocally" in metadata,
        )
        for digest, (data, metadata) in found.items()
    }


@pytest.mark.parametrize("name", WRITES)
def test_a_write_is_whole_or_not_at_all(template, name):
    write = WRITES[name]
    with copy_of(template) as (store, root):
        before = answers(store)
        assert before == answers_from(root)
        write(store)
        after = answers(store)
    operations = set()
    for number in range(1, 1000):
        with copy_of(template) as (store, root):
            with failing(number) as fault, contextlib.suppress(OSError):
                write(store)
            if fault.operation is None:
                break
            told = f"{number}: {fault.operation}"
            operations.add(fault.operation)
            found = answers(store)
            assert found == answers_from(root), told
            assert found in (before, after) or name == "delete with children", told
            with contextlib.suppress(ImageNotFoundError):  # the second of two deletes
                write(store)
            assert answers(store) == answers_from(root) == after, told
    assert {"open", "fsync", "close"} <= operations
