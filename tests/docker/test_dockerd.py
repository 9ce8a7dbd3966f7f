"""A real daemon reads what was exported, and what it then writes is read here."""

from __future__ import annotations

import json
import shutil
import tempfile
import urllib.parse
from pathlib import Path

import pytest

from imagestore.backends.filesystem import FSBackend
from imagestore.docker.data_root import export_data_root, import_data_root
from imagestore.gojson import GoTime
from imagestore.store import Store
from tests.backends.state import contents_of, tree
from tests.docker.daemon import daemon
from tests.docker.tars import DOCKER_ROOT, REPOSITORY, extract

pytestmark = pytest.mark.soak


@pytest.fixture
def folder():
    """A short name: that of a socket in it has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="imagestore-") as name:
        yield Path(name)


def test_a_daemon_goes_on_with_what_was_exported(sqlite_store, folder, tmp_path):
    expected = json.loads((REPOSITORY / "tests" / "data" / "docker-root.expected.json").read_text())
    example = extract(tmp_path / "example")
    import_data_root(DOCKER_ROOT, sqlite_store)
    for image_id in sqlite_store.map():
        sqlite_store.touch(image_id)  # a key that the daemon does not know
    driver = folder / "data" / "image" / "vfs"
    export_data_root(sqlite_store, driver)
    shutil.copytree(example / "image" / "vfs" / "layerdb", driver / "layerdb")
    exported = tree(driver / "imagedb")
    with daemon(folder) as docker:
        listed = {image["Id"]: image for image in docker.call("GET", "/images/json?all=1")}
        assert listed == {image["Id"]: image for image in expected["list"]}
        for image in expected["images"]:
            found = docker.inspect(image["Id"])
            assert {key: found[key] for key in image} == image
        assert tree(driver / "imagedb") == exported
        by_tag = {tag: image["Id"] for image in expected["images"] for tag in image["RepoTags"]}
        tagged, removed = by_tag["fam/top:1"], by_tag["reg.example.test:5000/a/b:1"]
        docker.call("POST", f"/images/{urllib.parse.quote(tagged)}/tag?repo=new&tag=1")
        docker.call("DELETE", f"/images/{urllib.parse.quote(removed)}")
    left = FSBackend(driver / "imagedb", create=False)
    assert set(left.walk()) == set(sqlite_store.map()) - {removed}
    assert GoTime.parse("2020-10-01T00:00:00Z") < GoTime.parse(left.get_metadata(tagged, "lastUpdated").decode())
    with Store.open("sqlite://") as store:
        assert import_data_root(folder / "data", store).left_out == ()
        named = {each.reference.familiar: each.image_id for each in store.references.stream()}
    assert named == {tag: image_id for tag, image_id in {**by_tag, "new:1": tagged}.items() if image_id != removed}
    import_data_root(folder / "data", FSBackend(tmp_path / "target"))
    assert contents_of(tmp_path / "target") == contents_of(driver / "imagedb")
