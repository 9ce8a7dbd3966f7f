"""Sessions that are stepped through their statements, on a database of the session's server."""

from __future__ import annotations

import pytest

from imagestore import bind
from tests.concurrency.exploration import Explorer
from tests.concurrency.sessions import sessions


@pytest.fixture(scope="session")
def stepped(postgres_server, postgres_template):
    url = postgres_server.create_database(template=postgres_template)
    with sessions(url, 3) as opened, pytest.MonkeyPatch.context() as patch:
        patch.setattr(bind, "_PAUSE", 0.0)  # retries are told by the schedule, not by the clock
        yield opened


@pytest.fixture(scope="session")
def explorer(stepped):
    return Explorer(stepped)
