"""A folder that keeps content, also one that others have been at."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from imagestore.content.local import LocalContent
from imagestore.errors import UnusableContentError
from imagestore.testing.content import ContentContract

ONE = "1" * 32


class TestLocalContent(ContentContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path_factory):
        self.new_folder = lambda: tmp_path_factory.mktemp("place") / "deeper" / "content"

    def make_content(self):
        return LocalContent(self.new_folder())

    def reopen(self, content):
        return LocalContent(str(content))


@pytest.fixture
def content(tmp_path):
    content = LocalContent(tmp_path / "content")
    content.claim(ONE)
    return content


def test_nobody_else_may_look_into_it(content, tmp_path):
    content.write("a", [b"a"])
    assert stat.S_IMODE((tmp_path / "content" / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "content" / "data" / "a").stat().st_mode) == 0o600


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: path.symlink_to("/etc/passwd")])
def test_what_is_no_file_is_refused(content, tmp_path, make):
    path = tmp_path / "content" / "data" / "a"
    make(path)
    with pytest.raises(UnusableContentError, match="is no file"):
        content.open("a").close()
    with pytest.raises(FileExistsError):
        content.write("a", [b"data"])


@pytest.mark.parametrize("found", [b"", b"not an identity", b"1" * 31, b"\xff" * 32])
def test_a_damaged_identity_is_refused(content, tmp_path, found):
    (tmp_path / "content" / "identity").write_bytes(found)
    with pytest.raises(UnusableContentError, match="holds no identity"):
        _ = content.identity


def test_names_that_no_store_gives_are_not_ours(content, tmp_path):
    (tmp_path / "content" / "data" / ".nfs0001").touch()
    assert list(content.names()) == []


CLAIM = """
import sys
from imagestore.content.local import LocalContent
sys.stdin.readline()
print(LocalContent(sys.argv[1]).claim(sys.argv[2]))
"""


def test_of_ten_processes_that_claim_it_one_does(tmp_path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM, tmp_path / "content", f"{number:032x}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(10)
    ]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    found = {process.communicate()[0].strip() for process in processes}
    assert found == {LocalContent(tmp_path / "content").identity}
    assert sorted(path.name for path in (tmp_path / "content").iterdir()) == ["data", "identity"]
