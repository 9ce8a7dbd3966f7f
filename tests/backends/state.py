"""What a backend holds, and what a directory has on the disk, as values to compare."""

from __future__ import annotations

import stat
from pathlib import Path

from imagestore.backends.filesystem import FSBackend


def contents(backend):
    """Every blob's bytes and metadata; reading them verifies them."""
    return {
        digest: (backend.get(digest), {key: backend.get_metadata(digest, key) for key in backend.metadata_keys(digest)})
        for digest in backend.walk()
    }


def contents_of(root: Path):
    return contents(FSBackend(root, create=False))


def tree(root: Path):
    """Every path under the root with its mode and its bytes, None for a folder."""
    return {
        str(path.relative_to(root)): (stat.S_IMODE(path.lstat().st_mode), None if path.is_dir() else path.read_bytes())
        for path in sorted(root.rglob("*"))
    }


def leftovers(root: Path):
    return [path for path in root.rglob("*") if path.name.startswith(".tmp-")]
