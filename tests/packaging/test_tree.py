"""What must be in no file of the project, and how its requirements are pinned."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Put together here, or this file would be a finding.
HOSTS = re.compile(
    r"(py" + r"pi\.org|python" + r"hosted\.org|deb\.deb" + r"ian\.org|npm" + r"js\.(org|com)|(?<!emit-)index" + r"-url)"
)
# A home or a work folder of some machine. What Go's vectors and Docker's configurations hold is data.
MACHINES = re.compile(r"(?<![\w.}>-])/(" + "home|Users|" + r"root|work)/[\w.]")
DATA = re.compile(r"tests/golden/.*\.json|examples/.*")


def tracked():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def found(pattern):
    hits = []
    for name in tracked():
        if not DATA.fullmatch(name):
            text = (ROOT / name).read_bytes().decode("utf-8", "replace")
            hits += [f"{name}: {line.strip()[:100]}" for line in text.splitlines() if pattern.search(line)]
    return hits


def test_no_file_names_a_package_registry():
    assert found(HOSTS) == []


def test_no_file_names_a_folder_of_some_machine():
    assert found(MACHINES) == []


@pytest.mark.parametrize(
    "text", ["/home/" + "me/x", "cd /root/" + ".cache", "'/work/" + "main'", 'p = "/Users/' + 'me"']
)
def test_such_a_folder_would_be_found(text):
    assert MACHINES.search(text)


def pinned(name):
    """The versions in a file of requirements, each of which must have a hash."""
    lines = (ROOT / "requirements" / name).read_text().replace("\\\n", "").splitlines()
    versions = {}
    for line in lines:
        match = re.fullmatch(r"([a-z0-9-]+)==([\w.]+)(?: ; [^;]*?)?((?:\s+--hash=sha256:[0-9a-f]{64})+)\s*", line)
        assert match, f"{name}: {line[:100]}"
        versions[match[1]] = match[2]
    return versions


@pytest.mark.parametrize("extra", ["test", "lint"])
def test_every_dependency_is_pinned_with_hashes(extra):
    wanted = PROJECT["dependencies"] + PROJECT["optional-dependencies"][extra]
    names = {re.split(r"[^\w.-]", requirement)[0].replace(".", "-") for requirement in wanted}
    assert names <= set(pinned(f"{extra}.txt"))


def test_both_files_pin_the_same_versions():
    test, lint = pinned("test.txt"), pinned("lint.txt")
    assert {name: (test[name], lint[name]) for name in test.keys() & lint.keys() if test[name] != lint[name]} == {}


def test_the_test_extra_has_all_of_binary_and_cli():
    extras = PROJECT["optional-dependencies"]
    assert {*extras["binary"], *extras["cli"]} <= set(extras["test"])


def test_the_changelog_gives_each_dependency_a_reason():
    wanted = PROJECT["dependencies"] + [
        requirement for extra in PROJECT["optional-dependencies"].values() for requirement in extra
    ]
    names = {re.split(r"[^\w.-]", requirement)[0] for requirement in wanted}
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert {name for name in names if f"`{name}`" not in changelog} == set()


def test_the_version_is_told_once():
    assert version("imagestore") == PROJECT["version"]
