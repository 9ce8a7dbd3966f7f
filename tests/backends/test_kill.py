"""A process that writes through FSBackend is killed at random moments: what is there is whole, and what it acknowledged is there."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
from pathlib import Path

from imagestore.backends.filesystem import FSBackend
from imagestore.digest import Digest
from tests.backends.state import contents_of

REPOSITORY = Path(__file__).parents[2]
BLOBS = [bytes([number]) * 50_000 for number in range(4)]

# Becomes a new process for each line "fork". That one says its ID, then reads one call a line, does it, and says so.
WRITER = """
import json, os, sys
from imagestore.backends.filesystem import FSBackend
backend = FSBackend(sys.argv[1], create=False)
while line := os.read(0, 1 << 16):
    if b"fork" not in line:  # a call that the last one did not come to read
        continue
    if writer := os.fork():
        os.waitpid(writer, 0)
        os.write(1, b"killed\\n")
        continue
    os.write(1, b"%d\\n" % os.getpid())
    while line := os.read(0, 1 << 16):
        name, arguments = json.loads(line)
        getattr(backend, name)(*(a if isinstance(a, str) else bytes(a[:1]) * a[1] for a in arguments))
        os.write(1, b"done\\n")
    os._exit(0)
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


def kill_while_writing(process, draw, model):
    """Let a process write, kill it, and return the states that may be there, given what it had acknowledged."""
    process.stdin.write("fork\n")
    writer = int(process.stdout.readline())
    for _ in range(draw.randrange(10)):
        call = draw_call(draw, model)
        process.stdin.write(json.dumps([call[0], call[2]]) + "\n")
        assert process.stdout.readline() == "done\n"
        model, _ = apply(model, *call)
    call = draw_call(draw, model)
    process.stdin.write(json.dumps([call[0], call[2]]) + "\n")
    select.select([process.stdout.fileno()], [], [], draw.uniform(0, 0.0006))  # less than most calls take
    os.kill(writer, signal.SIGKILL)
    last = process.stdout.readline()
    if last == "done\n":  # after all
        assert process.stdout.readline() == "killed\n"
        return [apply(model, *call)[0]]
    assert last == "killed\n"
    return apply(model, *call)[1]


def test_killed_at_200_moments(tmp_path):
    seed = random.randrange(1 << 32)
    draw = random.Random(seed)
    root = tmp_path / "imagedb"
    FSBackend(root)
    command = [sys.executable, "-c", WRITER, str(root)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, cwd=REPOSITORY
    ) as process:
        for moment in range(200):
            possible = kill_while_writing(process, draw, contents_of(root))
            assert contents_of(root) in possible, f"seed {seed}, moment {moment}"
        process.stdin.close()
    assert process.returncode == 0
