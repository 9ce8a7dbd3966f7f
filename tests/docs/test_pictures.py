"""What is drawn at the top of a module is what the module has: the tree of errors, the tables."""

from __future__ import annotations

import builtins
import re

from imagestore import errors
from imagestore.sql import schema


def drawn_errors():
    """Each class of the tree with its bases, the one above it first."""
    above: list[str] = []
    for indent, name, builtin in re.findall(r"^    ([│├└─ ]*)(\w+Error)(?: \((\w+)\))?", errors.__doc__, re.MULTILINE):
        above[len(indent) // 4 :] = [name]
        yield name, [*above[-2:-1], *filter(None, [builtin])]


def bases(name):
    return [base.__name__ for base in getattr(errors, name).__bases__]


def test_the_tree_of_errors():
    classes = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    (root, _), *below = drawn_errors()
    assert bases(root) == ["Exception"]
    assert {root, *dict(below)} == classes
    assert [(name, drawn) for name, drawn in below if drawn != bases(name)] == []
    assert all(hasattr(builtins, base) for _, drawn in below for base in drawn[1:])


def drawn_columns():
    """The table, name, and facts of each column: whether it is in the key, may be null, and what it refers to."""
    table = ""
    for line in schema.__doc__.splitlines():
        if match := re.match(r"    (imagestore_\w+)", line):
            table = match[1]
        elif match := re.match(r"    [├└]── (\w+) +(.*?)(  |$)", line):
            facts = match[2]
            yield table, match[1], "key" in re.split(r"\W+", facts), "null" in facts, re.findall(r"-> (\w+)", facts)


def test_the_tables():
    assert list(drawn_columns()) == [
        (
            table.name,
            column.name,
            column.primary_key,
            column.nullable,
            [key.column.table.name.removeprefix("imagestore_") for key in column.foreign_keys],
        )
        for table in map(schema.metadata.tables.get, dict.fromkeys(table for table, *_ in drawn_columns()))
        for column in table.columns
    ]


def test_every_table_is_drawn():
    assert {table for table, *_ in drawn_columns()} == set(schema.metadata.tables)
