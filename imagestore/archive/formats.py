"""Which of its formats an archive has: docker's of today, an OCI image layout, or docker's before 1.10."""

from __future__ import annotations

from typing import Final

from imagestore.archive import docker, oci
from imagestore.archive.platforms import Platform
from imagestore.archive.source import Archive
from imagestore.archive.taking import Taker
from imagestore.errors import InvalidArchiveError

_NONE: Final = (
    "this is no archive of images: it has neither manifest.json nor index.json nor repositories; the folder of a daemon is for "
    "imagestore.docker.data_root, at the shell import-docker"
)


def read(archive: Archive, taker: Taker, wanted: Platform | None) -> None:
    """Hand all images of an archive to a taker, whatever its format is; ``wanted`` is their platform, where there are several.

    Raises:
        InvalidArchiveError: the archive or an image in it cannot be loaded.
        ArchiveLimitError: it asks for more than a limit.
    """
    if docker.MANIFEST in archive:
        docker.read(archive, taker)
    elif "index.json" in archive or "oci-layout" in archive:
        oci.read(archive, taker, wanted)
    else:
        try:
            docker.read_legacy(archive, taker)
        except InvalidArchiveError as error:
            if docker.REPOSITORIES not in archive:
                error.add_note(_NONE)
            raise
