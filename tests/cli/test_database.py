from __future__ import annotations

import io
import json
import re

import pytest
from sqlalchemy import URL, create_engine, make_url

from imagestore.migrate import head
from imagestore.store import Store
from imagestore.testing.makers import make_config, make_layer
from tests.verify.damage import delete_rows, write_blob, write_row


def test_a_sound_store_is_no_news(cli, store):
    store.create(make_config())
    assert cli("verify") == (0, "", "")
    assert cli("verify", "--repair") == (0, "", "")


def test_findings_are_told(cli, store):
    gone, changed = sorted(store.create_many([make_config("a"), make_config("b")]))
    delete_rows(store, gone)
    write_blob(store, changed, b"changed")
    code, out, err = cli("verify")
    assert (code, err) == (3, "imagestore: findings: 2, repaired: 0\n")
    assert [line.split(":")[0] for line in out.splitlines() if not line.startswith(" ")] == [
        "missing-row sha256",
        "corrupt-blob sha256",
    ]
    assert [line for line in out.splitlines() if line.startswith("    ")] != []
    assert gone not in store


def test_repaired_findings_are_told(cli, store):
    gone, changed = sorted(store.create_many([make_config("a"), make_config("b")]))
    delete_rows(store, gone)
    write_blob(store, changed, b"changed")
    code, out, err = cli("verify", "--repair", "--format", "json")
    found = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (3, "imagestore: findings: 2, repaired: 1\n")
    assert [(each["kind"], each["subject"], each["repaired"]) for each in found] == [
        ("missing-row", gone, True),
        ("corrupt-blob", changed, False),
    ]
    assert all(each.keys() == {"kind", "subject", "cause", "remedy", "repaired"} for each in found)
    assert gone in store


def test_a_store_that_was_repaired_is_sound(cli, store):
    write_row(store, store.create(make_config()), last_used="2030-01-01T00:00:00.000000000Z")
    code, out, _ = cli("verify", "--repair")
    assert (code, out.splitlines()[1]) == (0, "    repaired")
    assert cli("verify") == (0, "", "")


def test_the_way_of_a_database(run_cli, database_url):
    store = "--store", database_url
    assert run_cli(*store, "db", "current") == (0, "base\n", "")
    assert run_cli(*store, "images").code == 1
    assert run_cli(*store, "db", "current") == (0, "base\n", "")
    assert run_cli(*store, "db", "upgrade") == (0, f"{head()}\n", "")
    assert run_cli(*store, "db", "upgrade") == (0, f"{head()}\n", "")
    assert run_cli(*store, "db", "current") == (0, f"{head()}\n", "")
    assert run_cli(*store, "db", "check") == (0, "", "")
    assert run_cli(*store, "images", "-q") == (0, "", "")


def test_what_is_otherwise_in_the_database_is_found(cli, store):
    with store.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE imagestore_images ADD COLUMN colour TEXT")
    code, out, err = cli("db", "check")
    assert (code, err) == (3, "")
    assert "colour" in out


@pytest.mark.parametrize("command", ["images", "verify", "heads"])
def test_a_file_that_is_not_there_is_not_made(run_cli, tmp_path, command):
    file = tmp_path / "typo.db"
    code, out, err = run_cli("--store", f"sqlite:///{file}", command)
    assert (code, out) == (1, "")
    assert f"run 'imagestore --store sqlite:///{file} db upgrade'" in err
    assert not file.exists()


def test_the_command_that_a_remedy_names_is_whole_and_hides_a_password(run_cli, postgres_url):
    url = make_url(postgres_url).update_query_dict({"password": "hunter2"})
    code, out, err = run_cli("--store", url.render_as_string(hide_password=False), "--schema", "later", "images")
    assert (code, out) == (1, "")
    assert re.search(r"run 'imagestore --store .*postgresql\S+ --schema later db upgrade'", err)
    assert "hunter2" not in err


@pytest.mark.parametrize(("command", "code"), [("current", 0), ("check", 1)])
def test_to_look_makes_no_file(run_cli, tmp_path, command, code):
    file = tmp_path / "typo.db"
    done = run_cli("--store", f"sqlite:///{file}", "db", command)
    assert done.code == code
    assert (f"imagestore --store sqlite:///{file} db upgrade" in done.err) == (code == 1)
    assert not file.exists()


def test_a_schema_of_its_own(run_cli, postgres_url):
    store = "--store", postgres_url, "--schema", "images"
    assert run_cli(*store, "db", "upgrade").code == 0
    assert run_cli(*store, "db", "current").out == f"{head()}\n"
    assert run_cli(*store, "db", "check") == (0, "", "")
    image_id = run_cli(*store, "create", "-", stdin=make_config()).out.strip()
    assert run_cli(*store, "images", "-q", "--no-trunc").out.split() == [image_id]
    assert run_cli(*store, "verify") == (0, "", "")
    with Store.open(postgres_url, schema="images", create_schema=False) as opened:
        assert image_id in opened
    assert run_cli("--store", postgres_url, "db", "current").out == "base\n"


def test_the_environment_names_the_store(run_cli, monkeypatch, store, tmp_path):
    image_id = store.create(make_config())
    monkeypatch.setenv("IMAGESTORE_URL", store.engine.url.render_as_string(hide_password=False))
    assert run_cli("images", "-q", "--no-trunc").out.split() == [image_id]
    other = f"sqlite:///{tmp_path / 'other.db'}"
    Store.open(other).close()
    assert run_cli("--store", other, "images", "-q").out == "", "the option comes first"


def test_the_default_is_a_file_in_the_users_data_folder(run_cli, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data? #1"))
    assert run_cli("images", "-q") == (0, "", "")
    (made,) = (file for file in (tmp_path / "data? #1").rglob("images.db"))
    image_id = run_cli("create", "-", stdin=make_config()).out.strip()
    engine = create_engine(URL.create("sqlite", database=str(made)))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT hex(id) FROM imagestore_images").scalars().all() == [
            image_id.removeprefix("sha256:").upper()
        ]
    engine.dispose()


def test_the_bytes_of_layers_are_looked_for(run_cli, store, tmp_path):
    url = store.engine.url.render_as_string(hide_password=False)
    folder = tmp_path / "layers"
    with Store(store.engine, content=folder) as filled:
        layer = filled.layers.register(io.BytesIO(make_layer()))
    (file,) = (folder / "data").iterdir()
    command = "--store", url, "--content", folder, "verify"
    assert run_cli(*command, "--bytes") == (0, "", "")
    file.write_bytes(make_layer().replace(b"x", b"y"))
    assert run_cli(*command) == (0, "", "")
    code, out, _ = run_cli(*command, "--bytes")
    assert (code, out.split(":")[0]) == (3, "corrupt-content sha256")
    file.unlink()
    code, out, err = run_cli(*command)
    assert (code, err) == (3, "imagestore: findings: 1, repaired: 0\n")
    assert out.startswith(f"content-lost {layer.diff_id}: there is nothing under '{file.name}'\n")


def test_a_folder_that_nobody_names_is_told(cli, store, tmp_path):
    with Store(store.engine, content=tmp_path / "layers") as filled:
        filled.layers.register(io.BytesIO(make_layer()))
    code, out, err = cli("verify")
    assert (code, out) == (0, "")
    assert "--content" in err
