"""A process that writes to a store is killed at random moments: nothing is half, and what it acknowledged is there.

Two cores that others use too: 200 moments take some 10 s on SQLite, 30 s on PostgreSQL.
"""

from __future__ import annotations

from itertools import islice

import pytest

from imagestore.gojson import GoTime
from imagestore.sql.engine import create_engine
from imagestore.sql.metadata import indexed_time
from imagestore.store import Store
from imagestore.verify import verify
from tests.backends.state import contents
from tests.crash.killed import kills
from tests.crash.writer import State, draw_units

LONGEST = 0.005  # seconds that the writer goes on: about as long as a unit takes


@pytest.mark.parametrize("moments", [4, pytest.param(200, marks=pytest.mark.soak)])
def test_a_writer_is_killed(url, moments):
    Store.open(url).close()
    store = Store(create_engine(url))
    state: State = {}
    for seed, said, where in kills(["tests.crash.writer", url], url, moments, LONGEST):
        times = [str(GoTime.parse(line.strip())).encode() for line in said]
        possible = after_a_kill(state, seed, times)
        assert list(verify(store)) == [], where
        found = contents(store.backend)
        store.engine.dispose()  # so that each time it is the first to open what the killed one left
        assert any(is_as_told(found, told) for told in possible), f"{where}: {found} is none of {possible}"
        state = found


def after_a_kill(state, seed, times):
    """What may be there: all that was acknowledged, and all or nothing of the unit that was under way."""
    units = list(islice(draw_units(seed), len(times) + 1))
    for unit, now in zip(units, times, strict=False):
        state = after(state, unit, now)
    return [state, after(state, units[-1], times[-1] if times else str(GoTime.ZERO).encode())]


def after(state, unit, now):
    for call in unit:
        state = call.after(state, now)
    return state


def is_as_told(found, told):
    return found.keys() == told.keys() and all(
        found[digest][0] == data
        and found[digest][1].keys() == metadata.keys()
        and all(is_value_as_told(found[digest][1][key], value) for key, value in metadata.items())
        for digest, (data, metadata) in told.items()
    )


def is_value_as_told(found, told):
    """Whether it is the same value, or a later time: the store looks at the clock after the writer does."""
    return found == told or (indexed_time(found) or "") > (indexed_time(told) or "9")
