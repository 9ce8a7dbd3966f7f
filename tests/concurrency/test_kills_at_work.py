"""Eight processes load, name, remove and collect the same images and layers, and are killed at it one after the other.

In the end what is there is what their calls have made, all of it is whole, and what nothing holds goes.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import select

from imagestore.sql import schema
from imagestore.store import Store
from imagestore.verify import verify
from tests.concurrency.loader import IDS, LINKS, STACKS, TAGS, read_layer
from tests.crash.sessions import end_sessions

REPOSITORY = Path(__file__).parents[2]
PROCESSES = 8
_UNHELD = {"LayerNotFoundError", "LeaseExpiredError"}
# By what is called. What a lease holds is missing only once that has expired: the processes make sure of it.
DOCUMENTED = {
    "register": _UNHELD,
    "register alone": _UNHELD,
    "create of what is held": {"LayerNotFoundError"},
    "open of what is held": {"LayerNotFoundError", "ContentLostError"},
    "load in one transaction": {*_UNHELD, "deadlock", "_UndoneError"},
    "release": {"LeaseExpiredError"},
    "create": {"LayerNotFoundError"},
    "tag": {"ImageNotFoundError", "ReferenceConflictError"},
    "remove": {"ImageNotFoundError"},
    "remove in a transaction": {"ImageNotFoundError", "deadlock"},
    "use": {"ReferenceNotFoundError", "ImageNotFoundError", "LayerNotFoundError", "ContentLostError"},
}


class Call(NamedTuple):
    """A call of one of the processes. One that was killed at it has no end; it may have done its work or not."""

    name: str
    effects: list[list[Any]]
    began: float
    ended: float = math.inf
    error: str | None = None
    held: tuple[tuple[str, str], ...] = ()

    def is_done(self) -> bool:
        return self.error is None and self.ended < math.inf

    def has(self, *effects: list[Any]) -> bool:
        return self.error is None and any(effect in self.effects for effect in effects)


@pytest.mark.parametrize(("seconds", "pause"), [(1, 0.2), pytest.param(60, 2, marks=pytest.mark.soak)])
def test_eight_processes_are_killed_at_their_work(database_url, tmp_path, seconds, pause):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    content = tmp_path / "content"
    Store.open(database_url, content=content).close()
    command = [
        sys.executable,
        "-m",
        "tests.concurrency.loader",
        database_url,
        tmp_path,
        PROCESSES,
        seconds,
        pause,
        seed,
    ]
    subprocess.run([*map(str, command)], cwd=REPOSITORY, check=True)
    end_sessions(database_url)
    calls = [call for log in tmp_path.glob("*.log") for call in read_calls(log)]
    print(Counter((call.name, "killed" if call.ended == math.inf else call.error or "done") for call in calls))
    assert [call for call in calls if call.error and call.error not in DOCUMENTED.get(call.name, ())] == []
    assert any(call.is_done() for call in calls)
    with Store.open(database_url, content=content) as store:
        check_names(store, calls)
        check_contents(store, content / "data")
        check_leased(store, calls)
        check_nothing_is_left(store, content / "data")


def read_calls(log):
    calls: dict[int, Call] = {}
    for line in log.read_text().splitlines():
        number, time, *told = json.loads(line)
        if number not in calls:
            name, effects = told
            calls[number] = Call(name, effects, time)
        else:
            error, held = told
            calls[number] = calls[number]._replace(ended=time, error=error, held=tuple(map(tuple, held)))
    return calls.values()


def check_names(store, calls):
    """What was acknowledged is there, but for what was changed later, or may have been."""
    assert list(verify(store)) == []
    images = {IDS.index(image_id) for image_id in store.map()}
    for image in range(len(IDS)):
        created = [call for call in calls if call.has(["create", image])]
        removed = [call for call in calls if call.has(["remove", image])]
        assert may_be_last(*((created, removed) if image in images else (removed, created))) or (
            image not in images and not created
        ), f"image {image}"
    for tag, name in enumerate(TAGS):
        found = [IDS.index(each.image_id) for each in store.references.references_by_name(name) if is_tag(each, name)]
        assert may_stand_for(calls, tag, found), f"{name} stands for {found}"
        assert set(found) <= images


def is_tag(association, name):
    return association.reference.familiar == name


def may_stand_for(calls, tag, found):
    tagged = {image: [call for call in calls if call.has(["tag", image, tag])] for image in range(len(IDS))}
    gone = [
        call
        for call in calls
        if any(
            call.has(["untag", image, tag])
            or (call.has(["remove", image]) and any(each.began < call.ended for each in tagged[image]))
            for image in tagged
        )
    ]
    named = [call for each in tagged.values() for call in each]
    if not found:
        return not any(call.is_done() for call in named) or may_be_last(gone, named)
    (image,) = found
    others = [call for call in named if not call.has(["tag", image, tag])]
    untagged = [call for call in gone if not call.has(*(["remove", each] for each in tagged if each != image))]
    return may_be_last(tagged[image], [*others, *untagged])


def may_be_last(some, others):
    """Whether one of some calls may have been the last: nothing of the others was begun after it had ended, and was then done."""
    last = max((call.began for call in others if call.is_done()), default=0)
    return any(call.ended >= last for call in some)


def check_contents(store, files):
    """Each row's content is there, and is what the row says; each layer has one."""
    with store.engine.connect() as connection:
        rows = connection.execute(select(schema.contents)).all()
    for row in rows:
        data = (files / row.name).read_bytes()
        assert (row.diff_id, row.size) == (f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))
    assert {layer.diff_id for layer in store.layers.map().values()} <= {row.diff_id for row in rows}


def check_leased(store, calls):
    """What a lease holds that has not expired, and what a name stands for, can be read."""
    names = {
        link.chain_id: (stack[-1], link) for stack, links in zip(STACKS, LINKS, strict=True) for link in links[-1:]
    }
    alive = {lease.id for lease in store.leases.page(limit=1_000_000)}
    leased = {chain for call in calls for lease, chain in call.held if lease in alive}
    tops = [LINKS[IDS.index(association.image_id)] for association in store.references.stream()]
    for chain in leased.union(link.chain_id for links in tops for link in links):
        read_layer(store, *names[chain])


def check_nothing_is_left(store, files):
    for lease in store.leases.page(limit=1_000_000):
        store.leases.delete(lease.id)
    store.collect()
    reached = {link for image_id in store.map() for link in LINKS[IDS.index(image_id)]}
    assert set(store.layers.map()) == {link.chain_id for link in reached}
    with store.engine.connect() as connection:
        rows = connection.execute(select(schema.contents)).all()
        assert connection.execute(select(schema.leases)).all() == []
    assert {row.diff_id for row in rows} == {link.diff_id for link in reached}
    assert sorted(path.name for path in files.iterdir()) == sorted(row.name for row in rows)
