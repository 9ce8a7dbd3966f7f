"""A process that writes to a store is killed at random moments: nothing is half, and what it acknowledged is there.

Two cores that others use too: 200 moments take some 10 s on SQLite, 30 s on PostgreSQL.
"""

from __future__ import annotations

import random
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from imagestore.gojson import GoTime
from imagestore.sql.engine import create_engine
from imagestore.sql.metadata import indexed_time
from imagestore.store import Store
from imagestore.verify import verify
from tests.backends.state import contents
from tests.crash.killed import kill_while_writing
from tests.crash.sessions import end_sessions
from tests.crash.writer import State, draw_units

REPOSITORY = Path(__file__).parents[2]
LONGEST = 0.005  # seconds that the writer goes on: about as long as a unit takes


@pytest.mark.parametrize("moments", [4, pytest.param(200, marks=pytest.mark.soak)])
def test_a_writer_is_killed(url, moments):
    first_seed = random.randrange(1 << 32)
    draw = random.Random(first_seed)
    Store.open(url).close()
    store = Store(create_engine(url))
    state: State = {}
    command = [sys.executable, "-m", "tests.crash.writer", url]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, cwd=REPOSITORY
    ) as process:
        for moment in range(moments):
            seed = draw.randrange(1 << 32)
            said = kill_while_writing(process, draw, seed, LONGEST)
            times = [str(GoTime.parse(line.strip())).encode() for line in said]
            end_sessions(url)
            possible = after_a_kill(state, seed, times)
            assert list(verify(store)) == [], f"first seed {first_seed}, moment {moment}"
            found = contents(store.backend)
            store.engine.dispose()  # so that each time it is the first to open what the killed one left
            assert any(is_as_told(found, told) for told in possible), (
                f"first seed {first_seed}, moment {moment}: {found} is none of {possible}"
            )
            state = found
        process.stdin.close()
    assert process.returncode == 0


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
