"""A store with a large trie of layers, filled by plain inserts."""

from __future__ import annotations

import random

from sqlalchemy import insert

from imagestore.digest import DiffID, ImageID
from imagestore.layer import links
from imagestore.sql import schema
from imagestore.sql.metadata import indexed_time
from imagestore.testing.makers import make_digest

COUNT = 20_000
TWINS = 2000  # images of the very same layers
LAYERS = 60  # of the deepest
USED = "2024-03-01T09:30:{:02}.{:09}Z"


def stacks():
    """The diff IDs of each image: half of all, and every deep one, on one base; steps of builds on top of each other."""
    draw = random.Random(0)
    base = [_diff_id(f"base {number}") for number in range(5)]
    found = [tuple(base)] * (TWINS + 1)
    while len(found) < COUNT:
        below = draw.choice(found) if draw.random() < 0.5 else (*base[: draw.choice((0, 5))],)
        below = below[: LAYERS - 6]
        new = draw.randint(1, 6)
        found.append((*below, *(_diff_id(f"{len(found)} {number}") for number in range(new))))
    return found


def fill(store):
    """Store the images; returns their stacks by ID."""
    draw = random.Random(1)
    ids = sorted(make_digest(number) for number in range(COUNT))
    draw.shuffle(ids)
    of_images = dict(zip(ids, stacks(), strict=True))
    chains = {stack: links(stack) for stack in set(of_images.values())}
    layers = {link.chain_id: (depth, link) for found in chains.values() for depth, link in enumerate(found)}
    rows = [
        {**link._asdict(), "size": draw.randrange(10**6)}
        for _, link in sorted(layers.values(), key=lambda each: (each[0], each[1].chain_id))
    ]
    images = [
        {
            "id": image_id,
            "top": chains[stack][-1].chain_id,
            "last_used": indexed_time(USED.format(number % 60, number).encode()) if number % 2 else None,
        }
        for number, (image_id, stack) in enumerate(of_images.items())
    ]
    kept = {row["diff_id"]: row["size"] for row in rows}
    with store.engine.begin() as connection:
        connection.execute(insert(schema.layers), rows)
        connection.execute(insert(schema.blobs), [{"digest": image_id, "data": b"{}"} for image_id in ids])
        connection.execute(insert(schema.images), images)
        connection.execute(
            insert(schema.contents),
            [{"diff_id": diff_id, "name": diff_id, "size": size} for diff_id, size in kept.items()],
        )
    return of_images


def _diff_id(name):
    return DiffID(ImageID.from_bytes(f"layer {name}".encode()))
