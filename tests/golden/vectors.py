"""Go's answers as data: reads the vectors, and prints how many cases of each file ran.

``IMAGESTORE_GOLDEN`` names another folder of the same files. A test is counted for the file that it, or else its module, is named
after (``test_from_json``, test_backend.py); the case is its parameter ``name``. README.md tells the format of the files, and
``docs/from-go.md`` the differences that are meant.
"""

from __future__ import annotations

import base64
import json
import os
import re
from pathlib import Path

from tests.counting import Counting

HERE = Path(__file__).parent
FOLDER = Path(os.environ.get("IMAGESTORE_GOLDEN") or HERE)
FROM_GO = HERE.parents[1] / "docs" / "from-go.md"


def cases(file):
    """The cases of one file, in order. Where bytes stand as ``k_b64`` there is ``k`` as bytes too."""
    return [_decoded(case) for case in json.loads((FOLDER / file).read_text(encoding="utf-8"))]


def differences():
    """The names of the cases that ``docs/from-go.md`` tells of: the first column of the table under "Deliberate differences"."""
    section = FROM_GO.read_text(encoding="utf-8").partition("## Deliberate differences")[2]
    first_cells = re.findall(r"^\| (.*?) \|", section, re.MULTILINE)
    return {name for cell in first_cells for name in re.findall(r"`([^`]+)`", cell)}


def as_bytes(value):
    return value.encode() if isinstance(value, str) else value


def as_text(value):
    """A Go string, which is any bytes: what is no UTF-8 stands as lone surrogates."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def _decoded(value):
    if isinstance(value, list):
        return [_decoded(element) for element in value]
    if not isinstance(value, dict):
        return value
    decoded = {key: _decoded(element) for key, element in value.items()}
    for key in [key for key in value if key.endswith("_b64")]:
        found = value[key]
        plain = [base64.b64decode(text) for text in found] if isinstance(found, list) else base64.b64decode(found)
        decoded.setdefault(key.removesuffix("_b64"), plain)
    return decoded


def pytest_configure(config):
    config.pluginmanager.register(Counting("golden cases", _file_of, cases))


def _file_of(item):
    if HERE not in item.path.parents:
        return None
    tried = [f"{stem.removeprefix('test_')}.json" for stem in (item.originalname, item.path.stem)]
    return next((file for file in tried if (FOLDER / file).exists()), None)
