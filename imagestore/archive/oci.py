"""What is in an OCI image layout: the images that index.json leads to."""

from __future__ import annotations

from imagestore.archive.loading import Loading
from imagestore.archive.source import Archive


def load(archive: Archive, loading: Loading, platform: str | None = None) -> None:
    """Load the images of a layout.

    Source: the OCI image-spec, image-layout.md and image-index.md.
    """
    raise NotImplementedError
