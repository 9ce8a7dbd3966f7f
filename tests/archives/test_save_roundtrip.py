"""Images that Hypothesis makes up are saved and loaded again: the same images, tags, layers and bytes."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagestore.archive import load, save
from imagestore.digest import Digest
from imagestore.store import Store
from imagestore.testing.makers import make_config, make_layer
from tests.archives.conftest import empty
from tests.backends.conftest import MEMORY

TARS = {
    Digest.from_bytes(tar): tar for tar in (make_layer(name, size=number * 700) for number, name in enumerate("abcd"))
}
TIMES = [
    "2020-10-01T12:30:00.123456789Z",
    "0001-01-01T00:00:00Z",
    "1969-12-31T23:59:59.5Z",
    "1970-01-01T01:00:00+02:00",
    "2242-03-16T12:56:32Z",  # eleven octal digits are not enough
    "2262-04-11T23:47:16.854775808Z",  # the daemon can set no later time
    "9999-12-31T23:59:59Z",
]
REPOSITORIES = ["app", "team/app", "reg.example.org:5000/app"]

images = st.builds(
    lambda layers, created, os, name: make_config(name, layers=layers, created=created, os=os),
    st.lists(st.sampled_from(sorted(TARS)), max_size=4),
    st.sampled_from(TIMES),
    st.sampled_from(["linux", ""]),
    st.sampled_from(["<&>", "é\u2028", "x"]),
)
tags = st.builds("{}:{}".format, st.sampled_from(REPOSITORIES), st.sampled_from(["1", "2", "latest"]))
families = st.lists(
    st.tuples(images, st.lists(tags, max_size=3)), min_size=1, max_size=5, unique_by=lambda each: each[0]
)


@pytest.fixture(scope="module")
def stores():
    """Two stores on SQLite, in memory where the system has a folder for that."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder, ExitStack() as closing:
        yield [
            closing.enter_context(Store.open(f"sqlite:///{folder}/{name}.db", content=f"{folder}/{name}"))
            for name in ("one", "other")
        ]


def stock(store, family):
    """Give a store these images and tags alone."""
    empty(store)
    for config, names in family:
        with store.lease() as lease:
            parent = None
            for diff_id in json.loads(config)["rootfs"]["diff_ids"]:
                parent = store.layers.register(io.BytesIO(TARS[diff_id]), parent, lease=lease).chain_id
            image_id = store.create(config)
        for name in names:
            store.references.add_tag(name, image_id, force=True)


def contents_of(store):
    return store.map(), [*store.references.stream()], store.layers.map()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(family=families, format=st.sampled_from(["docker", "oci"]), compression=st.sampled_from([None, "gzip", "zstd"]))
def test_what_is_saved_is_loaded_again(stores, family, format, compression):
    store, other = stores
    stock(store, family)
    empty(other)
    names = [*store.map(), *(each.reference.familiar for each in store.references.stream())]
    options = {"format": format, "compression": compression if format == "oci" else None}
    save(store, names, out := io.BytesIO(), **options)
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        found = [member.name.split("/") for member in tar]
        assert found == sorted(found)
        assert len(found) == len({tuple(each) for each in found})
    out.seek(0)
    load(other, out)
    assert contents_of(other) == contents_of(store)
    save(other, names, again := io.BytesIO(), **options)
    assert again.getvalue() == out.getvalue()
