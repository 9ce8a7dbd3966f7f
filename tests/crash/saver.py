"""A program that saves images until it is killed: ``python -m tests.crash.saver URL CONTENT ARCHIVE``.

See `tests.crash.killed`; a step is one save, to the same file.
"""

from __future__ import annotations

import io
import sys
from functools import partial

from imagestore.archive import save, save_to
from imagestore.sql.engine import create_engine
from imagestore.store import Store
from tests.crash.killed import say, write_until_killed

NAMES = ["app"]


def _save(store: Store, path: str, seed: int) -> None:
    while True:
        if seed % 2:
            save_to(store, NAMES, path)
        else:
            save_to(store, NAMES, path, format="oci", compression="gzip")
        say("done")


def main(url: str, folder: str, path: str) -> None:
    store = Store(create_engine(url), content=folder)
    save(
        store, NAMES, io.BytesIO()
    )  # so that its statements are compiled, and it has no connection that a fork would share
    store.engine.dispose()
    write_until_killed(partial(_save, store, path))


if __name__ == "__main__":
    main(*sys.argv[1:])
