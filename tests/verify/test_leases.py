"""Damage of leases is told; what only a lease's owner knows is left as it is, and layers held by a lease that is gone are let go."""

from __future__ import annotations

import io

import pytest
from sqlalchemy import delete, insert, update

from imagestore.sql.schema import lease_layers, leases
from imagestore.store import Store
from imagestore.testing.makers import make_digest, make_layer
from imagestore.verify import verify
from tests.verify.damage import beside, by_hand, facts, index, trie

LEASE = "0123456789abcdef" * 2
EXPIRES = "9999-12-31T23:59:59.999999000Z"


def everything(store):
    return facts(store), index(store), trie(store), beside(store)


def told(store, **options):
    return [(finding.kind.value, finding.subject, finding.repaired) for finding in verify(store, **options)]


def found(store):
    """The causes of what verify tells, all of it wrong leases, which a repair leaves as they are."""
    before = everything(store)
    findings = list(verify(store))
    assert list(verify(store, repair=True)) == findings
    assert everything(store) == before
    assert all(finding.kind.value == "wrong-lease" and finding.remedy for finding in findings)
    return [(finding.subject, finding.cause) for finding in findings]


def write_lease(store, lease=LEASE, **columns):
    with by_hand(store) as connection:
        connection.execute(insert(leases).values({"id": lease, "expires": EXPIRES, "labels": "{}", **columns}))


@pytest.fixture
def leased(store, tmp_path):
    """A store in which the first lease holds one layer, and the second one that, and one on it."""
    with Store(store.engine, content=tmp_path / "content") as leased:
        first = leased.layers.register(io.BytesIO(make_layer("first")))
        second = leased.layers.register(io.BytesIO(make_layer("second")), first.chain_id)
        with by_hand(store) as connection:
            connection.execute(delete(lease_layers))
            connection.execute(delete(leases))
        for lease, held in {"a" * 32: [first], "b" * 32: [first, second]}.items():
            write_lease(leased, lease, labels='{"job": "7", "": "ü"}')
            with by_hand(leased) as connection:
                rows = [{"lease": lease, "chain_id": layer.chain_id} for layer in held]
                connection.execute(insert(lease_layers), rows)
        yield leased


def test_sound_leases_give_no_finding(leased):
    write_lease(leased, expires="2000-01-01T00:00:00.000000000Z")
    with leased.lease(labels={"job": "naïve 'quoted' \"text\""}):
        assert found(leased) == []


@pytest.mark.parametrize(
    "lease", ["", LEASE[:-1], LEASE + "0", LEASE.upper(), LEASE[:-1] + "g", LEASE[:-1] + "\n", "é" * 32]
)
def test_an_id_that_is_none(store, lease):
    write_lease(store, lease)
    ((subject, cause),) = found(store)
    assert subject == lease
    assert "its ID is not 32 hexadecimal digits" in cause


@pytest.mark.parametrize(
    "expires",
    [
        "",
        "never",
        "2099-01-01",
        "2099-01-01T00:00:00Z",
        "2099-01-01T00:00:00.000000Z",
        "2099-01-01T00:00:00.000000000+00:00",
        "2099-01-01T02:00:00.000000000+02:00",
        "2099-01-01 00:00:00.000000000Z",
        "2099-02-30T00:00:00.000000000Z",
        "2099-01-01T24:00:00.000000000Z",
        "0000-01-01T00:00:00.000000000Z",
        "2099-01-01T00:00:00.000000000Z ",
        "x" * 1000,
    ],
)
def test_a_time_that_is_none(store, expires):
    write_lease(store, expires=expires)
    ((subject, cause),) = found(store)
    assert subject == LEASE
    assert f"it expires at {expires[:100]!r}, which is no time" in cause


@pytest.mark.parametrize(
    "labels",
    [
        "",
        "{",
        "null",
        "[]",
        '"text"',
        '{"job": 7}',
        '{"job": null}',
        '{"job": {"a": "b"}}',
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_labels_that_are_none(store, labels):
    write_lease(store, labels=labels)
    ((subject, cause),) = found(store)
    assert subject == LEASE
    assert f"its labels are {labels[:100]!r}, which is no JSON object of texts" in cause


def test_all_that_is_wrong_with_one(store):
    write_lease(store, "mine", expires="soon", labels="none")
    assert [subject for subject, _ in found(store)] == ["mine"] * 3


def test_what_a_lease_that_is_gone_has_held_is_let_go(leased):
    """Otherwise nothing would ever remove these layers."""
    with by_hand(leased) as connection:
        connection.execute(delete(leases).where(leases.c.id == "b" * 32))
    before = everything(leased)
    (finding,) = verify(leased)
    assert (finding.kind.value, finding.subject) == ("wrong-lease", "b" * 32)
    assert "it is not there, and holds layers still" in finding.cause
    assert everything(leased) == before
    assert leased.collect().layers == 0
    assert told(leased, repair=True) == [("wrong-lease", "b" * 32, True)]
    assert told(leased) == []
    assert (facts(leased), index(leased), trie(leased)) == before[:3]
    assert leased.collect().layers == 1  # the other lease holds the lower one


def test_a_layer_that_is_held_and_is_gone(leased):
    missing = sorted([make_digest("one"), make_digest("two")])
    with by_hand(leased) as connection:
        rows = [{"lease": lease * 32, "chain_id": chain} for lease in "ab" for chain in missing]
        connection.execute(insert(lease_layers), rows)
    assert found(leased) == [
        (lease * 32, f"it holds the layer {chain}, which is not there") for lease in "ab" for chain in missing
    ]


def test_pages_meet(leased, monkeypatch):
    monkeypatch.setattr("imagestore.verify.leases.ROWS", 2)
    for number in range(5):
        write_lease(leased, f"wrong {number}")
    with by_hand(leased) as connection:
        rows = [
            *({"lease": lease, "chain_id": make_digest(chain)} for lease in ("a" * 32, "b" * 32) for chain in range(3)),
            *({"lease": f"gone {number}", "chain_id": make_digest(chain)} for number in range(5) for chain in range(2)),
        ]
        connection.execute(insert(lease_layers), rows)
    subjects = [subject for _, subject, _ in told(leased)]
    assert subjects == [
        *(f"wrong {number}" for number in range(5)),
        *(f"gone {number}" for number in range(5)),
        *(lease * 32 for lease in "ab" for _ in range(3)),
    ]
    repaired = {subject for _, subject, done in told(leased, repair=True) if done}
    assert repaired == {f"gone {number}" for number in range(5)}


def test_a_lease_that_comes_back_keeps_what_it_holds(leased, monkeypatch):
    """Between the finding and its repair."""
    with by_hand(leased) as connection:
        kept = connection.execute(update(leases).where(leases.c.id == "b" * 32).values(id="c" * 32)).rowcount
    assert kept == 1
    findings = verify(leased, repair=True)
    write = leased._bind.write

    def put_back(*arguments):
        with by_hand(leased) as connection:
            connection.execute(update(leases).where(leases.c.id == "c" * 32).values(id="b" * 32))
        return write(*arguments)

    monkeypatch.setattr(leased._bind, "write", put_back)
    held = beside(leased)[3]
    assert len(list(findings)) == 1
    assert beside(leased)[3] == held
