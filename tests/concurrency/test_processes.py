"""Eight processes create, link and delete the same images at once: what is there in the end is what their calls have made."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from imagestore.store import Store
from imagestore.verify import verify
from tests.concurrency.worker import IDS

REPOSITORY = Path(__file__).parents[2]
PROCESSES = 8
DOCUMENTED = {"ImageNotFoundError", "ParentNotFoundError", "ParentCycleError"}


class Call(NamedTuple):
    """A call of one of the processes, and when it began and ended, by the clock that they share."""

    began: int
    ended: int
    name: str
    images: list[int]
    error: str | None

    def is_before(self, other: Call) -> bool:
        return self.ended < other.began


@pytest.mark.parametrize("seconds", [2, pytest.param(30, marks=pytest.mark.soak)])
def test_eight_processes_on_the_same_images(database_url, tmp_path, seconds):
    Store.open(database_url).close()
    seed = random.randrange(1 << 32)
    command = [sys.executable, "-m", "tests.concurrency.worker", database_url, tmp_path, PROCESSES, seconds, seed]
    subprocess.run([*map(str, command)], cwd=REPOSITORY, check=True)
    calls = [Call(*json.loads(line)) for log in tmp_path.glob("*.log") for line in log.read_text().splitlines()]
    done = [call for call in calls if call.error is None]
    assert {call.error for call in calls} <= {None, *DOCUMENTED}
    assert done
    with Store.open(database_url) as store:
        assert list(verify(store)) == []
        there = {IDS.index(image.image_id): image.parent for image in store.map().values()}
        parents = {image: None if parent is None else IDS.index(parent) for image, parent in there.items()}
        assert {image: parent_in_the_index(store, image) for image in parents} == parents
    for image in range(len(IDS)):
        assert (image in parents) in whether_it_may_be_there(done, image), f"seed {seed}"
        assert may_have_parent(done, image, parents.get(image)), f"seed {seed}"
        assert image not in ancestors(parents, image), f"seed {seed}"


def parent_in_the_index(store, image):
    found = [parent for parent in range(len(IDS)) if IDS[image] in store.children(IDS[parent])]
    assert len(found) <= 1
    return found[0] if found else None


def whether_it_may_be_there(done, image):
    writes = [each for each in done if each.name in ("create", "create_many", "delete") and image in each.images]
    return {each.name != "delete" for each in latest(writes)} or {False}


def may_have_parent(done, image, parent):
    own = latest(
        [each for each in done if (each.name == "set_parent" and each.images[0] == image) or deletes(each, image)]
    )
    if parent is None:  # it never had one, or that has gone
        return not own or any(
            each.name == "delete" or any(deletes(other, each.images[1]) and not other.is_before(each) for other in done)
            for each in own
        )
    return any(
        each.name == "set_parent"
        and each.images[1] == parent
        and not any(deletes(other, parent) and each.is_before(other) for other in done)
        for each in own
    )


def deletes(call, image):
    return call.name == "delete" and call.images == [image]


def latest(calls):
    """Those of the calls that may have been the last: no other began after they had ended."""
    last = max((call.began for call in calls), default=0)
    return [call for call in calls if call.ended >= last]


def ancestors(parents, image):
    found = []
    while (image := parents.get(image)) is not None and image not in found:
        found.append(image)
    return found
