"""Archives that are odd in one place each, loaded here and by a real docker 20.10: lines, refusals, images, tags and parents.

variants.json has what the daemon has made of them; a test asks one again, with ``-m interop``.
"""

from __future__ import annotations

import io
import json

import pytest

from imagestore.archive.loading import load
from imagestore.archive.messages import Line
from imagestore.errors import ImageStoreError
from tests.archives.conftest import leftovers
from tests.archives.recorded import differences
from tests.archives.test_docker_cases import DIFFERENCES, without_folder
from tests.archives.variants import ANSWERS, VARIANTS, answers

RECORDED = json.loads(ANSWERS.read_text())

DIFFERENT = {
    "load-panic": {
        "configurations/os LINUX x",
        "configurations/os foo",
        "configurations/os *",
        "configurations/os linux/amd64",
        "configurations/os Windows",
    },
    "load-layer-words": {
        "layers/text",
        "layers/a byte",
        "layers/cut",
        "layers/gzip cut",
        "layers/gzip checksum",
        "layers/gzip and more",
        "legacy/layer text",
    },
    "load-times": {"configurations/created text", "configurations/created number", "legacy/created"},
    "load-long-names": {"manifests/long", "entries/long name", "entries/long path", "entries/long link"},
    "load-tags": {"tags/with a digest", "tags/an algorithm", "legacy/repositories name with a digest"},
    "load-unpacked": {"layers/a mode", "layers/an unknown kind", "layers/a hard link to nothing"},
    "load-circles": {"parents/a circle"},
    "load-zones": {"parents/zone 0"},
}
"""The variants of which something else is made here, by the difference that ``docs/from-docker.md`` tells of."""


def outcome(store, archive):
    """What is made of an archive here, in the form of variants.json."""
    lines, error = [], None

    def report(message):
        if isinstance(message, Line):
            lines.append(message.text)

    try:
        load(store, io.BytesIO(archive), report=report)
    except ImageStoreError as refusal:
        error = str(refusal)
    images = store.map()
    if not images:
        store.collect()
        assert leftovers(store) == []
    tags = store.references.of_images(images)
    return {
        "lines": lines,
        "error": error,
        "images": sorted(
            [image_id, sorted(tag.familiar for tag in tags.get(image_id, ())), store.get_parent(image_id) or ""]
            for image_id in images
        ),
    }


@pytest.mark.parametrize("kept_store", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant(emptied, name):
    wanted, found = RECORDED[name], outcome(emptied, VARIANTS[name])
    met = {difference for difference, names in DIFFERENT.items() if name in names}
    if not met:
        assert {**found, "error": without_folder(found["error"] or "")} == {
            **wanted,
            "error": without_folder(wanted["error"] or ""),
        }
        return
    assert met <= differences("load")
    assert found != wanted
    if wanted is not None and not met & {"load-circles", "load-zones", "load-tags", "load-unpacked"}:
        assert (found["lines"], found["images"]) == (wanted["lines"], wanted["images"])
    if not met & {"load-zones", "load-unpacked"}:
        assert found["error"]
        assert len(found["error"]) < 1000


def test_the_list_of_differences_is_true():
    assert differences("load") == {*DIFFERENT, *DIFFERENCES}


def test_enough_has_been_compared():
    assert RECORDED.keys() == VARIANTS.keys()
    assert len(VARIANTS) > 200


@pytest.mark.interop
def test_a_daemon_says_so():
    assert answers() == RECORDED
