"""What is installed, in each way to install it: the wheel, the wheel of the sdist, the tree itself (editable).

Nothing is downloaded: each goes into a virtual environment of its own, which finds the dependencies where the tests have them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROBE = """
import importlib.metadata, importlib.resources, json, sys
import imagestore.migrate
from imagestore import Store
with Store.open("sqlite:///probe.db") as store:
    store.create(b'{"os":"linux","rootfs":{"type":"layers"}}')
    with store.engine.connect() as connection:
        current = imagestore.migrate.current(connection)
    count = len(store)
print(json.dumps({
    "folder": str(importlib.resources.files("imagestore")),
    "typed": importlib.resources.files("imagestore").joinpath("py.typed").is_file(),
    "version": importlib.metadata.version("imagestore"),
    "at_head": current == imagestore.migrate.head(),
    "images": count,
}))
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of what a build reads, so that nothing is left in the project."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tree)
    for name in ("imagestore", "migrations"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tree


def build(tree, target, folder):
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)], cwd=tree, check=True)
    (built,) = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return built


@pytest.fixture(scope="module")
def wheel(tree, tmp_path_factory):
    return build(tree, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tree, tmp_path_factory):
    return build(tree, "sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel_of_sdist(sdist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (unpacked,) = folder.iterdir()
    return build(unpacked, "wheel", tmp_path_factory.mktemp("wheel_of_sdist"))


def install(arguments, folder):
    """Install into a fresh environment under ``folder``, and return what the probe finds there."""
    environment = folder / "environment"
    venv.create(environment, symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)}))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-index", "--no-deps", "--no-build-isolation", *arguments], check=True, cwd=folder)
    assert (environment / "bin" / "imagestore").is_file()
    return probe(folder)


def probe(folder):
    python = folder / "environment" / "bin" / "python"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    (folder / "probe.db").unlink(missing_ok=True)
    done = subprocess.run([python, "-c", PROBE], cwd=folder, env=clean, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def expect(found, home):
    assert Path(found.pop("folder")).is_relative_to(home)
    assert found == {"typed": True, "version": "0.1.0", "at_head": True, "images": 1}


def test_the_wheel(wheel, tmp_path):
    expect(install([wheel], tmp_path), tmp_path / "environment")


def test_the_wheel_of_the_sdist(wheel_of_sdist, tmp_path):
    expect(install([wheel_of_sdist], tmp_path), tmp_path / "environment")


def test_both_wheels_are_the_same(wheel, wheel_of_sdist):
    contents = [
        {name: archive.read(name) for name in archive.namelist()}
        for archive in map(zipfile.ZipFile, (wheel, wheel_of_sdist))
    ]
    assert contents[0] == contents[1]


def test_the_wheel_has_the_package_and_nothing_beside_it(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {"imagestore", "imagestore-0.1.0.dist-info"}
    revisions = [path.name for path in (ROOT / "migrations" / "versions").glob("*.py")]
    assert revisions
    assert {f"imagestore/migrations/versions/{name}" for name in revisions} <= set(names)
    assert {
        "imagestore/migrations/env.py",
        "imagestore/py.typed",
        "imagestore-0.1.0.dist-info/licenses/LICENSE",
    } <= set(names)


def test_an_editable_install(tree, tmp_path):
    """It reads the tree's migrations, not the copy that its build leaves beside the dependencies."""
    expect(install(["-e", tree], tmp_path), tree)
    (copy,) = tmp_path.glob("environment/lib/*/site-packages/imagestore")
    shutil.rmtree(copy)
    expect(probe(tmp_path), tree)
