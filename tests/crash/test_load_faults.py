"""A load with the Nth of its statements, file operations and reads failing once: no half image, and the second try succeeds."""

from __future__ import annotations

import errno
import io
import os
import random

import pytest

from imagestore.archive import load
from imagestore.testing.makers import make_layer
from imagestore.verify import verify
from tests.archives.built import Built
from tests.archives.layouts import Layout, named
from tests.crash.layer_database import LEASES, TARS, failure, findings
from tests.crash.test_layer_faults import STRIKES

pytestmark = pytest.mark.usefixtures("without_pauses")
NEVER = 1 << 30
TAKING, ENDING = (
    range(1, 5),
    3,
)  # steps in which its lease is taken, the first, and ended, the last: that may outlive these
LOWER, UPPER = (make_layer(name, size=100_000) for name in ("lower", "upper"))  # of a pipe, smaller ones are set aside
IMAGES = {"lower": [TARS["p"], LOWER], "upper": [TARS["p"], LOWER, UPPER]}  # p is there already


def docker_archives():
    """What a load of docker's format makes, step by step: an image, another one on it, and who is whose parent."""
    made = Built()
    made.add("lower", layers=IMAGES["lower"])
    yield made.bytes()
    item = made.add("upper", layers=IMAGES["upper"])
    yield made.bytes()
    item["Parent"] = made.id("lower")
    yield made.bytes()


def oci_archives():
    """The same of an image layout, which knows no parents."""
    made = Layout()
    for name, layers in IMAGES.items():
        made.add(made.image(name, layers=layers, **named(f"{name}:1")))
        yield made.tar()


ARCHIVES = {"docker": [*docker_archives()], "oci": [*oci_archives()]}


class Source(io.BytesIO):
    """An archive whose reads may fail, in a file or in a pipe."""

    def __init__(self, archive, kind, fault):
        super().__init__(archive)
        self._is_file = kind == "file"
        self._fault = fault

    def seekable(self):
        return self._is_file

    def read(self, size=-1):
        def run(*, fails=False):
            if fails:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return super(Source, self).read(size)

        return self._fault.meet(None, "read", run)


@pytest.mark.parametrize("tries", [5, pytest.param(NEVER, marks=pytest.mark.soak)])
@pytest.mark.parametrize(("engine", "strike"), STRIKES)
@pytest.mark.parametrize("kind", ["file", "pipe"])
@pytest.mark.parametrize("form", ARCHIVES)
def test_an_image_is_whole_or_not_there(layer_databases, engine, strike, form, kind, tries):
    database = layer_databases(engine)
    archive = ARCHIVES[form][-1]
    database.restore()
    stages = [database.settled()]
    for part in ARCHIVES[form]:
        database.restore()
        load(database.store, io.BytesIO(part))
        stages.append(database.settled())
    known = {lease.id for lease in LEASES.values()}
    database.restore()
    with database.failing(NEVER, strike) as fault:
        loaded = load(database.store, Source(archive, kind, fault))
    steps = range(1, NEVER - fault.left + 1)
    assert len(steps) > 50
    for number in sorted(random.sample(steps, min(tries, len(steps)))):
        database.restore()
        with database.failing(number, strike) as fault:
            error = failure(lambda store, fault=fault: load(store, Source(archive, kind, fault)), database.store)
        told = f"{number}: {fault.statement}"
        assert fault.statement is not None, told
        assert findings(database) == [], told
        held = {lease.id for lease in database.store.leases.page()} - known
        assert not held or number in TAKING or number > len(steps) - ENDING, told
        if error is not None:
            database.expire_unknown()
        settled = database.settled()
        assert settled in stages, told
        assert error is not None or settled == stages[-1], told
        assert list(verify(database.store, content=True)) == [], told
        assert load(database.store, Source(archive, kind, fault)) == loaded, told
        assert database.settled() == stages[-1], told
