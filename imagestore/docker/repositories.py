"""Docker's ``repositories.json``: which image each name stands for, as a daemon keeps it beside its image database.

    {"Repositories":{"app":{"app:1":"sha256:...","app@sha256:...":"sha256:..."}}}

Names are familiar ones. The file is read as a daemon reads it and written as one writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from imagestore.backends.filesystem import read_file, write_file
from imagestore.digest import ImageID
from imagestore.errors import InvalidDigestError, InvalidImageError, InvalidReferenceError, UnusableDataRootError
from imagestore.gojson import TEXT_MAP, Field, Map, Struct, decode, quote
from imagestore.gojson.syntax import Cursor
from imagestore.reference import Reference
from imagestore.sql.references import Association, stored

NAME: Final = "repositories.json"

LARGEST: Final = 16 << 20  # bytes; a name has some hundred


_FILE: Final = Struct(dict, Field("repositories", "Repositories", Map(TEXT_MAP)))


def read(folder: Path, damaged: list[str]) -> list[Association]:
    """What the file in a folder says, in the order of the names; nothing where there is none.

    Args:
        folder: a daemon's ``image/<driver>``.
        damaged: what cannot be understood is told here, a line each.

    Source: moby's ``store.reload``.
    """
    try:
        data = read_file(str(folder / NAME), LARGEST)
    except FileNotFoundError:
        return []
    if data is None:
        damaged.append(f"{NAME}: no regular file of at most {LARGEST} bytes")
        return []
    try:
        return parse(data, damaged)
    except UnusableDataRootError as error:
        damaged.append(str(error))
        return []


def parse(data: bytes, damaged: list[str]) -> list[Association]:
    """What the bytes of such a file say; else as `read`. What follows the first JSON value is not looked at, as in Go. Pure.

    Raises:
        UnusableDataRootError: no daemon could read it.
    """
    try:
        repositories = decode(_FILE, Cursor(data).value()).get("repositories")
    except InvalidImageError as error:
        raise UnusableDataRootError(f"{NAME}: {str(error).removeprefix('invalid image JSON: ')}") from error
    found: dict[str, Association] = {}
    for repository, names in sorted((repositories or {}).items()):
        for name, image in sorted((names or {}).items()):
            association = _association(repository, name, image, damaged)
            if association is not None:
                found[str(association.reference)] = association
    return [found[name] for name in sorted(found)]


def encode(associations: Iterable[Association]) -> bytes:
    """The bytes of such a file, as a daemon writes them. Pure.

    Source: moby's ``store.save``.
    """
    repositories: dict[str, dict[str, str]] = {}
    for reference, image_id in associations:
        repositories.setdefault(reference.familiar_name, {})[reference.familiar] = quote(image_id)
    return f'{{"Repositories":{_object({name: _object(tags) for name, tags in repositories.items()})}}}'.encode()


def write(folder: Path, associations: Iterable[Association]) -> None:
    """Write the file into a folder, in one step that is seen, synced, with mode 0600.

    Names that it has already and that are not given stay as they are.

    Raises:
        UnusableDataRootError: there is such a file, and it cannot be understood; it stays as it is.
        OSError: it cannot be written.
    """
    damaged: list[str] = []
    there = {str(each.reference): each for each in read(folder, damaged)}
    if damaged:
        raise UnusableDataRootError(f"{folder / NAME} cannot be added to, move it away: {'; '.join(damaged[:10])}")
    there.update((str(each.reference), each) for each in associations)
    write_file(str(folder), NAME, encode(there.values()))


def _association(repository: str, name: str, image: str, damaged: list[str]) -> Association | None:
    try:
        reference = Reference.parse(name)
        image_id = ImageID(image)
    except (InvalidReferenceError, InvalidDigestError) as error:
        damaged.append(f"{NAME}: {name!r}: {error}")
        return None
    if reference.familiar_name != repository or stored(reference) != reference or reference.familiar != name:
        damaged.append(f"{NAME}: {name!r} under {repository!r}: a daemon does not find it there")
        return None
    return Association(reference, image_id)


def _object(members: Mapping[str, str]) -> str:
    return "{" + ",".join(f"{quote(key)}:{members[key]}" for key in sorted(members)) + "}"
