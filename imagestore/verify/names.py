"""References: each name is one, its repository is that of the name, and its image is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from imagestore.bind import Bind
from imagestore.errors import InvalidReferenceError
from imagestore.reference import Reference
from imagestore.sql import checks
from imagestore.sql.references import stored
from imagestore.verify.finding import REPAIR, ROWS, Damage, Finding, FindingKind

_RENAME: Final = (
    "put it right in imagestore_references by hand, or delete that row: which name was meant, only its owner knows"
)


def check(bind: Bind) -> Iterator[list[Damage]]:
    """Compare each name with its row."""
    after = ""
    while page := bind.read(checks.find_names, after, ROWS):
        yield [damage for row in page for damage in _judge(row)]
        after = page[-1].name


def _judge(row: checks.NameRow) -> Iterator[Damage]:
    repository = _repository(row.name)
    if repository is None:
        yield _wrong(row.name, "no reference is written like that, in full", _RENAME)
    elif repository != row.repository:
        cause = f"its repository is {row.repository!r} in the index, {repository!r} by the name"
        yield Damage(_wrong(row.name, cause, REPAIR).finding, checks.set_repository)
    if not row.image_is_there:
        remedy = "create that image again from a backup, or delete the name"
        yield _wrong(row.name, f"it stands for image {row.image}, which is not there", remedy)


def _repository(name: str) -> str | None:
    try:
        reference = Reference.parse(name)
    except InvalidReferenceError:
        return None
    return reference.name if str(stored(reference)) == name else None


def _wrong(name: str, cause: str, remedy: str) -> Damage:
    return Damage(Finding(FindingKind.WRONG_REFERENCE, name, cause, remedy))
