"""What an import costs and needs: no libpq for SQLite, no module before it is used."""

from __future__ import annotations

import subprocess
import sys

# psycopg as it is where nobody installed libpq: neither of its compiled forms, and no library to be found.
WITHOUT_LIBPQ = """
import ctypes.util, sys
sys.modules["psycopg_binary"] = sys.modules["psycopg_c"] = None
ctypes.util.find_library = lambda name: None
"""
SQLITE = """
from imagestore import Store
with Store.open("sqlite:///without.db") as store:
    base = store.create(b'{"os":"linux","rootfs":{"type":"layers"}}')
    child = store.create(b'{"os":"linux","comment":"child","rootfs":{"type":"layers"}}')
    store.set_parent(child, base)
    store.touch(child)
    assert store.children(base) == [child] and list(store.heads()) == [child]
    assert store.search(base.hex[:12]) == base and store.lineage.ancestors(child) == [base]
    with store.reading() as snapshot:
        assert len(snapshot) == 2
    store.delete(base)
    assert store.get_parent(child) is None
    from imagestore.verify import verify
    assert list(verify(store)) == []
assert not [name for name in sys.modules if name.partition(".")[0] == "psycopg" and sys.modules[name]]
"""


def python(code, folder):
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def test_sqlite_works_without_libpq(tmp_path):
    python(WITHOUT_LIBPQ + SQLITE, tmp_path)


def test_without_libpq_postgresql_says_what_is_missing(tmp_path):
    told = python(
        WITHOUT_LIBPQ
        + """
from imagestore import ImageStoreError, Store
try:
    Store.open("postgresql+psycopg://nobody@127.0.0.1:1/none")
except ImageStoreError as error:
    print(error)
""",
        tmp_path,
    )
    assert "libpq library not found" in told
    assert "'.[binary]'" in told


def test_the_package_is_imported_without_what_it_may_not_need(tmp_path):
    unneeded = {"alembic", "click", "platformdirs", "psycopg", "rich"}
    assert python(f"import sys, imagestore; print({unneeded} & set(sys.modules))", tmp_path) == "set()\n"
