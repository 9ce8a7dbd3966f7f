"""What a real daemon made of archives, as data: reads the cases, and prints how many of each file ran.

``IMAGESTORE_ARCHIVES`` names another folder of the same form. A test is counted for the file whose suite its module is; the case is its
parameter ``name``. ``docs/from-docker.md`` has the differences that are meant.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from tests.counting import Counting

HERE = Path(__file__).parent
ARCHIVES = Path(os.environ.get("IMAGESTORE_ARCHIVES") or HERE / "data")
FROM_DOCKER = HERE.parents[1] / "docs" / "from-docker.md"
SUITES = {"test_docker_cases": "cases.json", "test_save": "cases.json", "test_oci_cases": "oci/cases.json"}


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


def pytest_configure(config):
    config.pluginmanager.register(Counting("recorded archives", _file_of, cases))


def _file_of(item):
    return SUITES.get(item.path.stem) if item.path.parent == HERE else None
