"""Runs one scenario of store.json, operation by operation, and holds each answer against the one that Go gave.

A `Setting` is where a scenario runs: `OnDatabase` (a Store) or `OnFiles` (a Store restored over an FSBackend). The answers have the form
of the vectors' results, and ``{"raised": error}`` where a call raised.
"""

from __future__ import annotations

import re
import stat
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagestore.backends.filesystem import FSBackend
from imagestore.backends.sql import SQLBackend
from imagestore.digest import DiffID
from imagestore.errors import (
    AmbiguousIDError,
    CorruptBlobError,
    ImageNotFoundError,
    ImageStoreError,
    InvalidDigestError,
    InvalidImageError,
    InvalidTimeError,
    LayerNotFoundError,
    NotFoundError,
    ParentCycleError,
    ParentNotFoundError,
    UnsupportedPlatformError,
)
from imagestore.gojson import GoTime
from imagestore.layer import LayerMetadata
from imagestore.store import Store
from imagestore.testing.layers import HeldLayer
from tests.golden.vectors import as_bytes, as_text

# What Go says, and what it is called here. The first that fits counts.
ERRORS = (
    ("No such image: ", (ImageNotFoundError,)),
    ("ambiguous digest string", (AmbiguousIDError,)),
    ("layer does not exist", (LayerNotFoundError,)),
    (
        "invalid image JSON, no RootFS key|too many non-empty layers|^json: |JSON input|^invalid character",
        (InvalidImageError, ImageNotFoundError),
    ),
    ("failed to verify", (CorruptBlobError, InvalidDigestError, ParentCycleError)),
    ("unrecognized image ID ", (ImageNotFoundError, InvalidDigestError)),
    ("unknown parent image ID ", (ParentNotFoundError, ImageNotFoundError, InvalidDigestError)),
    ("failed to get digest ", (NotFoundError, InvalidDigestError)),
    ("operating system", (UnsupportedPlatformError,)),
    ("^parsing time ", (InvalidTimeError,)),
    ("^(open|readdirent) <ROOT>", (OSError,)),
    ("^boom$", (RuntimeError,)),
)
SAME_WORDS = re.compile(
    "invalid image JSON, no RootFS key|too many non-empty layers in History section|No such image: "
)


class LayerStore:
    """The mock of the Go runs: what it does stands in the scenario, and ``calls`` is shared by those of all operating systems."""

    def __init__(self, operating_system, behaviour, calls):
        self._operating_system = operating_system
        self._behaviour = behaviour
        self._calls = calls

    def get(self, chain_id):
        self._calls.append(["get", self._operating_system, chain_id])
        if chain_id in self._behaviour.get("errors", {}):
            raise RuntimeError(self._behaviour["errors"][chain_id])
        if chain_id in [*self._behaviour.get("missing", ()), *self._behaviour.get("wrapped_missing", ())]:
            raise LayerNotFoundError(chain_id)
        return None if self._behaviour.get("nil_layer") else HeldLayer(chain_id)

    def release(self, layer):
        self._calls.append(["release", self._operating_system, layer.chain_id])
        if "release_error" in self._behaviour:
            raise RuntimeError(self._behaviour["release_error"])
        return [LayerMetadata(layer.chain_id, DiffID("sha256:feed"), size=2, diff_size=1)]


class OnDatabase:
    """A Store on a database; what touches the disk under a backend cannot be done here."""

    name = "sql"
    rules_out = frozenset({"write_file", "mkdir", "remove", "chmod", "symlink"})

    def __init__(self, engine):
        self._engine = engine
        self.backend = SQLBackend(engine)

    def open(self, layer_stores):
        return Store(self._engine, layer_stores=layer_stores)


class OnFiles:
    """A Store that is restored over Docker's directory."""

    name = "files"
    rules_out: frozenset[str] = frozenset()

    def __init__(self, root):
        self.root = root
        self.backend = FSBackend(root)

    def open(self, layer_stores):
        return Store.restore(self.backend, layer_stores=layer_stores)


def runs_on(scenario, setting):
    return not setting.rules_out.intersection(op["op"] for op in scenario["ops"])


@dataclass(frozen=True)
class Disagreement:
    """An operation that was answered in another way."""

    index: int
    op: dict
    expected: dict
    answer: dict


