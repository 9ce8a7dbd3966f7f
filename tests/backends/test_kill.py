"""A process that writes through FSBackend is killed at random moments: what is there is whole, and what it acknowledged is there."""

from __future__ import annotations

import json
import random
import select
import subprocess
import sys
from pathlib import Path

import pytest

from imagestore.backends.filesystem import FSBackend
from imagestore.digest import Digest
from tests.backends.state import contents_of

REPOSITORY = Path(__file__).parents[2]
BLOBS = [bytes([number]) * 50_000 for number in range(4)]

# Reads one call a line, does it, and says so.
WRITER = """
import json, sys
from imagestore.backends.filesystem import FSBackend
backend = FSBackend(sys.argv[1], create=False)
print("ready", flush=True)
for line in sys.stdin:
    name, arguments = json.loads(line)
    getattr(backend, name)(*(argument if isinstance(argument, str) else bytes(argument[:1]) * argument[1] for argument in arguments))
    print("done", flush=True)
"""


def draw_call(draw, model):
    number = draw.randrange(len(BLOBS))
    digest = Digest.from_bytes(BLOBS[number])
    key = draw.choice(["parent", "key"])
    if digest not in model or draw.random() < 0.2:
        return "set", digest, [[number, 50_000]]
    if draw.random() < 0.6:
        return "set_metadata", digest, [digest, key, [draw.randrange(256), draw.randrange(20_000)]]
    if draw.random() < 0.5:
        return "delete_metadata", digest, [digest, key]
    return "delete", digest, [digest]


def apply(model, name, digest, arguments):
    """What is there after a call, and what may be there in the midst of it."""
    data, metadata = model.get(digest, (b"", {}))
    others = {other: held for other, held in model.items() if other != digest}
    if name == "set":
        after = {**others, digest: (bytes(arguments[0][:1]) * arguments[0][1], metadata)}
    elif name == "set_metadata":
        after = {**others, digest: (data, {**metadata, arguments[1]: bytes(arguments[2][:1]) * arguments[2][1]})}
    elif name == "delete_metadata":
        after = {**others, digest: (data, {key: value for key, value in metadata.items() if key != arguments[1]})}
    else:
        return others, [model, {**others, digest: (data, {})}, others]  # its metadata goes first, all at once
    return after, [model, after]


def kill_while_writing(root, draw):
    """Let a process write, kill it, and return the states that may be there, given what it had acknowledged."""
    model = contents_of(root)
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
        cwd=REPOSITORY,
    )
    with process:
        assert process.stdout.readline() == "ready\n"
        for _ in range(draw.randrange(20)):
            call = draw_call(draw, model)
            process.stdin.write(json.dumps([call[0], call[2]]) + "\n")
            assert process.stdout.readline() == "done\n"
            model, _ = apply(model, *call)
        call = draw_call(draw, model)
        process.stdin.write(json.dumps([call[0], call[2]]) + "\n")
        process.stdin.flush()
        select.select([process.stdout.fileno()], [], [], draw.uniform(0, 0.004))  # or the call is through before
        process.kill()
    return apply(model, *call)[1]


def kill(root, times):
    seed = random.randrange(1 << 32)
    draw = random.Random(seed)
    FSBackend(root)
    undone = 0
    for _ in range(times):
        possible = kill_while_writing(root, draw)
        found = contents_of(root)
        assert found in possible, f"seed {seed}"
        undone += found == possible[0]
    return undone


def test_killed_now_and_then(tmp_path):
    kill(tmp_path / "imagedb", 12)


@pytest.mark.soak
def test_killed_at_200_moments(tmp_path):
    assert 0 < kill(tmp_path / "imagedb", 200) < 200, "the moments were all too early, or all too late"
