"""Leases: each has an ID, a time and labels that can be read; each that holds layers is there, and so are these."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from imagestore.bind import Bind
from imagestore.digest import ChainID, Digest
from imagestore.errors import InvalidTimeError
from imagestore.gojson import GoTime
from imagestore.sql import checks
from imagestore.verify.finding import REPAIR, ROWS, Damage, Finding, FindingKind

_ID: Final = re.compile("[0-9a-f]{32}")
_BY_HAND: Final = "in imagestore_leases by hand, or delete that row if nobody needs what it holds"


def check(bind: Bind) -> Iterator[list[Damage]]:
    """Read each lease, and look for what holds layers, or is held, and is gone."""
    read: str | None = None
    while page := bind.read(checks.find_leases, read, ROWS):
        yield [Damage(finding) for row in page for finding in _judge(row)]
        read = page[-1].lease
    after = ""
    while gone := bind.read(checks.find_leases_gone, after, ROWS):
        yield [_gone(lease) for lease in gone]
        after = gone[-1]
    place = ("", b"")
    while lost := bind.read(checks.find_leased_gone, place, ROWS):
        yield [Damage(_lost(lease, chain_id)) for lease, chain_id in lost]
        lease, chain_id = lost[-1]
        place = (lease, Digest(chain_id).raw)


def _judge(row: checks.LeaseRow) -> Iterator[Finding]:
    if not _ID.fullmatch(row.lease):
        yield _wrong(
            row.lease, "its ID is not 32 hexadecimal digits: nobody can renew or end it", f"put it right {_BY_HAND}"
        )
    if not _is_time(row.expires):
        cause = f"it expires at {row.expires[:100]!r}, which is no time of UTC like 2006-01-02T15:04:05.000000000Z"
        yield _wrong(row.lease, cause, f"put the time right {_BY_HAND}")
    if not _are_labels(row.labels):
        cause = f"its labels are {row.labels[:100]!r}, which is no JSON object of texts"
        yield _wrong(row.lease, cause, f"put them right, or to '{{}}', {_BY_HAND}")


def _is_time(text: str) -> bool:
    try:
        return GoTime.parse(text).utc_text == text
    except InvalidTimeError:
        return False


def _are_labels(text: str) -> bool:
    try:
        labels = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(labels, dict) and all(isinstance(label, str) for label in labels.values())


def _gone(lease: str) -> Damage:
    cause = "it is not there, and holds layers still, which it would for good"
    return Damage(_wrong(lease, cause, REPAIR), checks.delete_leased)


def _lost(lease: str, chain_id: ChainID) -> Finding:
    remedy = "repair puts the layer back if an image has it; else register it again under this lease, or end that"
    return _wrong(lease, f"it holds the layer {chain_id}, which is not there", remedy)


def _wrong(lease: str, cause: str, remedy: str) -> Finding:
    return Finding(FindingKind.WRONG_LEASE, lease, cause, remedy)
