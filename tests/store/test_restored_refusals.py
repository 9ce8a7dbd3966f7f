"""What a restored store does not have, as it says itself; a list that is whole."""

from __future__ import annotations

import pytest

from imagestore import Store
from imagestore.backends.filesystem import FSBackend
from imagestore.errors import UnusableBindError


@pytest.fixture
def restored(tmp_path):
    with Store.restore(FSBackend(tmp_path)) as restored:
        yield restored


@pytest.mark.parametrize("name", ["references", "layers", "leases"])
def test_it_has_no_parts_that_only_a_database_has(restored, name):
    with pytest.raises(UnusableBindError, match="copy its backend to a database"):
        getattr(restored, name)


@pytest.mark.parametrize("call", [Store.begin, Store.lease, Store.collect])
def test_it_refuses_what_only_a_database_does(restored, call):
    with pytest.raises(UnusableBindError, match="copy its backend to a database"):
        getattr(restored, call.__name__)()
