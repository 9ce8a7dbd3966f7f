"""A program that saves or loads images until it is killed: ``python -m tests.crash.archiver save|load URL CONTENT ARCHIVE``.

See `tests.crash.killed`; a step is one save to the same file, or one load of it.
"""

from __future__ import annotations

import io
import sys
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from imagestore.archive import load, save, save_to
from imagestore.sql.engine import create_engine
from imagestore.store import Store
from tests.archives.conftest import Pipe, empty
from tests.crash.killed import say, write_until_killed

NAMES = ["app"]


def _save(store: Store, path: str, seed: int) -> None:
    while True:
        if seed % 2:
            save_to(store, NAMES, path)
        else:
            save_to(store, NAMES, path, format="oci", compression="gzip")
        say("done")


def _load(store: Store, path: str, seed: int) -> None:
    while True:
        if seed % 2:
            load(store, path)
        else:
            load(store, cast("BinaryIO", Pipe(Path(path).read_bytes())))
        say("done")
        empty(store)


def main(way: str, url: str, folder: str, path: str) -> None:
    store = Store(create_engine(url), content=folder)
    # Once, so that its statements are compiled.
    if way == "save":
        save(store, NAMES, io.BytesIO())
    else:
        load(store, path)
        empty(store)
    store.engine.dispose()  # it has no connection that a fork would share
    write_until_killed(partial(_save if way == "save" else _load, store, path))


if __name__ == "__main__":
    main(*sys.argv[1:])
