"""Docker's repositories.json: read as a daemon reads it, and written as one writes it."""

from __future__ import annotations

import json
import tarfile

import pytest

from imagestore.docker import repositories
from imagestore.errors import UnusableDataRootError
from imagestore.reference import Reference
from imagestore.sql.references import Association
from imagestore.testing.makers import make_digest
from tests.docker.tars import DOCKER_ROOT

ONE, OTHER, DIGEST = make_digest("one"), make_digest("other"), make_digest("a manifest")


def parse(text):
    damaged: list[str] = []
    found = repositories.parse(text if isinstance(text, bytes) else text.encode(), damaged)
    return {each.reference.familiar: each.image_id for each in found}, damaged


def document(names):
    return json.dumps({"Repositories": {"app": names}})


def associations(names):
    return [Association(Reference.parse(name), image_id) for name, image_id in names.items()]


@pytest.fixture
def example():
    with tarfile.open(DOCKER_ROOT) as tar:
        return tar.extractfile("image/vfs/repositories.json").read()


def test_what_a_daemon_wrote_comes_back_byte_for_byte(example, tmp_path):
    damaged: list[str] = []
    found = repositories.parse(example, damaged)
    assert (len(found), damaged) == (9, [])
    assert [str(each.reference) for each in found] == sorted(str(each.reference) for each in found)
    assert repositories.encode(found) == example
    repositories.write(tmp_path, found)
    assert (tmp_path / "repositories.json").read_bytes() == example
    assert (tmp_path / "repositories.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["repositories.json"]


def test_the_form_is_gos():
    names = {"app:1": ONE, f"app@{DIGEST}": ONE, "team/app:1": OTHER, "app-b:2": OTHER, "host.test:5000/a:1": ONE}
    assert repositories.encode(associations(names)).decode() == (
        '{"Repositories":{'
        f'"app":{{"app:1":"{ONE}","app@{DIGEST}":"{ONE}"}},'
        f'"app-b":{{"app-b:2":"{OTHER}"}},'
        f'"host.test:5000/a":{{"host.test:5000/a:1":"{ONE}"}},'
        f'"team/app":{{"team/app:1":"{OTHER}"}}}}}}'
    )
    assert repositories.encode([]) == b'{"Repositories":{}}'
    assert parse(repositories.encode(associations(names))) == (names, [])


@pytest.mark.parametrize(
    "text",
    [
        '{"Repositories":{}}',
        '{"Repositories":null}',
        '{"Repositories":{"app":null}}',
        '{"Repositories":{"app":{}}}',
        "{}",
        "null",
        ' {"other":[1,{"x":null}]} ',
        '{"jsonPath":"x"}',
    ],
)
def test_nothing_is_no_error(text):
    assert parse(text) == ({}, [])


@pytest.mark.parametrize(
    "text",
    [
        '{"repositories":{"app":{"app:1":"%s"}}}',
        '{"REPOSITORIES":{"app":{"app:1":"%s"}}, "x":1}',
        '{"Repositories":{"app":{"app:1":"no digest","app:1":"%s"}}}',
        '{"Repositories":{"app":{"app:2":"x"},"app":{"app:1":"%s"}}}',
        '{"Repositories":{"other":null},"Repositories":{"app":{"app:1":"%s"}}}',
        '{"Repositories":{"app":{"app:1":"%s"}},"Repositories":{}}',
        '{"Repositories":{"app":{"app:1":"%s"}}} {"Repositories":5} trailing',
    ],
)
def test_it_is_read_as_go_reads_it(text):
    assert parse(text % ONE) == ({"app:1": ONE}, [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "5",
        '"x"',
        "{",
        '{"Repositories":{"app":{"app:1":',
        '{"Repositories":[]}',
        '{"Repositories":{"app":[]}}',
        '{"Repositories":{"app":{"app:1":5}}}',
        '{"Repositories":{"app":"app:1"}}',
        b"\xef\xbb\xbf{}",
        b"\0",
        b'{"x":' + b"[" * 10_001,
    ],
)
def test_what_no_daemon_could_read(text, tmp_path):
    with pytest.raises(UnusableDataRootError, match=r"repositories[.]json: "):
        parse(text)
    data = text if isinstance(text, bytes) else text.encode()
    (tmp_path / "repositories.json").write_bytes(data)
    damaged: list[str] = []
    assert repositories.read(tmp_path, damaged) == []
    assert len(damaged) == 1
    with pytest.raises(UnusableDataRootError, match="move it away"):
        repositories.write(tmp_path, associations({"app:1": ONE}))
    assert (tmp_path / "repositories.json").read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == ["repositories.json"]


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("app:2", ""),
        ("app:2", "sha256:abc"),
        ("app:2", "sha512:" + "0" * 128),
        ("app:2", DIGEST.hex),
        ("App:2", ONE),
        ("", ONE),
        ("app", ONE),
        ("other:1", ONE),
        ("docker.io/library/app:2", ONE),
        (f"app:2@{DIGEST}", ONE),
        ("app:2\0", ONE),
        ("../app:2", ONE),
    ],
)
def test_a_damaged_entry_is_told_and_all_others_come(name, image):
    found, damaged = parse(document({"app:1": ONE, name: image, "app:3": OTHER}))
    assert found == {"app:1": ONE, "app:3": OTHER}
    assert len(damaged) == 1
    assert repr(name) in damaged[0]


def test_names_that_are_there_stay(tmp_path):
    repositories.write(tmp_path, associations({"app:1": ONE, "app:2": ONE}))
    repositories.write(tmp_path, associations({"app:2": OTHER, "b:1": OTHER}))
    damaged: list[str] = []
    found = repositories.read(tmp_path, damaged)
    assert {each.reference.familiar: each.image_id for each in found} == {"app:1": ONE, "app:2": OTHER, "b:1": OTHER}
    assert damaged == []


def test_what_is_no_file(tmp_path):
    damaged: list[str] = []
    assert repositories.read(tmp_path, damaged) == []
    assert damaged == []
    (tmp_path / "repositories.json").mkdir()
    assert repositories.read(tmp_path, damaged) == []
    assert "no regular file" in damaged[0]


def test_a_file_without_measure_is_not_read(tmp_path):
    with (tmp_path / "repositories.json").open("wb") as file:
        file.truncate(repositories.LARGEST + 1)
    damaged: list[str] = []
    assert repositories.read(tmp_path, damaged) == []
    assert str(repositories.LARGEST) in damaged[0]
