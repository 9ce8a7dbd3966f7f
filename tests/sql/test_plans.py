"""Plans in which nothing grows with the store: what is read, is read by key and index, row by row, wherever it is."""

from __future__ import annotations

import random
import re

import pytest
from sqlalchemy import insert

from imagestore.digest import ImageID
from imagestore.sql import blobs, images, lineage, references, schema
from imagestore.sql.edges import KEY

COUNT = 8000
IDS = sorted(ImageID.from_bytes(str(number).encode()) for number in range(COUNT))
PARENTS = [None if number % 3 == 0 else IDS[number - number % 3] for number in range(COUNT)]
NAMES = sorted(f"docker.io/team/app{number % 200}:{number}" for number in range(COUNT))
FIRST, MIDDLE, LAST = b"", IDS[COUNT // 2].raw, IDS[-200].raw

READS = {
    "first page of heads": (images.PAGES[True], {"after": FIRST, "limit": 100}),
    "last page of heads": (images.PAGES[True], {"after": LAST, "limit": 100}),
    "first page of images": (images.PAGES[False], {"after": FIRST, "limit": 100}),
    "last page of images": (images.PAGES[False], {"after": LAST, "limit": 100}),
    "IDs of heads": (images.ID_PAGES[True], {"after": MIDDLE, "limit": 100}),
    "blobs": (blobs.PAGE, {"after": MIDDLE, "limit": 100}),
    "image": (images.SELECT, {"image_id": MIDDLE}),
    "parent": (images.PARENT, {"image_id": MIDDLE}),
    "children": (images.CHILDREN, {"image_id": MIDDLE}),
    "short ID": (images.SEARCH, {"low": MIDDLE[:6].ljust(32, b"\0"), "high": MIDDLE[:6].ljust(32, b"\xff")}),
    "name": (references.GET, {"name": NAMES[COUNT // 2]}),
    "names of an image": (references.OF_IMAGE, {"image_id": MIDDLE}),
    "names of a repository": (references.OF_REPOSITORY, {"repository": "docker.io/team/app7"}),
    "first page of names": (references.PAGE, {"after": "", "limit": 100}),
    "last page of names": (references.PAGE, {"after": NAMES[-200], "limit": 100}),
    "ancestors": (lineage.ANCESTORS, {"image_id": MIDDLE}),
    "descendants": (lineage.DESCENDANTS, {"image_id": MIDDLE}),
}
# A short table of metadata may well be read at once.
GROWS = re.compile(r"^SCAN (?!walk|page)|BLOOM|Seq Scan on imagestore_(?:images|blobs|references)|Merge", re.MULTILINE)
SORTS_ALL = re.compile(r"Bitmap Index Scan on imagestore_(?:images|references)_pk")


@pytest.fixture
def full(store):
    """A store that has just been filled: a third of the images has no parent, and is that of the others."""
    draw = random.Random(0)
    data = [{"digest": image_id, "data": draw.randbytes(1500)} for image_id in IDS]
    rows = [{"id": image_id, "parent": parent} for image_id, parent in zip(IDS, PARENTS, strict=True)]
    named = [{"digest": row["id"], "key": KEY, "value": row["parent"].encode()} for row in rows if row["parent"]]
    names = [
        {"name": name, "repository": name.partition(":")[0], "image": image_id}
        for name, image_id in zip(NAMES, IDS, strict=True)
    ]
    with store.engine.begin() as connection:
        connection.execute(insert(schema.blobs), data)
        connection.execute(insert(schema.images), sorted(rows, key=lambda row: row["parent"] is not None))
        connection.execute(insert(schema.metadata_keys), named)
        connection.execute(insert(schema.references), names)
    return store


def plan(connection, read, values):
    explain = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
    text = read._text(connection)
    parameters = {**text.constants, **values}
    given = parameters if text.names is None else tuple(parameters[name] for name in text.names)
    return [row[-1] for row in connection.exec_driver_sql(f"{explain} {text.sql}", given)]


def growing(connection, names):
    plans = {name: "\n".join(plan(connection, *READS[name])) for name in names}
    return {
        name: told
        for name, told in plans.items()
        if GROWS.search(told) or (name.startswith("first") and SORTS_ALL.search(told))
    }


def test_nothing_grows_once_the_planner_knows_the_tables(full):
    with full._bind._reader.connect() as connection:
        connection.exec_driver_sql("ANALYZE" if connection.dialect.name == "sqlite" else "VACUUM (ANALYZE)")
        assert growing(connection, READS) == {}


def test_no_page_grows_in_tables_that_have_just_been_filled(full):
    with full._bind._reader.connect() as connection:
        assert growing(connection, [name for name in READS if "page" in name]) == {}
