"""A folder in memory, where the system has one: every write of a backend on files is synced, several times."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")


@pytest.fixture
def tmp_path():
    with tempfile.TemporaryDirectory(prefix="imagestore-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder)
