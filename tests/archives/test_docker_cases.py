"""cases.json: each archive that a real docker 20.10 was given, loaded here from a file and from a pipe, on both databases.

Exit code, lines and everything that is stored afterwards are docker's, also where it refuses. `DIFFERENCES` are those that
``docs/from-docker.md`` tells of.
"""

from __future__ import annotations

import io
import json
import re
from itertools import chain, repeat
from typing import NamedTuple

import pytest

from imagestore.archive.exporter import TarExporter
from imagestore.archive.loading import load
from imagestore.archive.messages import Line
from imagestore.container import CONFIG
from imagestore.digest import Digest
from imagestore.docker.summaries import layer_sizes, summaries
from imagestore.errors import ImageStoreError, InvalidArchiveError
from imagestore.gojson import encode
from imagestore.verify import verify
from tests.archives.conftest import Pipe, empty, leftovers
from tests.archives.recorded import ARCHIVES, HERE, cases, differences

CASES = cases("cases.json")

SOURCES = {
    "file": lambda path: path,
    "pipe": lambda path: Pipe(path.read_bytes()),
}

DIFFERENCES = {
    "load-folder": lambda case, said: "<IMPORT>" in said,
    "load-panic": lambda case, said: case.get("daemon_died") or case["api"]["status"] == 0 or "platform" in said,
    "load-oci": lambda case, said: "/blobs/json: no such file" in said,
    "load-layer-words": lambda case, said: "ApplyLayer" in said,
    "load-times": lambda case, said: said.startswith("parsing time "),
    "load-long-names": lambda case, said: "file name too long" in said,
}
"""Where docker does something else, by what is recorded."""

OTHER_WORDS = {"load-panic", "load-layer-words", "load-times", "load-long-names"}
"""Where it is refused here as well, in other words."""


class Outcome(NamedTuple):
    """What a command has come to."""

    code: int
    out: str
    error: ImageStoreError | None


def loaded(store, source):
    """Load an archive as the command does."""
    lines = []

    def report(message):
        if isinstance(message, Line):
            lines.append(message.text or "\n")

    try:
        load(store, source, report=report)
    except ImageStoreError as error:
        return Outcome(1, "".join(lines), error)
    return Outcome(0, "".join(lines), None)


def met_by(case):
    """The differences that a case meets."""
    return {name for name, applies in DIFFERENCES.items() if applies(case, case["load"]["stderr"])}


def disagreement(case, wanted, outcome):
    """Compare an outcome with what is recorded; the differences that it meets."""
    said = wanted["stderr"].removesuffix("\n")
    met = met_by(case)
    if "load-oci" in met:
        assert outcome.code == 0
    elif "load-panic" in met:
        assert isinstance(outcome.error, InvalidArchiveError)
    else:
        assert (outcome.code, outcome.out) == (wanted["exit"], wanted["stdout"])
        if not met & OTHER_WORDS:
            assert without_folder(str(outcome.error or "")) == without_folder(said)
    return met


def without_folder(text):
    """What is said of a file, without the folder into which docker has unpacked it."""
    outside = re.sub(r"(evalSymlinksInScope: )\S+ is not in (?:<IMPORT>|the archive)", r"\1", text)
    return outside.replace("<IMPORT>/", "").replace("<IMPORT>", ".")


def state_of(store):
    """All that is stored, in the form of the Engine API."""
    with store.reading() as snapshot:
        found = sorted(summaries(snapshot, everything=True), key=lambda each: each.image.image_id)
        names = {each.image.image_id: [tag.familiar for tag in each.tags] for each in found}
        return {
            "images": [inspected(each) for each in found],
            "history": {each.image.image_id: history_of(snapshot, each.image, names) for each in found},
            "list": [listed(each) for each in found],
        }


