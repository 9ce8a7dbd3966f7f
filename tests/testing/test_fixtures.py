"""The fixtures, as a host's tests have them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from sqlalchemy import make_url

CONFTEST = """
pytest_plugins = ["imagestore.testing.fixtures"]
"""
TESTS = """
CONFIG = b'{"os":"linux","rootfs":{"type":"layers"}}'

def test_an_empty_store_of_its_own(store):
    assert len(store) == 0
    store.create(CONFIG)

def test_and_another(store):
    assert len(store) == 0
    store.create(CONFIG)

def test_an_empty_database(database_url):
    import sqlalchemy
    engine = sqlalchemy.create_engine(database_url)
    assert sqlalchemy.inspect(engine).get_table_names() == []
    engine.dispose()
"""


def test_both_engines(sqlite_store, postgres_store):
    for store, dialect in ((sqlite_store, "sqlite"), (postgres_store, "postgresql")):
        assert store.engine.dialect.name == dialect
        assert len(store) == 0


def test_a_file_of_this_test(sqlite_url, tmp_path):
    path = Path(make_url(sqlite_url).database or "")
    assert path.parent == tmp_path
    assert not path.exists()


def test_a_host_enables_them(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_host.py").write_text(TESTS)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", "-q"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^6 passed", done.stdout, re.MULTILINE), done.stdout
