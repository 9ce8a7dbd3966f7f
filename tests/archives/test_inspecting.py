"""`inspect` and `load` agree on every recorded archive: on the images and their tags, and on what is refused."""

from __future__ import annotations

import io
import json

import pytest

from imagestore.archive import Limits, inspect, load
from imagestore.errors import InvalidError
from imagestore.testing.makers import make_config, make_layer
from tests.archives.built import tar
from tests.archives.conftest import Pipe, empty
from tests.archives.layouts import Layout, named
from tests.archives.recorded import ARCHIVES, cases

CASES = {f"{folder}{case['file']}": case for folder in ("", "oci/") for case in cases(f"{folder}cases.json").values()}


@pytest.mark.parametrize("file", CASES)
@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_a_recorded_archive(file, kind, emptied):
    platform = CASES[file].get("platform")

    def archive():
        path = ARCHIVES / file
        return path if kind == "file" else Pipe(path.read_bytes())

    found = inspect(archive(), platform=platform, verify=True)
    refusal = None
    try:
        load(emptied, archive(), platform=platform)
    except InvalidError as error:
        refusal = str(error)
    assert [problem.text for problem in found.problems[:1]] == ([refusal] if refusal else [])
    stored = set(emptied.map())
    images = {each.image.image_id for each in found.images}
    assert stored <= images if refusal else stored == images
    for each in found.images:
        assert (
            each.image.raw_json == emptied.get(each.image.image_id).raw_json
            if each.image.image_id in stored
            else refusal
        )
        assert len(each.layers) == len(each.image.rootfs.diff_ids if each.image.rootfs else ())
    tags = {tag: each.image.image_id for each in found.images for tag in each.tags}
    if not refusal:
        assert {tag: emptied.references.get(str(tag)) for tag in tags} == tags
        assert sum(len(emptied.references.references(image)) for image in stored) == len(tags)
    empty(emptied)


class Counted(io.BytesIO):
    """A file that counts what is read of it."""

    count = 0

    def read(self, size=-1, /):
        data = super().read(size)
        self.count += len(data)
        return data


def test_of_a_file_no_layer_is_read():
    layout = Layout()
    layout.add(layout.image(layers=[make_layer(size=3_000_000)], **named("app:1")))
    file = Counted(layout.tar())
    (found,) = inspect(file).images
    assert [layer.size for layer in found.layers] == [len(make_layer(size=3_000_000))]
    assert file.count < 20_000
    inspect(file := Counted(layout.tar()), verify=True)
    assert file.count > 3_000_000


def test_behind_a_bad_image_it_goes_on():
    manifest = [
        {"Config": f"{name}.json", "Layers": ["gone"] if name == "b" else [], "RepoTags": [tag]}
        for name, tag in (("a", "a:1"), ("b", "b:1"), ("c", "App:1"), ("d", "d:1"))
    ]
    files = {str(each["Config"]): make_config(str(each["Config"]), layers=len(each["Layers"])) for each in manifest}
    found = inspect(io.BytesIO(tar({**files, "manifest.json": json.dumps(manifest).encode()})), verify=True)
    assert [[tag.familiar for tag in each.tags] for each in found.images] == [["a:1"], ["b:1"], [], ["d:1"]]
    assert [problem.reason for problem in found.problems] == ["missing-blob", "invalid-reference"]
    (layer,) = found.images[1].layers
    assert (layer.name, layer.size, layer.compression) == ("gone", 0, None)


def test_a_limit_is_a_problem():
    found = inspect(ARCHIVES / "two-images.tar", limits=Limits(images=1))
    assert [problem.reason for problem in found.problems] == ["limit"]


def test_no_platform_is_written_so():
    with pytest.raises(InvalidError):
        inspect(ARCHIVES / "oci" / "platforms-default.tar", platform="linux")
