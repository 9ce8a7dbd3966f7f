"""What is in docker's archives: the images of a manifest.json, and those of the layout before 1.10.

Everything is checked in the daemon's order, and said in its words.
"""

from __future__ import annotations

from imagestore.archive.loading import Loading
from imagestore.archive.source import Archive


def load(archive: Archive, loading: Loading) -> None:
    """Load the images of a manifest.json.

    Source: moby's ``tarexport.Load``.
    """
    raise NotImplementedError


def load_legacy(archive: Archive, loading: Loading) -> None:
    """Load the images of the layout before 1.10: a folder each, and the file "repositories".

    Source: moby's ``tarexport.legacyLoad``.
    """
    raise NotImplementedError
