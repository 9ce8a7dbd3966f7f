"""What a real daemon made of archives, as data: reads the cases, and prints how many of each file ran.

``IMAGESTORE_ARCHIVES`` names another folder of the same form. A test is counted for the file whose suite its module is; the case is its
parameter ``name``. ``docs/from-docker.md`` has the differences that are meant.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parent
ARCHIVES = Path(os.environ.get("IMAGESTORE_ARCHIVES") or HERE / "data")
FROM_DOCKER = HERE.parents[1] / "docs" / "from-docker.md"
SUITES = {"test_docker_cases": "cases.json", "test_save": "cases.json", "test_oci_cases": "oci/cases.json"}

_ran: dict[str, set[str]] = defaultdict(set)


def cases(file):
    """The cases of one file by their names, in order."""
    return {case["name"]: case for case in json.loads((ARCHIVES / file).read_text(encoding="utf-8"))}


def differences(kind):
    """The differences of one kind that ``docs/from-docker.md`` tells of: what the first column of the table of archives begins with."""
    section = FROM_DOCKER.read_text(encoding="utf-8").partition("\n## Archives\n")[2].partition("\n## ")[0]
    return set(re.findall(rf"^\| `({kind}-[\w-]+)` \|", section, re.MULTILINE))


def judged():
    """The cases of OCI layouts that ``docs/from-docker.md`` tells of: the first column of their table."""
    section = FROM_DOCKER.read_text(encoding="utf-8").partition("\n### OCI image layouts\n")[2].partition("\n## ")[0]
    first_cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return {name for cell in first_cells for name in re.findall(r"`([^`]+)`", cell)}


def pytest_runtest_setup(item):
    name = getattr(item, "callspec", None) and item.callspec.params.get("name")
    if name is not None and item.path.parent == HERE and item.path.stem in SUITES:
        item.user_properties.append(("archives", f"{SUITES[item.path.stem]} {name}"))


def pytest_runtest_logreport(report):
    if report.when == "call":
        for key, value in report.user_properties:
            if key == "archives":
                file, _, name = value.partition(" ")
                _ran[file].add(name)


def pytest_terminal_summary(terminalreporter):
    if _ran:
        counts = ", ".join(f"{file} {len(_ran[file])} of {len(cases(file))}" for file in sorted(_ran))
        terminalreporter.write_line(f"recorded archives that ran: {counts}")
