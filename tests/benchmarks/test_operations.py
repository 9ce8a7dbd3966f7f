"""The raw driver does what the store does: the same statements, for every operation that is measured."""

from __future__ import annotations

import re
import sqlite3

import pytest

from benchmarks.load import load
from benchmarks.operations import READS, WHOLE, WRITES, Images
from benchmarks.population import Population
from benchmarks.raw import Driver, Raw

OPERATIONS = {operation.name: operation for operation in (*READS, *WHOLE, *WRITES) if not operation.snapshot}
PARTS = re.compile(
    r"imagestore_\w+|RECURSIVE|DISTINCT|LIMIT|COUNT(?=\()|ORDER BY|FOR (?:KEY )?(?:UPDATE|SHARE)", re.IGNORECASE
)


class Recorder:
    """The shapes of the statements that go through some of a driver's connections; once of one that is sent for many rows."""

    def __init__(self, *connections):
        self.shapes = []
        for connection in connections:
            if isinstance(connection, sqlite3.Connection):
                connection.set_trace_callback(self.note)
            else:
                connection.cursor_factory = noting(self.note, connection.cursor_factory)

    def note(self, sql):
        shape = " ".join([sql.split()[0], *sorted({part.lower() for part in PARTS.findall(sql)})])
        if self.shapes[-1:] != [shape]:
            self.shapes.append(shape)

    def during(self, call, *arguments):
        self.shapes = []
        call(*arguments)
        return self.shapes


def noting(note, cursor_class):
    class Cursor(cursor_class):  # type: ignore[misc,valid-type]
        def execute(self, query, *arguments, **options):
            note(query)
            return super().execute(query, *arguments, **options)

        def executemany(self, query, *arguments, **options):
            note(query)
            return super().executemany(query, *arguments, **options)

    return Cursor


@pytest.fixture
def images(store):
    population = Population.of(150)
    load(store, population)
    return Images(store, population)


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_raw_driver_sends_the_same_statements(store, images, name):
    operation = OPERATIONS[name]
    driver = Driver.of(store)
    recorder = Recorder(driver.reader, driver.writer)
    raw = Raw(Driver.of(store))
    inputs = operation.inputs(images)
    given, next_given = next(inputs), next(inputs)
    by_store = recorder.during(operation.call, store, given)
    by_driver = recorder.during(operation.call, raw, next_given)
    assert by_driver == by_store != []
