"""cases.json: each archive that a real docker 20.10 was given, loaded here from a file and from a pipe, on both databases.

Exit code, lines and everything that is stored afterwards are docker's, also where it refuses. `DIFFERENCES` are those that
``docs/from-docker.md`` tells of.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from datetime import UTC, datetime
from typing import NamedTuple

import pytest

from imagestore.archive.exporter import TarExporter
from imagestore.archive.loading import load
from imagestore.archive.messages import Line
from imagestore.cli.errors import run
from imagestore.digest import Digest
from imagestore.errors import ImageStoreError, InvalidArchiveError, InvalidLayerError
from imagestore.verify import verify
from tests.archives.conftest import Pipe, empty, leftovers
from tests.archives.recorded import ARCHIVES, cases, differences

CASES = cases("cases.json")

SOURCES = {
    "file": lambda path: path,
    "pipe": lambda path: Pipe(path.read_bytes()),
}

DIFFERENCES = {
    "load-folder": lambda case, said: "<IMPORT>" in said,
    "load-panic": lambda case, said: case.get("daemon_died") or case["api"]["status"] == 0,
    "load-oci": lambda case, said: "/blobs/json: no such file" in said,
    "load-layer-words": lambda case, said: "ApplyLayer" in said,
}
"""Where docker does something else, as it is recorded."""


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


def disagreement(case, wanted, outcome):
    """The differences that explain why an outcome is not the recorded one; none where it is."""
    said = wanted["stderr"].removesuffix("\n")
    met = {name for name, applies in DIFFERENCES.items() if applies(case, said)}
    if "load-panic" in met:
        assert isinstance(outcome.error, InvalidArchiveError)
        return met
    if "load-oci" in met:
        assert outcome.code == 0
        return met
    assert (outcome.code, outcome.out) == (wanted["exit"], wanted["stdout"])
    if "load-layer-words" in met:
        assert isinstance(outcome.error, InvalidLayerError)
    else:
        assert without_folder(str(outcome.error or "")) == without_folder(said)
    return met


def without_folder(text):
    """What is said of a file, without the folder into which docker has unpacked it."""
    outside = re.sub(r"(evalSymlinksInScope: )\S+ is not in (?:<IMPORT>|the archive)", r"\1", text)
    return outside.replace("<IMPORT>/", "").replace("<IMPORT>", ".")


def command(store, *arguments):
    """The JSON values that a command writes."""
    url = store.engine.url.render_as_string(hide_password=False)
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), "utf-8")) as out:
        assert run(["--store", url, *arguments]) == 0
    out.seek(0)
    text = out.read()
    return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]


def seconds(created_at):
    return int(datetime.strptime(created_at, "%Y-%m-%d %H:%M:%S +0000 UTC").replace(tzinfo=UTC).timestamp())


def check_state(store, state):
    """Compare all that is stored with what the daemon had."""
    wanted = {each["Id"]: each for each in state["images"]}
    assert set(store.map()) == set(wanted)
    if not wanted:
        return
    for ours in command(store, "inspect", *wanted):
        dockers = wanted[ours["Id"]]
        assert {key: ours[key] for key in dockers} == dockers
        check_history(store, ours["Id"], state["history"][ours["Id"]])
    shown = command(store, "images", "-a", "--no-trunc", "--format", "json")
    assert sorted((each["ID"], f"{each['Repository']}:{each['Tag']}", each["Size"]) for each in shown) == sorted(
        (each["Id"], tag, f"{each['Size']}B") for each in state["list"] for tag in each["RepoTags"] or ["<none>:<none>"]
    )
    assert {each["Id"]: each["ParentId"] for each in state["list"]} == {
        image_id: store.get_parent(image_id) or "" for image_id in wanted
    }


def check_history(store, image_id, steps):
    shown = command(store, "history", "--no-trunc", "--format", "json", image_id.removeprefix("sha256:"))
    for ours, dockers in zip(shown, steps, strict=True):
        assert (ours["ID"], ours["CreatedBy"], ours["Comment"]) == (
            dockers["Id"],
            dockers["CreatedBy"],
            dockers["Comment"],
        )
        assert (ours["Size"], ours["Tags"]) == (f"{dockers['Size']}B", dockers["Tags"] or [])
        assert seconds(ours["CreatedAt"]) == dockers["Created"]


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
        check_state(store, case["state"])
    assert store.leases.page() == []
    store.collect()
    assert list(verify(store, content=True)) == []
    empty(store)
    assert leftovers(store) == []


@pytest.mark.parametrize("name", [name for name in CASES if "api" in CASES[name]])
def test_the_messages_of_a_case(sqlite_stocked, name):
    case = CASES[name]
    out = io.BytesIO()
    failure = None
    try:
        TarExporter(sqlite_stocked).load(Pipe((ARCHIVES / case["file"]).read_bytes()), out, quiet=True)
    except ImageStoreError as error:
        failure = str(error)
    messages = [json.loads(message) for message in out.getvalue().split(b"\r\n")[:-1]]
    wanted = case["api"]
    if {"load-oci", "load-panic"} & disagreement_of(case):
        return
    dockers = [json.loads(message) for message in wanted["messages"]]
    if failure is not None:
        (text,) = {dockers[-1]["error"], dockers.pop()["errorDetail"]["message"]}
        assert without_folder(failure) == without_folder(text)
    assert messages == dockers
    if "api_state_ids" in case:
        assert sorted(sqlite_stocked.map()) == sorted(case["api_state_ids"])


def disagreement_of(case):
    return {name for name, applies in DIFFERENCES.items() if applies(case, case["load"]["stderr"])}


def test_the_archives_are_those_that_the_daemon_was_given():
    for case in CASES.values():
        assert Digest.from_bytes((ARCHIVES / case["file"]).read_bytes()).hex == case["sha256"]


def test_enough_has_been_compared():
    assert len(CASES) >= 60


def test_the_list_of_differences_is_true():
    met = set().union(*(disagreement_of(case) for case in CASES.values()))
    assert met <= set(DIFFERENCES) == differences("load")