def inspected(of):
    image = of.image
    return {
        "Id": image.image_id,
        "RepoTags": [tag.familiar for tag in of.tags],
        "RepoDigests": [digest.familiar for digest in of.digests],
        "Parent": image.parent or "",
        "Created": str(image.created),
        "Author": image.author,
        "Comment": image.comment or (image.history[-1].comment if image.history else ""),
        "Os": image.operating_system,
        "Architecture": image.architecture,
        "DockerVersion": image.docker_version,
        "Size": of.size,
        "VirtualSize": of.size,
        "RootFS": {"Type": image.rootfs.type, **({"Layers": list(image.rootfs.diff_ids)} if image.stack else {})},
        "Config": image.config and json.loads(encode(CONFIG, image.config)),
    }


def history_of(store, image, names):
    sizes = iter(layer_sizes(store, image))
    made = chain([image.image_id, *store.lineage.ancestors(image.image_id)], repeat("<missing>"))
    steps = [(step, 0 if step.empty_layer else next(sizes)) for step in image.history]
    return [
        {
            "Comment": step.comment,
            "Created": seconds(step.created),
            "CreatedBy": step.created_by,
            "Id": image_id,
            "Size": size,
            "Tags": names.get(image_id) or None,
        }
        for (step, size), image_id in zip(reversed(steps), made, strict=False)
    ]


def listed(of):
    image = of.image
    return {
        "Containers": -1,
        "Created": seconds(image.created),
        "Id": image.image_id,
        "Labels": image.config and image.config.labels,
        "ParentId": image.parent or "",
        "RepoDigests": [digest.familiar for digest in of.digests] or None,
        "RepoTags": [tag.familiar for tag in of.tags] or None,
        "SharedSize": -1,
        "Size": of.size,
        "VirtualSize": of.size,
    }


def seconds(time):
    return int(time.to_datetime().timestamp())


def unordered(state):
    """The same, with what comes in any order in order, and with what docker shows in place of no name as none."""
    listed = [
        {**each, **{key: None for key in ("RepoTags", "RepoDigests") if "<none>" in str(each[key])}}
        for each in state["list"]
    ]
    return {
        "images": sorted(state["images"], key=lambda each: each["Id"]),
        "history": state["history"],
        "list": sorted(listed, key=lambda each: each["Id"]),
    }


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("name", CASES)
def test_a_case(emptied, name, kind):
    store, case = emptied, CASES[name]
    for before in case.get("before", ()):
        load(store, ARCHIVES / before)
    for wanted in (case["load"], *([case["again"]] if "again" in case else ())):
        met = disagreement(case, wanted, loaded(store, SOURCES[kind](ARCHIVES / case["file"])))
    assert met <= differences("load")
    if not met & {"load-oci", "load-panic"}:
        assert state_of(store) == unordered(case["state"])
    assert store.leases.page() == []
    store.collect()
    assert list(verify(store, content=True)) == []
    empty(store)
    assert leftovers(store) == []


@pytest.mark.parametrize("name", [name for name in CASES if not met_by(CASES[name]) & {"load-oci", *OTHER_WORDS}])
def test_the_messages_of_a_case(sqlite_stocked, name):
    case = CASES[name]
    out = io.BytesIO()
    failure = None
    try:
        TarExporter(sqlite_stocked).load(SOURCES["pipe"](ARCHIVES / case["file"]), out, quiet=True)
    except ImageStoreError as error:
        failure = str(error)
    messages = [json.loads(message) for message in out.getvalue().split(b"\r\n")[:-1]]
    dockers = [json.loads(message) for message in case["api"]["messages"]]
    if failure is not None:
        (text,) = {dockers[-1]["error"], dockers.pop()["errorDetail"]["message"]}
        assert without_folder(failure) == without_folder(text)
    assert messages == dockers
    if "api_state_ids" in case:
        assert sorted(sqlite_stocked.map()) == sorted(case["api_state_ids"])


def test_the_archives_are_those_that_the_daemon_was_given():
    for case in CASES.values():
        assert Digest.from_bytes((ARCHIVES / case["file"]).read_bytes()).hex == case["sha256"]


def test_enough_has_been_compared():
    assert len(CASES) >= 60 or ARCHIVES != HERE / "data"


def test_the_list_of_differences_is_true():
    met = set().union(*map(met_by, CASES.values()))
    assert met <= set(DIFFERENCES) <= differences("load")
