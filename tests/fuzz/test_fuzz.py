"""Fuzzing: what is nearly right is tried for as long as there is time, and what once went wrong at every run.

``pytest -m fuzz`` tries each target for a minute, with the same inputs at each run, so that a change turns it red, and not luck.
``IMAGESTORE_FUZZ_SECONDS=3600 IMAGESTORE_FUZZ_SEED=$RANDOM pytest -m fuzz`` tries others for an hour. An input that fails is made small,
and printed as a line for regressions.json, where it stays.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import signal
import time
import zlib
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from imagestore.archive import source
from imagestore.store import Store
from tests.fuzz import corpus
from tests.fuzz.mutations import mutated_archive, mutated_bytes, mutated_json, mutated_text
from tests.fuzz.targets import TARGETS

SECONDS = float(os.environ.get("IMAGESTORE_FUZZ_SECONDS") or 60)
SEED = int(os.environ.get("IMAGESTORE_FUZZ_SEED") or 0) << 32  # of the first batch; each has one of its own
MEMORY = 1 << 30  # bytes that one target may take beside what the process has
HANGS = 60  # seconds
BATCH = 100
REGRESSIONS = json.loads((Path(__file__).parent / "regressions.json").read_text())


@pytest.fixture
def store(tmp_path):
    with Store.open("sqlite://", content=tmp_path / "content") as made:
        yield made


@pytest.fixture
def bounds():
    """More memory is an error, and so is an input that takes as long as no sound one does."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    memory = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGALRM, _give_up)
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, memory[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, memory)
    signal.signal(signal.SIGALRM, handler)


def _give_up(*_):
    raise TimeoutError(f"an input takes more than {HANGS} seconds")


MUTATED = {
    "load_archive": lambda random: mutated_archive(random, random.choice(corpus.archives()), corpus.archives()),
    "read_image": lambda random: _mutated_configuration(random, random.choice(corpus.configurations())),
    "parse_reference": lambda random: mutated_text(random, random.choice(corpus.names()), corpus.names()),
}


def _mutated_configuration(random, data):
    return (
        mutated_json(random, data)
        if random.choice((True, False))
        else mutated_bytes(random, data, corpus.configurations())
    )


@pytest.mark.fuzz
@pytest.mark.parametrize(
    ("name", "small"),
    [("load_archive", source._SMALL), ("load_archive", 1000), ("read_image", None), ("parse_reference", None)],
)
def test_what_is_nearly_right(store, bounds, monkeypatch, name, small):
    if small is not None:
        monkeypatch.setattr(source, "_SMALL", small)  # so that small layers pass in a pipe as large ones do

    @settings(
        max_examples=BATCH,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(st.randoms(use_true_random=False))
    def batch(random):
        data = MUTATED[name](random)
        signal.alarm(HANGS)
        try:
            TARGETS[name](store, data)
        except BaseException as error:
            error.add_note(f"for tests/fuzz/regressions.json: {json.dumps([name, _encoded(data)])}")
            raise
        finally:
            signal.alarm(0)

    end = time.monotonic() + SECONDS
    for number in count(SEED):
        seed(number)(batch)()
        if time.monotonic() > end:
            break


@pytest.mark.parametrize(("name", "encoded"), REGRESSIONS, ids=[str(place) for place in range(len(REGRESSIONS))])
def test_what_once_went_wrong(store, name, encoded):
    TARGETS[name](store, _decoded(name, encoded))


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_right(store, name):
    inputs = {"load_archive": corpus.archives, "read_image": corpus.configurations, "parse_reference": corpus.names}
    for data in inputs[name]():
        TARGETS[name](store, data)


def _encoded(data):
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return base64.b64encode(zlib.compress(raw, 9)).decode()


def _decoded(name, encoded):
    raw = zlib.decompress(base64.b64decode(encoded))
    return raw.decode("utf-8", "surrogatepass") if name == "parse_reference" else raw
