"""backend.json: scenarios of StoreBackend alone, on Docker's directory and on both databases.

What is done instead where Go's answer is a defect stands in `INSTEAD`; ``docs/from-go.md`` names each with its reason.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest

from imagestore.backends.filesystem import FSBackend
from imagestore.backends.sql import SQLBackend
from imagestore.errors import (
    BlobNotFoundError,
    CorruptBlobError,
    ImageStoreError,
    InvalidBlobError,
    InvalidDigestError,
    InvalidKeyError,
    MetadataNotFoundError,
)
from tests.golden.vectors import as_bytes, as_text, cases, differences

FOOBAR = "c3ab8ff13720e8ad9047dd39466b3c8974e592c2fa383d4a3960714caef0c4f2"
OTHER = "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa"


@dataclass(frozen=True)
class Raised:
    """Any error of these kinds, as an answer."""

    kinds: type[Exception] | tuple[type[Exception], ...]


class StopWalkingError(Exception):
    """What the scenario's callback returns to end a walk."""


# What Go says, and what may be raised for it here. The first that fits counts.
ERRORS = (
    ("^no ':' separator in digest", (InvalidDigestError,)),
    ("^stop walking$", (StopWalkingError,)),
    ("^invalid empty data$", (InvalidBlobError,)),
    ("^failed to verify: ", (CorruptBlobError, InvalidDigestError)),
    ("^failed to get digest .*: is a directory$", (CorruptBlobError, InvalidDigestError)),
    ("^failed to get digest .*: no such file or directory$", (BlobNotFoundError, InvalidDigestError)),
    ("^failed to get digest .*: (invalid argument|file name too long)$", (InvalidDigestError,)),
    ("^failed to read metadata: .*: no such file or directory$", (MetadataNotFoundError, InvalidKeyError)),
    ("^failed to read metadata: ", (InvalidKeyError,)),
    ("^(open|rename|unlinkat) <ROOT>/metadata", (InvalidKeyError,)),
    ("^remove <ROOT>/content/.*: no such file or directory$", (BlobNotFoundError, InvalidDigestError)),
    ("^remove <ROOT>/content/sha256: ", (InvalidDigestError,)),
    ("^(remove|open) <ROOT>/content/", (OSError,)),
    ("^failed to (create storage backend|write digest data): ", (OSError,)),
)


def raises(kind):
    return {"raises": kind}


def tree(blobs, metadata):
    files = {f"content/sha256/{name}": data for name, data in blobs.items()}
    files |= {f"metadata/sha256/{name}": data for name, data in metadata.items()}
    folders = {"content", "content/sha256", "metadata", "metadata/sha256"}
    folders |= {path.rpartition("/")[0] for path in files}
    entries = [{"data": data, "mode": "0600", "path": path} for path, data in files.items()]
    entries += [{"dir": True, "mode": "0700", "path": path} for path in folders]
    return {"tree": sorted(entries, key=lambda entry: entry["path"])}


BOTH = {FOOBAR: "foobar", OTHER: "other"}

INSTEAD = {
    # What is no digest is refused, and wipes nothing.
    "delete/sha256_colon_wipes_metadata": {
        6: tree(BOTH, {f"{FOOBAR}/a": "1", f"{OTHER}/b": "2"}),
        7: {"data": "1"},
    },
    "delete/sha256_colon_on_empty": {
        1: raises(InvalidDigestError),
        2: tree({}, {}),
        3: {"digest": f"sha256:{FOOBAR}"},
        4: {"ok": True, "walked": [f"sha256:{FOOBAR}"]},
    },
    # A key that is no file name is refused before the disk is touched, and reaches nothing of another blob.
    "set_metadata/key_slash": {4: raises(InvalidKeyError), 5: tree({FOOBAR: "foobar"}, {})},
    "set_metadata/key_dotdot": {
        8: raises(InvalidKeyError),
        9: tree(BOTH, {f"{FOOBAR}/k": "v", f"{OTHER}/k": "w"}),
        10: {"data": "w"},
    },
    "set_metadata/key_escape_sibling": {
        3: raises(InvalidKeyError),
        4: raises(InvalidKeyError),
        6: raises(InvalidKeyError),
        7: raises(InvalidKeyError),
        8: {"data": "w"},
        9: tree(BOTH, {f"{OTHER}/k": "w"}),
    },
    "set_metadata/key_nul": {5: tree({FOOBAR: "foobar"}, {})},
    "set_metadata/key_long_250": {4: tree({FOOBAR: "foobar"}, {})},
}


class OnFiles:
    """Docker's directory; what a scenario does on the disk is done here."""

    rules_out: frozenset[str] = frozenset()

    def __init__(self, root: Path):
        self.root = root
        self.backend: FSBackend | None = None

    def new_backend(self, op):
        self.backend = FSBackend(self.root)

    def write_file(self, op):
        path = self._path(op)
        path.write_bytes(as_bytes(op["data"]))
        path.chmod(int(op["mode"], 8))

    def mkdir(self, op):
        path = self._path(op)
        for folder in (*reversed(path.parents), path):
            if not folder.exists():
                folder.mkdir(mode=0o700)

    def remove(self, op):
        path = self._path(op)
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    def chmod(self, op):
        self._path(op).chmod(int(op["mode"], 8))

    def symlink(self, op):
        self._path(op).symlink_to(op["data"])

    def _path(self, op):
        return self.root / os.fsdecode(as_bytes(op["path"]))

    def tree(self):
        return {
            os.fsencode(path.relative_to(self.root)): (
                f"{stat.S_IMODE(path.stat().st_mode):04o}",
                None if path.is_dir() else path.read_bytes(),
            )
            for path in self.root.rglob("*")
        }


