"""What a user may get wrong: a line or two on standard error with the subject and the remedy, no traceback, no secret, nothing left."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import create_engine, make_url

from imagestore.digest import ImageID
from imagestore.store import Store
from imagestore.testing.makers import make_config, make_digest

SECRET = "hunter2"


def assert_told(result, *parts):
    code, out, err = result
    assert (code, out) == (1, "")
    assert err.startswith("imagestore: ")
    assert "Traceback" not in err
    assert SECRET not in err
    assert [part for part in parts if part not in err] == [], err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["imagse"], "No such command 'imagse'. Did you mean 'images'?"),
        (["images", "--al"], "No such option"),
        (["images", "app", "more"], "unexpected extra argument"),
        (["tag", "app"], "Missing argument 'NAME[:TAG]'"),
        (["images", "--format", "yaml"], "'yaml' is not one of 'table', 'json'"),
        (["--store"], "requires an argument"),
        (["inspect"], "Missing argument 'IMAGE...'"),
        (["inspect", ""], "at least one character"),
        (["rmi", ""], "at least one character"),
        (["children", ""], "at least one character"),
        (["create"], "Missing argument 'FILE...'"),
        (["import-docker"], "Missing argument"),
        (["import-docker", ""], "a path has at least one character"),
        (["export-docker", ""], "a path has at least one character"),
        (["create", ""], "a path has at least one character"),
        (["db", "downgrade"], "No such command 'downgrade'"),
    ],
)
def test_wrong_usage(run_cli, arguments, told):
    code, out, err = run_cli(*arguments)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("Error: ")
    assert told in err


def test_no_command_shows_the_help(run_cli):
    code, _, err = run_cli()
    assert code == 2
    assert "import-docker" in err


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "not a database URL"),
        ("images.db", "not a database URL"),
        ("/images.db", "not a database URL"),
        (f"mysql://me:{SECRET}@localhost/db?password={SECRET}", "unsupported database or driver 'mysql'"),
        (f"postgres://me:{SECRET}@localhost/db", "write 'postgresql'"),
        (f"postgresql+asyncpg://me:{SECRET}@localhost/db", "unsupported database or driver 'postgresql+asyncpg'"),
        (f"postgresql://me:{SECRET}@localhost:port/db", "not a database URL"),
    ],
)
@pytest.mark.parametrize("command", [["images"], ["db", "current"], ["create", "-"]])
def test_a_wrong_url(run_cli, url, told, command):
    assert_told(run_cli("--store", url, *command, stdin=make_config()), told, "sqlite:///")


@pytest.mark.parametrize("query", ["", f"?password={SECRET}"])
@pytest.mark.parametrize("command", [["images"], ["db", "upgrade"]])
def test_a_server_that_does_not_answer(run_cli, command, query):
    result = run_cli("--store", f"postgresql+psycopg://me:{SECRET}@127.0.0.1:1/images{query}", *command)
    assert_told(result, "port 1 failed", "check that it runs")


def test_a_database_that_the_server_does_not_have(run_cli, postgres_url):
    url = make_url(postgres_url).set(database="nowhere", password=SECRET).render_as_string(hide_password=False)
    assert_told(run_cli("--store", url, "images"), '"nowhere" does not exist', "check its database")


def test_a_folder_that_is_not_there(run_cli, tmp_path):
    url = f"sqlite:///{tmp_path}/missing/images.db"
    assert_told(
        run_cli("--store", url, "db", "upgrade"), "unable to open database file", "check that its folder exists"
    )


def test_a_file_that_is_no_database(run_cli, tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but long enough to have a header that says so" * 20)
    before = file.read_bytes()
    assert_told(run_cli("--store", f"sqlite:///{file}", "images"), "file is not a database", "another one")
    assert file.read_bytes() == before


def read_only(store):
    url = store.engine.url
    if store.engine.dialect.name == "sqlite":
        return f"sqlite:///file:{url.database}?mode=ro&uri=true"
    return url.update_query_dict({"options": "-cdefault_transaction_read_only=on"}).render_as_string(
        hide_password=False
    )


@pytest.mark.parametrize("command", [["create", "-"], ["rmi", "IMAGE"]])
def test_a_database_that_is_read_only(run_cli, store, command):
    image_id = store.create(make_config())
    command = [image_id if each == "IMAGE" else each for each in command]
    result = run_cli("--store", read_only(store), *command, stdin=make_config("new"))
    remedy = "check their modes" if store.engine.dialect.name == "sqlite" else "connect to the primary"
    assert_told(result, remedy)
    assert list(store.map()) == [image_id]


def test_a_database_that_is_read_only_is_read(run_cli, store):
    image_id = store.create(make_config())
    assert run_cli("--store", read_only(store), "images", "-q", "--no-trunc") == (0, f"{image_id}\n", "")


def set_revision(store, revision):
    with store.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE imagestore_alembic_version SET version_num = '{revision}'")


@pytest.mark.parametrize("command", [["images"], ["create", "-"], ["db", "upgrade"]])
def test_a_database_of_a_later_release(cli, store, command):
    set_revision(store, "9999")
    assert_told(cli(*command, stdin=make_config()), "revision 9999", "install the release that wrote it")


def test_tables_of_somebody_else(run_cli, database_url):
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE imagestore_images (id INTEGER)")
    assert_told(run_cli("--store", database_url, "images"), "imagestore_images", "use another database")
    engine.dispose()


def test_sqlite_has_no_schemas(run_cli, sqlite_url):
    for command in (["images"], ["db", "upgrade"], ["db", "current"], ["db", "check"]):
        assert_told(run_cli("--store", sqlite_url, "--schema", "images", *command), "SQLite has no schemas")


LOOKING = [["inspect"], ["history"], ["children"], ["ancestors"], ["rmi"]]


@pytest.mark.parametrize("command", LOOKING)
@pytest.mark.parametrize(
    "term", ["dead", "sha256:dead", "sha512:dead", "x", "app:1", make_digest(), "sha512:" + "0" * 128]
)
def test_an_image_that_is_not_there(cli, store, command, term):
    """It is told as docker's commands do: with the tag that was looked for, but by inspect and rmi."""
    store.create(make_config())
    code, out, err = cli(*command, term)
    assert (code, out.strip()) == (1, "[]" if command == ["inspect"] else "")
    tag = "" if ":" in term or command in (["inspect"], ["rmi"]) else ":latest"
    assert err == f"imagestore: No such image: {term}{tag}\n"
    assert len(store) == 1


