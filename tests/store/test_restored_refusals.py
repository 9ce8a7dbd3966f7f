"""What a restored store does not have, as it says itself; a list that is whole."""

from __future__ import annotations

import pytest

from imagestore import Store
from imagestore.backends.filesystem import FSBackend
from imagestore.errors import UnusableBindError
from imagestore.gojson import GoTime
from imagestore.testing.makers import make_digest


@pytest.fixture
def restored(tmp_path):
    with Store.restore(FSBackend(tmp_path)) as restored:
        yield restored


@pytest.mark.parametrize("name", ["references", "layers", "leases"])
def test_it_has_no_parts_that_only_a_database_has(restored, name):
    with pytest.raises(UnusableBindError, match="copy its backend to a database"):
        getattr(restored, name)


@pytest.mark.parametrize("call", [Store.begin, Store.require_transactions, Store.lease, Store.collect])
def test_it_refuses_what_only_a_database_does(restored, call):
    with pytest.raises(UnusableBindError, match="copy its backend to a database"):
        getattr(restored, call.__name__)()


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.lineage.bases(make_digest()),
        lambda store: store.lineage.derived(make_digest()),
        lambda store: store.lineage.shared_layers(make_digest(), make_digest()),
        lambda store: store.lineage.sizes(make_digest()),
        lambda store: store.lineage.sizes_of([]),
        lambda store: store.lineage.sizes_page(),
        lambda store: store.unused_since(GoTime.now()),
    ],
)
def test_it_knows_no_layers_and_no_last_use(restored, call):
    with pytest.raises(UnusableBindError, match="copy its backend to a database"):
        call(restored)
