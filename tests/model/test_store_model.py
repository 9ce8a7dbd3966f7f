"""A store, with a place for the bytes of layers or without, against its model: each run makes some thousands of calls."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from imagestore.store import Store
from tests.model.store_machine import StoreMachine


@pytest.mark.parametrize(
    "examples", [pytest.param(20, id="some"), pytest.param(150, id="many", marks=pytest.mark.soak)]
)
@pytest.mark.parametrize("content", [None, "content"], ids=["facts", "content"])
def test_a_store_is_the_model(store, tmp_path, content, examples):
    class OnThisStore(StoreMachine):
        outer = store if content is None else Store(store.engine, content=tmp_path / content)
        files = None if content is None else tmp_path / content / "data"

    every = settings(
        max_examples=examples, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(OnThisStore, settings=every)
