"""What lineage over the trie reads: the rows of its answer, by key and index, wherever a page is and whatever the planner knows.

Of each statement the rows of images and layers are counted that the database has touched: by EXPLAIN ANALYZE on PostgreSQL; SQLite
counts the steps of its program.
"""

from __future__ import annotations

import re

from sqlalchemy import bindparam

from imagestore.gojson import GoTime
from imagestore.sql import sharing, trie, uses
from imagestore.sql.driver import Read
from imagestore.sql.schema import images
from imagestore.sql.types import ImageIDType
from tests.sql.large_trie import COUNT, LAYERS, TWINS, fill

PAGE = 50
STEPS = 100  # of SQLite's program, which read a row and more
TABLES = "imagestore_(?:images|layers|blobs|contents)"
GROWS = re.compile(
    rf"SCAN (?:{TABLES}|found USING|upper|lower|other|own|used|standing|another)|BLOOM|Seq Scan on {TABLES}"
)


def parameters(connection, read, values):
    text = read._text(connection)
    given = {**text.constants, **values}
    return text.sql, given if text.names is None else tuple(given[name] for name in text.names)


def plan(connection, read, values):
    sql, given = parameters(connection, read, values)
    explain = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
    return "\n".join(row[-1] for row in connection.exec_driver_sql(f"{explain} {sql}", given))


def touched(connection, read, values):
    """About how many rows of the tables it reads, at most."""
    sql, given = parameters(connection, read, values)
    if connection.dialect.name == "sqlite":
        return _steps(connection, sql, given) / STEPS
    (told,) = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}", given).scalar_one()
    return _rows(told["Plan"])


def _steps(connection, sql, given):
    driver, steps = connection.connection.driver_connection, []
    driver.set_progress_handler(lambda: steps.append(1), 1)
    try:
        driver.execute(sql, given).fetchall()
    finally:
        driver.set_progress_handler(None, 1)
    return len(steps)


def _rows(node):
    removed = sum(node.get(key, 0) for key in ("Rows Removed by Filter", "Rows Removed by Index Recheck"))
    own = (node["Actual Rows"] + removed) * node["Actual Loops"] if "Relation Name" in node else 0
    return own + sum(map(_rows, node.get("Plans", ())))


def test_each_reads_what_it_returns_before_and_after_the_planner_knows_the_tables(store):
    stacks = fill(store)
    depth = max(map(len, stacks.values()))
    assert depth > LAYERS / 3
    reads = _reads(store, stacks)
    few, passed = 4 * (PAGE + depth), 20 * PAGE  # layers: some of an image's lie above those of the image before
    allowed = {"derived, late": passed, "sizes of many": PAGE * few} | dict.fromkeys(
        ("sizes", "shared layers"), 12 * depth
    )
    with store._bind._reader.connect() as connection:
        for command in ("SELECT 1", "ANALYZE" if connection.dialect.name == "sqlite" else "VACUUM (ANALYZE)"):
            connection.exec_driver_sql(command)
            assert {name: told for name, read in reads.items() if GROWS.search(told := plan(connection, *read))} == {}
            counts = {name: touched(connection, *read) for name, read in reads.items()}
            assert {name: count for name, count in counts.items() if count > allowed.get(name, few)} == {}


def _reads(store, stacks):
    """Each statement with the values for a first and, where there are pages, a late one."""
    base, *_, last_twin = list(stacks)[: TWINS + 1]
    deepest = max(stacks, key=lambda image_id: len(stacks[image_id]))
    assert sum(stack[:5] == stacks[base] for stack in stacks.values()) > COUNT / 2
    late = _late_place(store, base, TWINS + 4000)
    place = {"after_id": late.image_id.raw, "places": late.place, "count": len(late.place) // 32}
    some = {f"id_{number}": image_id.raw for number, image_id in enumerate(sorted(stacks)[:PAGE])}
    of_many = Read(sharing._sizes(images.c.id.in_([bindparam(name, type_=ImageIDType) for name in some])))
    return {
        "bases": (trie.BASES, {"image_id": deepest.raw, "limit": PAGE, "after_chain": b"", "after_id": b""}),
        "bases of a twin": (trie.BASES, {"image_id": base.raw, "limit": PAGE, "after_chain": b"", "after_id": b""}),
        "derived": (trie.DERIVED, {"image_id": base.raw, "limit": PAGE}),
        "derived, late": (trie.DERIVED_AFTER, {"image_id": base.raw, "limit": PAGE, **place}),
        "shared layers": (trie.SHARED, {"image_id": deepest.raw, "other_id": base.raw, "count": 2}),
        "layers": (trie.STACK, {"image_id": deepest.raw}),
        "sizes": (sharing.SIZES, {"image_id": deepest.raw}),
        "sizes of a twin": (sharing.SIZES, {"image_id": last_twin.raw}),
        "sizes of many": (of_many, some),
        **_of_unused(stacks),
    }


def _late_place(store, base, number):
    after = None
    for _ in range(number // 1000):
        after = store.lineage.derived(base, after, 1000)[-1]
    return after


def _of_unused(stacks):
    late = sorted(stacks)[COUNT * 9 // 10]
    now = GoTime.now().utc_text
    return {
        "unused": (
            uses.UNUSED,
            {"time": now, "limit": PAGE, "after_never": b"", "after_time": "", "after_id": b""},
        ),
        "unused, never, late": (
            uses.UNUSED,
            {"time": now, "limit": PAGE, "after_never": late.raw, "after_time": "", "after_id": b""},
        ),
        "unused, late": (
            uses.UNUSED,
            {
                "time": now,
                "limit": PAGE,
                "after_never": b"\xff" * 33,
                "after_time": "2024-03-01T09:30:50",
                "after_id": b"",
            },
        ),
    }
