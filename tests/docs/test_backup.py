"""The shell of docs/backup.md, run as it stands on a PostgreSQL with its own programs."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import make_url

from imagestore.sql.schema import metadata
from imagestore.store import Store
from imagestore.testing import postgres
from imagestore.testing.makers import make_config, make_layer
from imagestore.verify import verify

PAGE = (Path(__file__).parents[2] / "docs" / "backup.md").read_text()
BACK_UP, RESTORE, SHRINK = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def server():
    """A server of the release that its pg_dump and pg_restore are of."""
    with postgres.postgres_server(programs=postgres._bundled_programs()) as server:
        yield server


@pytest.fixture
def url(server):
    url = make_url(server.create_database())
    yield url
    server.drop_database(url.render_as_string(hide_password=False))


@pytest.fixture
def shell(server, url, tmp_path):
    """What runs a block, and returns what it has printed."""
    programs = [str(postgres._bundled_programs()), str(Path(sys.executable).parent)]
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([*programs, os.environ["PATH"]]),
        "PGHOST": str(url.query["host"]),
        "PGPORT": str(url.query["port"]),
        "PGUSER": str(url.username),
        "PGDATABASE": str(url.database),
    }

    def run(block):
        command = ["bash", "-e", "-c", block]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, check=True
        ).stdout

    yield run
    server.drop_database(url.set(database="restored").render_as_string(hide_password=False))


def test_what_is_backed_up_is_restored(shell, url, tmp_path):
    with Store.open(url, content=tmp_path / "content") as store:
        with store.lease() as lease:
            layer = store.layers.register(io.BytesIO(make_layer()), lease=lease)
            image = store.create(make_config(layers=[layer.diff_id]))
        store.references.add_tag("app:1", image)
        shell(BACK_UP)
        store.delete(image)
        store.collect()
    shell(RESTORE)
    with Store.open(url.set(database="restored"), content=tmp_path / "restored-content") as restored:
        assert list(verify(restored, content=True)) == []
        assert restored.references.get("app:1") == image
        with restored.layers.open(layer.chain_id) as stream:
            assert stream.read() == make_layer()


def test_verify_tells_what_a_folder_that_was_copied_first_lacks(shell, url, tmp_path):
    with Store.open(url, content=tmp_path / "content") as store:
        store.layers.register(io.BytesIO(make_layer("before")))
        made, database, folder = BACK_UP.splitlines()
        shell(f"{made}\n{folder}")
        late = store.layers.register(io.BytesIO(make_layer("late")))
        shell(database)
    with pytest.raises(subprocess.CalledProcessError) as failed:
        shell(RESTORE)
    assert failed.value.returncode == 3
    assert failed.value.stdout.startswith(f"content-lost {late.diff_id}: ")


def test_disk_is_given_back(shell, url):
    with Store.open(url) as store:

        def size():
            with store.engine.connect() as connection:
                return connection.exec_driver_sql("SELECT pg_total_relation_size('imagestore_images')").scalar_one()

        images = store.create_many(make_config(number) for number in range(1000))
        for image in images:
            store.delete(image)
        before = size()
        shell(SHRINK)
        assert size() < before


def test_every_table_that_grows_is_named():
    small = {"imagestore_leases", "imagestore_lease_layers", "imagestore_content_location"}
    assert set(re.findall(r"imagestore_\w+", SHRINK)) == set(metadata.tables) - small