@pytest.mark.parametrize("command", LOOKING)
@pytest.mark.parametrize("term", ["DEAD", "sha256:", "a b", "app:", ":1", "\x1b[31mred"])
def test_what_is_no_name_and_no_id(cli, store, command, term):
    store.create(make_config())
    code, out, err = cli(*command, term)
    assert (code, out.strip()) == (1, "[]" if command == ["inspect"] else "")
    assert err.startswith(f"imagestore: {term!r} is not a valid repository/tag: invalid reference format")
    assert len(store) == 1


@pytest.mark.parametrize("command", LOOKING)
def test_a_short_id_of_several(cli, store, command):
    made = store.create_many(make_config(number) for number in range(17))
    digits = [image_id[7] for image_id in made]
    ambiguous = next(digit for digit in digits if digits.count(digit) > 1)
    code, out, err = cli(*command, ambiguous)
    assert (code, out.strip()) == (1, "[]" if command == ["inspect"] else "")
    assert f"ambiguous image ID {ambiguous!r}" in err
    assert "give more digits" in err
    assert all(image_id in err for image_id in made if image_id[7] == ambiguous)
    assert len(store) == 17


def test_a_folder_in_place_of_a_file(cli, store, tmp_path):
    assert_told(cli("create", tmp_path), f"{tmp_path}: Is a directory")


@pytest.mark.parametrize("content", [None, b"no tar"])
def test_a_path_without_a_data_root(cli, store, tmp_path, content):
    path = tmp_path / "docker"
    if content is not None:
        path.write_bytes(content)
    assert_told(cli("import-docker", path), str(path))
    assert list(store.backend.walk()) == []


def test_a_folder_without_a_data_root(cli, tmp_path):
    assert_told(cli("import-docker", tmp_path), str(tmp_path), "image/<driver>/imagedb")


def test_tags_that_cannot_be_read_are_told_and_their_images_come(cli, store, tmp_path):
    config, folder = make_config("image"), tmp_path / "imagedb" / "content" / "sha256"
    folder.mkdir(parents=True)
    image_id = ImageID.from_bytes(config)
    (folder / image_id.hex).write_bytes(config)
    (tmp_path / "repositories.json").write_bytes(b'{"Repositories":{"app":')
    assert_told(cli("import-docker", tmp_path), "copied 1 images", "left out: repositories.json: ", "run this again")
    assert list(store.map()) == [image_id]
    (tmp_path / "repositories.json").write_text(json.dumps({"Repositories": {"app": {"app:1": image_id}}}))
    assert cli("import-docker", tmp_path).code == 0
    assert store.references.get("app:1") == image_id


def test_a_file_where_the_export_should_go(cli, tmp_path):
    (tmp_path / "imagedb").write_text("in the way")
    assert_told(cli("export-docker", tmp_path), str(tmp_path / "imagedb"))


def test_a_damaged_image_is_not_exported_and_is_told(cli, store, tmp_path):
    from tests.verify.damage import write_blob

    good, bad = store.create_many([make_config("good"), make_config("bad")])
    write_blob(store, bad, b"changed")
    assert_told(cli("export-docker", tmp_path), bad, "restore")
    assert [file.name for file in (tmp_path / "imagedb/content/sha256").iterdir()] == [good.hex]


def test_a_locked_database(run_cli, sqlite_store, monkeypatch):
    """Nobody waits for longer than the busy timeout."""
    monkeypatch.setattr(Store, "open", classmethod(lambda cls, url, **more: cls_open(url, **more)))
    cls_open = lambda url, **more: ORIGINAL(url, timeout=0, **more)  # noqa: E731
    url = str(sqlite_store.engine.url)
    with sqlite_store.begin():
        assert_told(run_cli("--store", url, "create", "-", stdin=make_config()), "database is locked", "try again")
    assert len(sqlite_store) == 0


ORIGINAL = Store.open
