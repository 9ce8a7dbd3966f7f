"""Docker's layer database: what a daemon knows of each layer, in folders beside its image database.

layerdb/sha256/<64 hex digits>/         a stack of layers, under its chain ID
├── diff                                the diff ID of its topmost layer
├── parent                              the chain ID of the stack below; no such file at the bottom
├── size                                bytes of the files in the topmost layer
└── cache-id, tar-split.json.gz         what its storage driver needs, which is not read
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from imagestore.backends.filesystem import read_file
from imagestore.digest import ChainID, DiffID, chain_id, is_sha256
from imagestore.layer import Link

NAME: Final = "layerdb"
LARGEST: Final = 256  # bytes of a file: a digest has 71

_HEX: Final = re.compile("[0-9a-f]{64}", re.ASCII)
_SIZE: Final = re.compile("[0-9]{1,19}", re.ASCII)
_LONGEST: Final = 2**63 - 1


def read(folder: Path, damaged: list[str]) -> Iterator[tuple[Link, int]]:
    """Each layer and its size, in no order, in constant memory; none where there is no layer database.

    Args:
        folder: a daemon's ``image/<driver>``.
        damaged: layers that cannot be understood are told here, a line each.

    Source: moby's ``layer/filestore.go``.
    """
    root = folder / NAME / "sha256"
    try:
        entries = os.scandir(root)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            if not _HEX.fullmatch(entry.name) or not entry.is_dir(follow_symlinks=False):
                continue  # a daemon passes over it too
            try:
                yield _layer(Path(entry.path))
            except ValueError as error:
                damaged.append(f"{NAME}: sha256:{entry.name}: {error}")


def _layer(folder: Path) -> tuple[Link, int]:
    diff_id, parent, size = (_text(folder, name) for name in ("diff", "parent", "size"))
    chain = ChainID(f"sha256:{folder.name}")
    if diff_id is None or not is_sha256(diff_id):
        raise ValueError("its file diff has no digest")
    if parent is not None and not is_sha256(parent):
        raise ValueError("its file parent has no digest")
    if chain_id([diff_id] if parent is None else [parent, diff_id]) != chain:
        raise ValueError("its files diff and parent are those of another layer")
    if size is None or not _SIZE.fullmatch(size) or int(size) > _LONGEST:
        raise ValueError("its file size has no size")
    return Link(chain, DiffID(diff_id), None if parent is None else ChainID(parent)), int(size)


def _text(folder: Path, name: str) -> str | None:
    """What a file says; None where there is none."""
    try:
        data = read_file(str(folder / name), LARGEST)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if data is None:
        raise ValueError(f"its file {name} is no regular file of at most {LARGEST} bytes")
    return data.decode("ascii", "replace").strip(" \t\n\v\f\r")
