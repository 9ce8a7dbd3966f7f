"""docs/architecture.md: its modules and functions are there, and its statements are those that PostgreSQL is sent, in this order."""

from __future__ import annotations

import io
import re
import tarfile
import tomllib
from collections import Counter
from hashlib import sha256
from importlib import import_module
from pathlib import Path

import pytest
from sqlalchemy import event

from imagestore.archive import load
from imagestore.sql.engine import create_engine
from imagestore.store import Store
from imagestore.testing.makers import make_config, make_image, make_layer

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
CODE = re.compile(r"`([^`\n]+)`")


def rows(section):
    """The steps of a table: its cells, by the heading above it."""
    text = PAGE.split(f"## {section}\n")[1].split("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:2] == "| "][
        1:
    ]


def test_the_picture_has_each_part_once():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (each["layers"] for each in contracts if each["type"] == "layers")
    parts = set(re.findall(r"\w+", " ".join(layers))) - {"__main__"}
    drawn = (re.split(r" {3,}", line[14:])[0] for line in PAGE.split("```")[1].strip().splitlines())
    assert Counter(" ".join(drawn).split()) == Counter(parts)


def test_files_that_are_named_are_there():
    files = [name for name in CODE.findall(PAGE) if name.endswith(".py")]
    assert files
    assert [name for name in files if not (ROOT / name).exists() and not (ROOT / "imagestore" / name).exists()] == []


@pytest.mark.parametrize(
    "name",
    sorted(
        {name for section in ("create", "delete", "load") for row in rows(section) for name in CODE.findall(row[1])}
    ),
)
def test_where_it_happens(name):
    module, *path = name.split(".")
    found = import_module(f"imagestore.{module.replace('/', '.')}")
    for part in path:
        found = getattr(found, part)
    assert callable(found)


def statements(section):
    """Its statements, each as a pattern; "…" is anything."""
    for row in rows(section):
        for code in CODE.findall(row[2]):
            if code.split()[0] in {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"}:
                yield ".*".join(map(re.escape, code.split(" … ")))


@pytest.fixture
def sent():
    """What the server is sent, statement by statement."""
    return []


@pytest.fixture
def store(postgres_store, sent):
    """A store that notes it where all statements come by: at the driver's cursor."""
    engine = create_engine(postgres_store.engine.url)

    @event.listens_for(engine, "connect")
    def note(connection, _record):
        class NotingCursor(connection.cursor_factory):  # type: ignore[misc, name-defined]
            def execute(self, query, *arguments, **options):
                sent.append(" ".join(query.split()))
                return super().execute(query, *arguments, **options)

            def executemany(self, query, *arguments, **options):
                sent.append(" ".join(query.split()))
                return super().executemany(query, *arguments, **options)

        connection.cursor_factory = NotingCursor

    yield Store(engine)
    engine.dispose()


def assert_sent(sent, patterns):
    assert [text for pattern, text in zip(patterns, sent, strict=True) if not re.match(pattern, text)] == []


def test_create(store, sent):
    parent, child = make_image("parent"), store.create(make_config("child"))
    store.backend.set_metadata(child, "parent", parent.image_id.encode())
    blob, there, mend, *new = statements("create")
    sent.clear()
    store.create(parent.raw_json)
    assert_sent(sent, [blob, *new])
    assert store.children(parent.image_id) == [child]
    sent.clear()
    store.create(parent.raw_json)
    assert_sent(sent, [blob, there, mend])


def test_delete(store, sent):
    parent, child = store.create_many([make_config("parent"), make_config("child")])
    store.set_parent(child, parent)
    sent.clear()
    store.delete(parent)
    assert_sent(sent, list(statements("delete")))


def test_load(store, sent, tmp_path):
    archive = tmp_path / "archive.tar"
    config, layer = make_config(layers=["sha256:" + sha256(make_layer()).hexdigest()]), make_layer()
    manifest = b'[{"Config":"config.json","Layers":["layer.tar"],"RepoTags":["app:1"]}]'
    with tarfile.open(archive, "w") as tar:
        for name, data in {"config.json": config, "layer.tar": layer, "manifest.json": manifest}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    with_content = Store(store.engine, content=tmp_path / "content")
    sent.clear()
    load(with_content, archive)
    assert_sent(sent, list(statements("load")))
