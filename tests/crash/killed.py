"""Programs that write until they are killed, and who kills them.

Such a program becomes a new process for each line, a seed, that it reads. That one says its ID, and then a line for each step that it has
committed; the steps follow from the seed, so that who reads this knows them too. When it is gone, "killed" is said.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from subprocess import PIPE, Popen
from typing import NamedTuple

from tests.crash.sessions import end_sessions

REPOSITORY = Path(__file__).parents[2]
ACKNOWLEDGED = 8  # steps that a writer commits before it is killed, at most


def kill_while_writing(process: Popen[str], draw: Random, seed: int, longest: float) -> list[str]:
    """Let a process write, kill it at most ``longest`` seconds after some steps, and return what it said of each."""
    process.stdin.write(f"{seed}\n")
    writer = int(process.stdout.readline())
    said = [process.stdout.readline() for _ in range(draw.randint(0, ACKNOWLEDGED))]
    time.sleep(draw.uniform(0, longest))
    os.kill(writer, signal.SIGKILL)
    said += iter(process.stdout.readline, "killed\n")
    return said


class Kill(NamedTuple):
    """One of several kills: the seed and what was said of each step; ``where`` finds it again."""

    seed: int
    said: list[str]
    where: str


def kills(command: Sequence[object], url: str, moments: int, longest: float) -> Iterator[Kill]:
    """Kill such a program at random moments; who iterates looks at what it has left.

    Args:
        command: a module of ours, and its arguments.
        url: of the database, on which the sessions of the killed are ended before.
        moments: how many.
        longest: as for `kill_while_writing`.
    """
    first_seed = random.randrange(1 << 32)
    draw = Random(first_seed)
    with Popen(
        [sys.executable, "-m", *map(str, command)], stdin=PIPE, stdout=PIPE, text=True, bufsize=1, cwd=REPOSITORY
    ) as process:
        for moment in range(moments):
            seed = draw.randrange(1 << 32)
            said = kill_while_writing(process, draw, seed, longest)
            end_sessions(url)
            yield Kill(seed, said, f"first seed {first_seed}, moment {moment}, seed {seed}")
        process.stdin.close()
    assert process.returncode == 0


def say(text: str) -> None:
    """Tell the one who kills."""
    os.write(1, f"{text}\n".encode())


def write_until_killed(write: Callable[[int], None]) -> None:
    """The program: ``write`` takes a seed and never returns."""
    for line in sys.stdin:
        writer = os.fork()
        if not writer:
            try:
                say(str(os.getpid()))
                write(int(line))
            except BaseException:  # noqa: BLE001  its only report
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(1)
        _, status = os.waitpid(writer, 0)
        say("killed" if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL else "ended by itself")