class OnDatabase:
    """A database; there is no disk under it to touch or to look at."""

    rules_out = frozenset({"write_file", "mkdir", "remove", "chmod", "symlink"})

    def __init__(self, url):
        self._url = url
        self.backend: SQLBackend | None = None

    def new_backend(self, op):
        self.backend = SQLBackend.open(self._url)


SCENARIOS = {scenario["name"]: scenario for scenario in cases("backend.json")}


def runs_on(setting):
    return [
        name for name, scenario in SCENARIOS.items() if setting.rules_out.isdisjoint(op["op"] for op in scenario["ops"])
    ]


@pytest.mark.parametrize("name", runs_on(OnFiles))
def test_on_files(tmp_path, name):
    run(SCENARIOS[name], OnFiles(tmp_path / "root"))


@pytest.mark.parametrize("name", runs_on(OnDatabase))
def test_on_databases(database_url, name):
    setting = OnDatabase(database_url)
    try:
        run(SCENARIOS[name], setting)
    finally:
        if setting.backend is not None:
            setting.backend.close()


def test_every_scenario_runs_somewhere():
    assert set(SCENARIOS) == set(runs_on(OnFiles)) | set(runs_on(OnDatabase))


def test_every_difference_is_named():
    assert INSTEAD.keys() <= differences()


def run(scenario, setting):
    """Run all operations, and hold each answer against Go's, or against what is done instead."""
    instead = INSTEAD.get(scenario["name"], {})
    for index, op in enumerate(scenario["ops"]):
        if op["op"] == "tree" and isinstance(setting, OnDatabase):
            continue
        allowed = [instead[index]] if index in instead else [op["result"], *op.get("alt", ())]
        answer = _answer(setting, op)
        assert any(_agree(_expected(result), answer) for result in allowed), (scenario["name"], index, op, answer)


def _agree(expected, answer):
    if isinstance(expected, dict):
        return expected.keys() == answer.keys() and all(_agree(value, answer[key]) for key, value in expected.items())
    if isinstance(expected, Raised):
        return isinstance(answer, expected.kinds)
    if isinstance(expected, list):
        return len(expected) == len(answer) and all(map(_agree, expected, answer))
    return expected == answer


def _expected(result):
    """A result of the vectors in the form of `_answer`: bytes are bytes, and an error is what may be raised for it."""
    expected = {key: result[key] for key in ("digest", "walked") if key in result}
    if "data" in result:
        expected["data"] = as_bytes(result["data"])
    if "tree" in result:
        expected["tree"] = {as_bytes(entry["path"]): _entry_of(entry) for entry in result["tree"]}
    if "walked_get" in result:
        expected["walked_get"] = [_expected(entry) for entry in result["walked_get"]]
    if "raises" in result:
        expected["raised"] = Raised(result["raises"])
    elif error := as_text(result.get("panic") or result.get("error")):
        expected["raised"] = _raised(error)
    return expected


def _raised(error):
    for pattern, kinds in ERRORS:
        if re.search(pattern, error, re.DOTALL):
            return Raised(kinds)
    raise AssertionError(f"what is {error!r} called here?")


def _answer(setting, op):
    backend, answer = setting.backend, {}
    try:
        match op["op"]:
            case "b_set":
                answer["digest"] = backend.set(as_bytes(op["data"]))
            case "b_get":
                answer["data"] = backend.get(as_text(op["id"]))
            case "b_delete":
                backend.delete(as_text(op["id"]))
            case "b_set_metadata":
                backend.set_metadata(as_text(op["id"]), as_text(op["key"]), as_bytes(op["data"]))
            case "b_get_metadata":
                answer["data"] = backend.get_metadata(as_text(op["id"]), as_text(op["key"]))
            case "b_delete_metadata":
                backend.delete_metadata(as_text(op["id"]), as_text(op["key"]))
            case "b_walk" | "b_walk_delete":
                answer["walked"] = []
                for digest in backend.walk():
                    _walk_function(backend, op, digest, answer["walked"])
            case "b_walk_get":
                gets = ({"op": "b_get", "id": digest} for digest in backend.walk())
                answer["walked_get"] = [{"digest": get["id"], **_answer(setting, get)} for get in gets]
            case "tree":
                answer["tree"] = setting.tree()
            case name:
                getattr(setting, name)(op)
    except (ImageStoreError, OSError, StopWalkingError) as error:
        answer["raised"] = error
    return answer


def _walk_function(backend, op, digest, walked):
    walked.append(digest)
    if op["op"] == "b_walk_delete":
        backend.delete(digest)
    if digest == op.get("fail_on"):
        raise StopWalkingError


def _entry_of(entry):
    return entry["mode"], None if entry.get("dir") else as_bytes(entry["data"])