class Run:
    """One run of a scenario."""

    def __init__(self, scenario, setting):
        self._scenario = scenario
        self._setting = setting
        self._behaviours = scenario["layers"]
        self._calls = []
        self._store: Any = None
        self._closing = ExitStack()

    def disagreements(self, expected):
        """Run all operations; ``expected`` has the result of each. Returns those that were answered in another way."""
        found = []
        with self._closing:
            for index, (op, result) in enumerate(zip(self._scenario["ops"], expected, strict=True)):
                if op["op"] == "tree" and self._setting.name == "sql":
                    continue  # there is no disk under it to look at
                answer = self._answer(op)
                allowed = [result, *op.get("alt", ())] if result is op["result"] else [result]
                if not any(_agree(op, one, answer) for one in allowed):
                    found.append(Disagreement(index, op, result, answer))
        return found

    def _answer(self, op):
        self._calls.clear()
        try:
            answer = getattr(self, f"_{op['op']}")(op)
        except (ImageStoreError, OSError, RuntimeError) as error:
            answer = {"raised": error}
        return {**(answer or {"ok": True}), "layer_calls": [list(call) for call in self._calls]}

    # Opening

    def _new_backend(self, op):
        """The setting has made it."""

    def _layers(self, op):
        self._behaviours = op["layers"]

    def _open(self, op):
        stores = {name: LayerStore(name, behaviour, self._calls) for name, behaviour in self._behaviours.items()}
        self._store = self._closing.enter_context(self._setting.open(stores))

    # The store

    def _create(self, op):
        return {"id": self._store.create(as_bytes(op["data"]))}

    def _get(self, op):
        image = self._store.get(as_text(op["id"]))
        marshalled = image.to_json().decode()
        return {
            "image": {
                "comment": image.comment,
                "id": image.image_id,
                "marshal": marshalled,
                "parent": image.parent or "",
            }
        }

    def _delete(self, op):
        freed = self._store.delete(as_text(op["id"]))
        return {
            "released": [
                {"chain_id": one.chain_id, "diff_id": one.diff_id, "diff_size": one.diff_size, "size": one.size}
                for one in freed
            ]
        }

    def _search(self, op):
        return {"id": self._store.search(as_text(op["term"]))}

    def _set_parent(self, op):
        self._store.set_parent(as_text(op["id"]), as_text(op["parent"]))

    def _get_parent(self, op):
        return {"parent": self._store.get_parent(as_text(op["id"]))}

    def _children(self, op):
        return {"ids": sorted(self._store.children(as_text(op["id"])))}

    def _heads(self, op):
        return _listed(self._store.heads())

    def _map(self, op):
        return _listed(self._store.map())

    def _len(self, op):
        return {"len": len(self._store)}

    def _set_last_updated(self, op):
        self._store.set_last_updated(as_text(op["id"]))

    def _get_last_updated(self, op):
        return {"time": self._store.get_last_updated(as_text(op["id"]))}

    # The backend under it

    def _b_set(self, op):
        return {"digest": self._setting.backend.set(as_bytes(op["data"]))}

    def _b_set_metadata(self, op):
        self._setting.backend.set_metadata(as_text(op["id"]), as_text(op["key"]), as_bytes(op["data"]))

    # The disk under that

    def _tree(self, op):
        return {"tree": [_entry(self._setting.root, path) for path in sorted(self._setting.root.rglob("*"), key=str)]}

    def _write_file(self, op):
        path = self._setting.root / op["path"]
        path.write_bytes(as_bytes(op["data"]))
        path.chmod(int(op["mode"], 8))

    def _mkdir(self, op):
        (self._setting.root / op["path"]).mkdir(parents=True, mode=0o700)

    def _remove(self, op):
        path = self._setting.root / op["path"]
        path.rmdir() if path.is_dir() else path.unlink()

    def _symlink(self, op):
        (self._setting.root / op["path"]).symlink_to(op["data"])


def _agree(op, expected, answer):
    """Whether an answer is the expected one, in the form that it has in Python."""
    if answer["layer_calls"] != expected.get("layer_calls", []):
        return False
    raised = answer.get("raised")
    if "raises" in expected:  # one of ours, where Go's answer is not copied
        return type(raised) is expected["raises"]
    if _means_none(op, expected) and raised is None:
        return answer.get("parent", answer.get("time")) is None or str(answer["time"]) == expected["time"]
    if "panic" in expected:
        return False  # a defect: what is done instead has to be named
    if "error" in expected:
        return raised is not None and _same_error(as_text(expected["error"]), raised)
    if raised is not None:
        return False
    if expected.get("time") is not None:
        return _same_time(expected, answer["time"])
    told = {key: value for key, value in expected.items() if key not in ("layer_calls", "logs", "nil")}
    if "released" in told:
        told["released"] = told["released"] or []  # nil
    return told == {key: value for key, value in answer.items() if key != "layer_calls"}


def _means_none(op, expected):
    """Whether this is Go's error or zero time that means "none", which is None in Python."""
    if op["op"] == "get_parent":
        return expected.get("error", "").startswith("failed to read metadata: ") and expected.get(
            "is_os_not_exist", False
        )
    return op["op"] == "get_last_updated" and expected.get("zero", False)


def _same_error(text, raised):
    kinds = next((kinds for pattern, kinds in ERRORS if re.search(pattern, text)), None)
    assert kinds is not None, f"what is {text!r} called here?"
    same_words = text in str(raised) or not SAME_WORDS.match(text) or type(raised) is not kinds[0]
    return isinstance(raised, kinds) and same_words


def _same_time(expected, time):
    if expected["time"] == "<NOW>":
        return time is not None and GoTime.parse("2020-10-01T00:00:00Z") < time <= GoTime.now()
    return str(time) == expected["time"]


def _listed(images):
    assert list(images) == [image.image_id for image in images.values()]
    parents = {image_id: image.parent for image_id, image in images.items() if image.parent}
    return {"ids": sorted(images), "parents": parents} if parents else {"ids": sorted(images)}


def _entry(root: Path, path: Path):
    entry = {"mode": f"{stat.S_IMODE(path.lstat().st_mode):04o}", "path": str(path.relative_to(root))}
    if path.is_dir():
        return {**entry, "dir": True}
    data = path.read_bytes()
    if path.name == "lastUpdated":
        assert GoTime.parse("2020-10-01T00:00:00Z") < GoTime.parse(data.decode()) <= GoTime.now()
        return {**entry, "data": "<NOW>"}
    return {**entry, "data": data.decode()}
