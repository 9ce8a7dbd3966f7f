"""A store against its model: each run makes some hundreds of calls, or thousands."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from imagestore.store import Store
from tests.model.layer_machine import LayerMachine
from tests.model.machine import ImageMachine

pytestmark = pytest.mark.parametrize(
    "examples", [pytest.param(8, id="some"), pytest.param(150, id="many", marks=pytest.mark.soak)]
)


def test_a_store_of_facts_is_the_model(store, examples):
    class OnThisStore(ImageMachine, LayerMachine):
        outer = store

    run(OnThisStore, examples)


def test_a_store_with_content_is_the_model(store, tmp_path, examples):
    class OnThisStore(LayerMachine):
        outer = Store(store.engine, content=tmp_path / "content")
        files = tmp_path / "content" / "data"

    run(OnThisStore, examples)


def run(machine, examples):
    every = settings(
        max_examples=examples, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(machine, settings=every)
