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
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "docker-compose.yml"):
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
    """Install into a fresh environment under ``folder``, run the probe there, and return what it found."""
    environment = folder / "environment"
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)}))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "--no-warn-script-location", *arguments], check=True, cwd=folder)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    probe = subprocess.run([python, "-c", PROBE], cwd=folder, env=clean, stdout=subprocess.PIPE, text=True, check=True)
    assert (environment / "bin" / "imagestore").is_file()
    return json.loads(probe.stdout)


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
    expect(install(["-e", tree], tmp_path), tree)


def test_an_editable_install_sees_a_new_revision(tree, tmp_path):
    """The tree's migrations are read, not the copy that the build leaves in site-packages."""
    expect(install(["-e", tree], tmp_path), tree)
    python = tmp_path / "environment" / "bin" / "python"
    ask = "import imagestore.migrate; print(imagestore.migrate.head())"
    head = subprocess.run([python, "-c", ask], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    new = tree / "migrations" / "versions" / "9999_probe.py"
    new.write_text(f"revision = '9999'\ndown_revision = {head!r}\ndef upgrade(): ...\ndef downgrade(): ...\n")
    try:
        assert (
            subprocess.run([python, "-c", ask], stdout=subprocess.PIPE, text=True, check=True).stdout.strip() == "9999"
        )
    finally:
        new.unlink()
