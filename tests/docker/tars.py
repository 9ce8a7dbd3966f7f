"""Tars of a data root, as ``tar`` writes them and as it never would."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
DOCKER_ROOT = REPOSITORY / "examples" / "docker-root.tar"
IMAGEDB = "image/vfs/imagedb/"


def extract(folder: Path):
    """The example as folders, with the modes and times that it has."""
    with tarfile.open(DOCKER_ROOT) as tar:
        tar.extractall(folder, filter="fully_trusted")
    return folder


def database_of_example():
    """What lies under ``imagedb``: each path with its mode and its bytes, None for a folder."""
    with tarfile.open(DOCKER_ROOT) as tar:
        return {
            member.name.removeprefix(IMAGEDB): (member.mode, tar.extractfile(member).read() if member.isreg() else None)
            for member in tar
            if member.name.startswith(IMAGEDB)
        }


def pack(path: Path, members, mode="w", **options):
    """A tar of (name or TarInfo, bytes or None for a folder)."""
    with tarfile.open(path, mode, **options) as tar:
        for member, data in members:
            info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member)
            if data is None and info.isreg():
                info.type = tarfile.DIRTYPE
            info.size = len(data or b"")
            tar.addfile(info, io.BytesIO(data or b""))
    return path


def member(name, type=tarfile.REGTYPE, **fields):
    info = tarfile.TarInfo(name)
    info.type = type
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def header(name, type=tarfile.REGTYPE, size=0):
    """A bare header, which may promise more than follows it."""
    return member(name, type, size=size).tobuf(tarfile.GNU_FORMAT)
