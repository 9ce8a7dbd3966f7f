"""Each write of FSBackend, and of copy to it, with the Nth file operation failing once, for every N until none is left to fail.

Afterwards all is as it was before, or as it is to be; nothing half is there, and the second try succeeds.
"""

from __future__ import annotations

import contextlib

import pytest

from imagestore.backend import copy
from imagestore.backends.filesystem import FSBackend
from imagestore.digest import Digest
from imagestore.docker.data_root import export_data_root, import_data_root
from imagestore.errors import BlobNotFoundError
from tests.backends.faults import OPERATIONS, failing
from tests.backends.state import contents_of, leftovers, tree

OLD, NEW, CHILD = b"old blob" * 100, b"new blob" * 100, b"child"
OLD_DIGEST, NEW_DIGEST, CHILD_DIGEST = (Digest.from_bytes(data) for data in (OLD, NEW, CHILD))


def prepare(root):
    backend = FSBackend(root)
    backend.set(OLD)
    for key in ("a", "b", "c"):
        backend.set_metadata(OLD_DIGEST, key, key.encode() * 100)
    backend.set(CHILD)
    backend.set_metadata(CHILD_DIGEST, "parent", OLD_DIGEST.encode())
    return backend


WRITES = {
    "set": lambda backend: backend.set(NEW),
    "set again": lambda backend: backend.set(OLD),
    "set_metadata": lambda backend: backend.set_metadata(OLD_DIGEST, "d", b"value"),
    "set_metadata of another": lambda backend: backend.set_metadata(CHILD_DIGEST, "a", b"value"),
    "set_metadata again": lambda backend: backend.set_metadata(OLD_DIGEST, "b", b"value"),
    "delete_metadata": lambda backend: backend.delete_metadata(OLD_DIGEST, "b"),
    "delete": lambda backend: backend.delete(OLD_DIGEST),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_write_is_whole_or_not_at_all(tmp_path, name):
    write = WRITES[name]
    before = contents_of_new(tmp_path / "before")
    write(prepare(tmp_path / "after"))
    after = contents_of(tmp_path / "after")
    failed = set()
    for number in range(1, 1000):
        root = tmp_path / str(number)
        backend = prepare(root)
        with failing(number) as fault:
            if run(write, backend) is None and fault.operation is None:
                break
        failed.add(fault.operation)
        found = contents_of(root)
        assert found in (before, after), f"{number}: {fault.operation}"
        if found == before:
            assert leftovers(root) == [], f"{number}: {fault.operation}"
        try:
            write(backend)
        except BlobNotFoundError:
            assert name == "delete"
            assert found == after
        assert contents_of(root) == after
    assert {"open", "fsync", "close"} <= failed <= set(OPERATIONS)
    assert number > 4


def contents_of_new(root):
    prepare(root)
    return contents_of(root)


def run(write, *arguments):
    """The error of the disk that the write has raised, if any."""
    try:
        write(*arguments)
    except OSError as error:
        return error
    return None


def test_an_opening_is_repeated(tmp_path):
    FSBackend(tmp_path / "after" / "imagedb")
    for number in range(1, 1000):
        root = tmp_path / str(number) / "imagedb"
        with failing(number) as fault:
            if run(FSBackend, root) is None and fault.operation is None:
                break
        FSBackend(root)
        assert tree(root) == tree(tmp_path / "after" / "imagedb")
    assert number > 10


def copied(tmp_path, target):
    copy(FSBackend(tmp_path / "source", create=False), FSBackend(target))


def imported(tmp_path, target):
    import_data_root(tmp_path / "source", FSBackend(target))


def exported(tmp_path, target):
    export_data_root(FSBackend(tmp_path / "source", create=False), target)


@pytest.mark.parametrize("job", [copied, imported, exported])
def test_a_copy_goes_on_where_it_was(tmp_path, job):
    source = tmp_path / "source"
    prepare(source)
    whole, wholes = contents_of(source), tree(source)
    seen = set()
    for number in range(1, 1000):
        target = tmp_path / "targets" / str(number)
        with failing(number) as fault:
            if run(job, tmp_path, target) is None and fault.operation is None:
                break
        seen.add(fault.operation)
        root = target / "imagedb" if job is exported else target
        with contextlib.suppress(FileNotFoundError):  # it had not come to making it
            for digest, (data, metadata) in contents_of(root).items():
                assert whole[digest][0] == data
                assert metadata.items() <= whole[digest][1].items()
                if metadata:
                    assert len(contents_of(root)) == len(whole), "metadata came before the last blob"
            assert leftovers(root) == []
        job(tmp_path, target)
        assert tree(root) == wholes
        assert tree(source) == wholes
    assert {"mkdir", "write", "fsync", "replace"} <= seen
    assert number > 50
