"""The trie of layers against itself, and contents against the place that keeps them.

If each layer's chain ID is that of its parent and its diff ID, each parent is there, and each image's top is that of its configuration
(`imagestore.verify.images`), then all stacks are whole. So a sound trie costs one pass over its rows; only of what is damaged the
configurations are asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from imagestore.bind import Bind
from imagestore.content.place import Content
from imagestore.content.reading import verified
from imagestore.digest import ChainID, DiffID, chain_id
from imagestore.errors import CorruptContentError, InvalidError
from imagestore.layer import Link
from imagestore.sql import checks, garbage
from imagestore.verify.finding import REPAIR, ROWS, Damage, Finding, FindingKind
from imagestore.verify.images import sound_images

_CHUNK: Final = 1 << 20
_UNEXPLAINED: Final = (
    "no image has this layer, so nothing tells what was there: restore the database from a backup, or put the row in imagestore_layers "
    "right by hand"
)


def check(bind: Bind) -> Iterator[list[Damage]]:
    """Compare each layer with its key and its parent."""
    after = b""
    while page := bind.read(checks.find_layers, after, ROWS):
        unsound = {row: cause for row in page if (cause := _cause(row))}
        if unsound:
            stacks = _find_stacks(bind, {_unknown(row) for row in unsound})
            yield [_wrong(row, cause, stacks.get(_unknown(row))) for row, cause in unsound.items()]
        after = page[-1].raw


def _cause(row: checks.LayerRow) -> str | None:
    if not _has_its_key(row):
        return f"its parent {row.parent or 'none'} and its diff ID {row.diff_id} make another chain ID"
    if not row.parent_is_there:
        return f"its parent {row.parent} is missing"
    return None


def _has_its_key(row: checks.LayerRow) -> bool:
    return chain_id([row.diff_id] if row.parent is None else [row.parent, row.diff_id]) == row.chain_id


def _unknown(row: checks.LayerRow) -> ChainID:
    """The stack that an image has to tell, for the row to be set right: its own, or the one below."""
    return row.parent if row.parent is not None and _has_its_key(row) else row.chain_id


def _wrong(row: checks.LayerRow, cause: str, stack: Sequence[Link] | None) -> Damage:
    if stack is None:
        return Damage(Finding(FindingKind.WRONG_LAYER, row.chain_id, cause, _UNEXPLAINED))
    if stack[-1].chain_id != row.chain_id:
        stack = [*stack, Link(row.chain_id, row.diff_id, row.parent)]
    return Damage(
        Finding(FindingKind.WRONG_LAYER, row.chain_id, cause, REPAIR), partial(checks.restore_layer, stack=stack)
    )


def _find_stacks(bind: Bind, chains: set[ChainID]) -> dict[ChainID, Sequence[Link]]:
    """Those of the stacks that images have, the lowest layer first."""
    found: dict[ChainID, Sequence[Link]] = {}
    for image in sound_images(bind):
        for height, link in enumerate(image.stack, 1):
            if link.chain_id in chains and link.chain_id not in found:
                found[link.chain_id] = image.stack[:height]
        if len(found) == len(chains):
            break
    return found


def check_contents(bind: Bind, content: Content, *, whole: bool) -> Iterator[list[Damage]]:
    """Ask the place for each content; read all bytes, if that is wanted."""
    after = b""
    while page := bind.read(checks.find_contents, after, ROWS):
        told = {row.name: finding for row in page if (finding := _judge(content, row, whole))}
        # What was deleted meanwhile has lost its row before its bytes.
        named = bind.read(garbage.find_named, list(told)) if told else set()
        yield [Damage(finding) for name, finding in told.items() if name in named]
        after = page[-1].raw


def _judge(content: Content, row: checks.ContentRow, whole: bool) -> Finding | None:
    remedy = f"restore {row.name!r} in {content} from a backup"
    try:
        size = content.size(row.name)
        if size == row.size and whole:
            _read(content, row.name, size, row.diff_id)
    except FileNotFoundError:
        return Finding(FindingKind.CONTENT_LOST, row.diff_id, f"there is nothing under {row.name!r}", remedy)
    except InvalidError as error:
        return Finding(FindingKind.CONTENT_LOST, row.diff_id, str(error), remedy)
    except CorruptContentError:
        cause = f"the bytes under {row.name!r} have another digest"
        return Finding(FindingKind.CORRUPT_CONTENT, row.diff_id, cause, remedy)
    except OSError as error:
        cause = f"what is under {row.name!r} cannot be read: {error}"
        return Finding(FindingKind.CORRUPT_CONTENT, row.diff_id, cause, remedy)
    if size == row.size:
        return None
    cause = f"{size} bytes are under {row.name!r}, {row.size} by the database"
    return Finding(FindingKind.CORRUPT_CONTENT, row.diff_id, cause, remedy)


def _read(content: Content, name: str, size: int, diff_id: DiffID) -> None:
    with verified(content.open(name), name, size, diff_id) as stream:
        while stream.read(_CHUNK):
            pass
