"""Tables changed by hand, as no call of the store would change them, and what they hold."""

from __future__ import annotations

from contextlib import contextmanager

from sqlalchemy import delete, insert, select, update

from imagestore.sql.schema import blobs, contents, images, layers, lease_layers, leases, metadata_keys, references


@contextmanager
def by_hand(store):
    """A connection on which foreign keys are not enforced, as sqlite3's shell has it."""
    with store.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.connection.dbapi_connection.execute("PRAGMA foreign_keys = OFF")  # before a transaction begins
        else:
            connection.exec_driver_sql("SET session_replication_role = replica")
        yield connection
        connection.commit()
        connection.invalidate()


def write_row(store, image_id, **columns):
    """Make a row of the index, or change its columns."""
    with by_hand(store) as connection:
        if connection.execute(select(images.c.id).where(images.c.id == image_id)).first() is None:
            connection.execute(insert(images).values(id=image_id, **columns))
        elif columns:
            connection.execute(update(images).where(images.c.id == image_id).values(**columns))


def delete_rows(store, *image_ids):
    """Remove rows of the index, as a foreign key would have it: their children lose their parent."""
    with by_hand(store) as connection:
        connection.execute(update(images).where(images.c.parent.in_(image_ids)).values(parent=None))
        connection.execute(delete(images).where(images.c.id.in_(image_ids)))


def write_blob(store, digest, data):
    with by_hand(store) as connection:
        connection.execute(update(blobs).where(blobs.c.digest == digest).values(data=data))


def delete_blob(store, digest):
    with by_hand(store) as connection:
        connection.execute(delete(blobs).where(blobs.c.digest == digest))


def facts(store):
    """All blobs and all metadata."""
    with store.engine.connect() as connection:
        held = connection.execute(select(blobs)).all(), connection.execute(select(metadata_keys)).all()
    return [sorted(map(tuple, rows)) for rows in held]


def index(store):
    """The table of images: each ID with its parent and its two times."""
    with store.engine.connect() as connection:
        return {row.id: tuple(row[1:]) for row in connection.execute(select(images))}


def write_layer(store, chain, **columns):
    """Change columns of a layer's row."""
    with by_hand(store) as connection:
        connection.execute(update(layers).where(layers.c.chain_id == chain).values(**columns))


def delete_layers(store, *chains):
    with by_hand(store) as connection:
        connection.execute(delete(layers).where(layers.c.chain_id.in_(chains)))


def write_name(store, name, /, **columns):
    """Change columns of a reference's row."""
    with by_hand(store) as connection:
        connection.execute(update(references).where(references.c.name == name).values(**columns))


def trie(store):
    """The table of layers: each chain ID with the rest of its row."""
    with store.engine.connect() as connection:
        return {row.chain_id: tuple(row[1:]) for row in connection.execute(select(layers))}


def beside(store):
    """The rows of references, contents and leases."""
    tables = (references, contents, leases, lease_layers)
    with store.engine.connect() as connection:
        return [sorted(map(tuple, connection.execute(select(table)))) for table in tables]
