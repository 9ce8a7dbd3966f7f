"""What the databases under data/ hold, and how one is made: ``python -m tests.migrations.stored 0003``, once for each new revision.

At 0002 the layers are not filled in yet: that is what an upgrade leaves that was interrupted.

A database stays as it is from then on: a file for SQLite, and for PostgreSQL what pg_dump wrote, without the settings of its session.
The image that is in no trie came into all of them later: they were made again by this command, and have that one's rows more.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import sqlalchemy
from sqlalchemy import Connection, insert, make_url, text

from imagestore import migrate
from imagestore.digest import ChainID, DiffID, Digest, ImageID, chain_id
from imagestore.sql import schema
from imagestore.testing import postgres
from imagestore.testing.makers import make_diff_id

FOLDER = Path(__file__).parent / "data"

LAYERS = [f"sha256:{number:064x}" for number in range(1, 4)]
CONFIG = (
    b'{"architecture":"amd64","config":{"Cmd":["sh"]},"created":"2020-10-0%dT12:00:00.123456789Z",'
    b'"history":[{"created":"2020-10-0%dT12:00:00Z","created_by":"ADD \\u003c"}],"os":"linux",'
    b'"rootfs":{"type":"layers","diff_ids":["%s"]}}'
)
BASE, CHILD, WAITING = (CONFIG % (day, day, layer.encode()) for day, layer in enumerate(LAYERS, start=1))
OTHER = CONFIG % (4, 4, b"sha512:" + b"0" * 128)  # of no SHA-256 digest, and so in no trie
NO_IMAGE = b"no image"
CONFIGS = BASE, CHILD, WAITING, OTHER
BASE_ID, CHILD_ID, WAITING_ID, OTHER_ID = map(ImageID.from_bytes, CONFIGS)
ABSENT_ID = ImageID(Digest.from_bytes(b"never stored"))

BLOBS = {Digest.from_bytes(data): data for data in (*CONFIGS, NO_IMAGE)}
METADATA = {
    (BASE_ID, b"lastUpdated"): b"2020-10-09T12:00:00.5+02:00",
    (BASE_ID, b"lastUsed"): b"2020-10-10T00:00:00Z",
    (BASE_ID, b"builtLocally"): b"\x01",
    (CHILD_ID, b"parent"): BASE_ID.encode(),
    (WAITING_ID, b"parent"): ABSENT_ID.encode(),
    (Digest.from_bytes(NO_IMAGE), b"caf\xe9"): b"\x00\xff",
}
IMAGES = {
    BASE_ID: (None, "2020-10-09T10:00:00.500000000Z", "2020-10-10T00:00:00.000000000Z"),
    CHILD_ID: (BASE_ID, None, None),
    WAITING_ID: (None, None, None),
    OTHER_ID: (None, None, None),
}


TOPS = dict(zip(IMAGES, (*map(ChainID, LAYERS), None), strict=True))
ALONE = make_diff_id("of no image")  # a layer that a lease holds alone, upon that of the first image
ALONE_CHAIN = chain_id([LAYERS[0], ALONE])
LEASE = "0123456789abcdef" * 2
IDENTITY = "f" * 32
KNOWN_LAYERS = {(ChainID(layer), DiffID(layer), None, None) for layer in LAYERS}
"""What the configurations say."""

REGISTERED = {(ALONE_CHAIN, ALONE, ChainID(LAYERS[0]), 700)}
BESIDE = {
    schema.contents: (ALONE, f"{LEASE}-1", 10_240),
    schema.leases: (LEASE, "9999-12-31T23:59:59.999999000Z", '{"job": "7"}'),
    schema.lease_layers: (LEASE, ALONE_CHAIN),
    schema.references: ("docker.io/library/app:1", "docker.io/library/app", BASE_ID),
    schema.content_location: (1, IDENTITY),
}
"""A row of each table that came with the layers."""


def fill(connection: Connection, revision: str) -> None:
    """Put into a database what it can hold at a revision."""
    blobs = [{"digest": digest, "data": data} for digest, data in BLOBS.items()]
    images: list[dict[str, object]] = [
        dict(zip(("id", "parent", "last_updated", "last_used"), (id, *rest), strict=True))
        for id, rest in IMAGES.items()
    ]
    metadata = [{"digest": digest, "key": key, "value": value} for (digest, key), value in METADATA.items()]
    connection.execute(insert(schema.blobs), blobs)
    if revision >= "0003":
        names = [column.name for column in schema.layers.columns]
        rows = [dict(zip(names, row, strict=True)) for row in (*sorted(KNOWN_LAYERS), *REGISTERED)]
        connection.execute(insert(schema.layers), rows)
        images = [{**image, "top": top} for image, top in zip(images, map(TOPS.get, IMAGES), strict=True)]
    connection.execute(insert(schema.images), images)
    connection.execute(insert(schema.metadata_keys), metadata)
    if revision >= "0003":
        for table, row in BESIDE.items():
            connection.execute(insert(table).values(row))
    connection.commit()


def load(path: Path, url: str) -> None:
    """Make the database at a URL what a file under data/ says."""
    if path.suffix == ".sqlite":
        Path(str(make_url(url).database)).write_bytes(path.read_bytes())
    else:
        run_script(url, path.read_text())


def run_script(url: str, sql: str) -> None:
    """Run statements as the database's own shell would, on a connection of the bare driver."""
    engine = sqlalchemy.create_engine(url)
    connection = engine.raw_connection()
    driver_connection = connection.driver_connection
    assert driver_connection is not None
    if engine.dialect.name == "sqlite":
        driver_connection.executescript(sql)
    else:
        driver_connection.autocommit = True
        driver_connection.execute(sql)
    connection.invalidate()
    engine.dispose()


def _make(url: str, revision: str) -> None:
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.execute(text("PRAGMA page_size = 512"))
            connection.rollback()
        migrate.upgrade(connection, revision)
        fill(connection, revision)
    engine.dispose()


def main(revision: str) -> None:
    """Make the databases of a revision."""
    path = FOLDER / revision
    sqlite = path.with_suffix(".sqlite")
    sqlite.unlink(missing_ok=True)
    _make(f"sqlite:///{sqlite}", revision)
    with postgres.postgres_server() as server:
        url = make_url(server.create_database())
        _make(url.render_as_string(hide_password=False), revision)
        programs = Path(postgres._bundled_programs())
        options = [
            "--inserts",
            "--no-owner",
            "--no-privileges",
            f"--host={url.query['host']}",
            f"--port={url.query['port']}",
        ]
        command = [str(programs / "pg_dump"), *options, f"--username={url.username}", str(url.database)]
        dumped = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    of_the_session = ("SET ", "SELECT pg_catalog.set_config", "--", "\\")
    kept = [line for line in dumped.splitlines() if line and not line.startswith(of_the_session)]
    path.with_suffix(".sql").write_text("\n".join(kept) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
