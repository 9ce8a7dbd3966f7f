"""A program that works on one store in many processes: ``python -m tests.concurrency.worker URL FOLDER PROCESSES SECONDS SEED``.

Each process writes a line of JSON for each of its calls, to a file of its own in the folder: when it began, when it ended, which it was,
and the name of the error that it raised, if any.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Final

from imagestore.digest import ImageID
from imagestore.errors import ImageStoreError
from imagestore.store import Store
from imagestore.testing.makers import make_config

CONFIGS: Final = [make_config(number) for number in range(10)]
IDS: Final = [ImageID.from_bytes(config) for config in CONFIGS]


def draw_call(draw: random.Random) -> tuple[str, list[int]]:
    """A method of a store, and the images that it is called with."""
    name = draw.choices(
        ["create", "create_many", "delete", "set_parent", "set_last_updated", "touch", "set_built_locally", "look"],
        [30, 5, 15, 40, 5, 5, 5, 5],
    )[0]
    return name, draw.sample(range(len(IDS)), {"create_many": 3, "set_parent": 2, "look": 0}.get(name, 1))


def make(store: Store, name: str, images: list[int]) -> None:
    match name:
        case "create":
            store.create(CONFIGS[images[0]])
        case "create_many":
            store.create_many(CONFIGS[image] for image in images)
        case "look":
            look(store)
        case _:
            getattr(store, name)(*(IDS[image] for image in images))


def look(store: Store) -> None:
    """Whoever is there names the parent that has it as a child, at each moment."""
    with store.reading() as snapshot:
        there = snapshot.map()
        for image_id in there:
            for child in snapshot.children(image_id):
                if there[child].parent != image_id or snapshot.get_parent(child) != image_id:
                    raise AssertionError(f"{child} is a child of {image_id} and does not know it")


def work(url: str, log: Path, seconds: float, seed: str) -> None:
    draw = random.Random(seed)
    with Store.open(url) as store, log.open("w") as lines:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            name, images = draw_call(draw)
            error = None
            began = time.monotonic_ns()
            try:
                make(store, name, images)
            except ImageStoreError as refused:
                error = type(refused).__name__
            lines.write(json.dumps([began, time.monotonic_ns(), name, images, error]) + "\n")


def main(url: str, folder: str, processes: str, seconds: str, seed: str) -> int:
    """Returns how many of the processes have failed; their tracebacks are on stderr."""
    started = []
    for number in range(int(processes)):
        process = os.fork()
        if not process:
            status = 1
            try:
                work(url, Path(folder, f"{number}.log"), float(seconds), f"{seed} {number}")
                status = 0
            except BaseException:  # noqa: BLE001  its only report
                sys.excepthook(*sys.exc_info())
            finally:
                sys.stderr.flush()
                os._exit(status)
        started.append(process)
    return sum(os.waitpid(process, 0)[1] != 0 for process in started)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
