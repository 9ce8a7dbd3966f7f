"""store.json: scenarios of moby's store, on a Store on both databases and on one that is restored over Docker's directory.

A scenario runs wherever its own operations can be done. What is done instead where Go's answer is a defect stands in
`tests.golden.instead`, and ``docs/from-go.md`` names each of these scenarios with its reason.
"""

from __future__ import annotations

import pytest

from tests.golden.instead import INSTEAD
from tests.golden.scenario import OnDatabase, OnFiles, Run, runs_on
from tests.golden.vectors import cases, differences

SCENARIOS = {scenario["name"]: scenario for scenario in cases("store.json")}
ON_DATABASE = [name for name, scenario in SCENARIOS.items() if runs_on(scenario, OnDatabase)]
ON_FILES = [name for name, scenario in SCENARIOS.items() if runs_on(scenario, OnFiles)]
DIFFERENT_ON_DATABASE = [name for name in SCENARIOS if "sql" in INSTEAD.get(name, ())]
DIFFERENT_ON_FILES = [name for name in SCENARIOS if "files" in INSTEAD.get(name, ())]


@pytest.fixture(params=["sqlite_store", "postgres_store"])
def on_database(request):
    return OnDatabase(request.getfixturevalue(request.param).engine)


@pytest.fixture
def on_files(tmp_path):
    return OnFiles(tmp_path / "imagedb")


def results(name, setting):
    """What each operation of a scenario has to answer."""
    instead = INSTEAD.get(name, {}).get(setting.name, {})
    for index, op in enumerate(SCENARIOS[name]["ops"]):
        other = instead.get(index, op["result"])
        yield other(op["result"]) if callable(other) else other


@pytest.mark.parametrize("name", ON_DATABASE)
def test_on_database(on_database, name):
    assert Run(SCENARIOS[name], on_database).disagreements(results(name, on_database)) == []


@pytest.mark.parametrize("name", ON_FILES)
def test_on_files(on_files, name):
    assert Run(SCENARIOS[name], on_files).disagreements(results(name, on_files)) == []


def test_every_scenario_runs_somewhere():
    assert SCENARIOS.keys() == {*ON_DATABASE, *ON_FILES}


def test_every_difference_is_told_in_the_documentation():
    assert INSTEAD.keys() <= differences()
    assert differences().intersection(SCENARIOS) <= INSTEAD.keys()


@pytest.mark.parametrize("difference", DIFFERENT_ON_DATABASE)
def test_on_database_gos_answers_differ_where_we_say(on_database, difference):
    assert differing(difference, on_database) == list(INSTEAD[difference]["sql"])


@pytest.mark.parametrize("difference", DIFFERENT_ON_FILES)
def test_on_files_gos_answers_differ_where_we_say(on_files, difference):
    assert differing(difference, on_files) == list(INSTEAD[difference]["files"])


def differing(name, setting):
    """The operations of a scenario whose answer is not Go's."""
    scenario = SCENARIOS[name]
    return [one.index for one in Run(scenario, setting).disagreements([op["result"] for op in scenario["ops"]])]
