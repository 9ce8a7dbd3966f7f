"""References: which image a name stands for. A name is stored in full, "docker.io/library/app:1", and each is a row of its own.

A reference goes with its image. On PostgreSQL an insert and an update lock the image by their foreign key, which meets the lock that a
delete takes first (`imagestore.sql.edges.hold`): who tags an image that is about to go waits, and is then told that it is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from imagestore.digest import ImageID
from imagestore.errors import ImageNotFoundError, ReferenceConflictError, ReferenceNotFoundError
from imagestore.reference import Reference
from imagestore.sql.driver import Read
from imagestore.sql.driver_errors import is_foreign_key_violation
from imagestore.sql.engine import pieces
from imagestore.sql.schema import images, references
from imagestore.sql.types import ByteOrdered, ImageIDType

_name: Final = bindparam("name", type_=ByteOrdered)
_image: Final = bindparam("image_id", type_=ImageIDType)
_rows: Final = select(references.c.name, references.c.image)

GET: Final = Read(select(references.c.image).where(references.c.name == _name), few=True)
OF_IMAGE: Final = Read(select(references.c.name).where(references.c.image == _image).order_by(references.c.name))
OF_REPOSITORY: Final = Read(
    _rows.where(references.c.repository == bindparam("repository", type_=ByteOrdered)).order_by(references.c.name)
)
PAGE: Final = Read(
    _rows.where(references.c.name > bindparam("after", type_=ByteOrdered))
    .order_by(references.c.name)
    .limit(bindparam("limit"))
)
_HOLDERS: Final = _rows.where(references.c.name.in_(bindparam("names", expanding=True)))
_OF_MANY: Final = _rows.where(references.c.image.in_(bindparam("image_ids", expanding=True))).order_by(
    references.c.image, references.c.name
)

# It waits for whoever is inserting, changing or deleting the same name, and then sees what became of it. No other lock is needed: the
# answer "set already" was true at one moment between call and return, and in a snapshot that is older the database says 40001 instead.
_INSERT: Final = insert(references).on_conflict_do_nothing().returning(references.c.name)
_insert: Final = insert(references)
_UPSERT: Final = _insert.on_conflict_do_update(
    index_elements=[references.c.name],
    set_={"image": _insert.excluded.image},
    where=references.c.image != _insert.excluded.image,
).returning(references.c.name)
# Meets `imagestore.sql.edges.hold` of a delete: those that are found stay until this transaction ends. Without it, in the words of
# tests/concurrency/test_locks.py: "names for an image that goes".
_HOLD_IMAGES: Final = (
    select(images.c.id)
    .where(images.c.id.in_(bindparam("image_ids", expanding=True)))
    .order_by(images.c.id)
    .with_for_update(read=True, key_share=True)
)
_DELETE: Final = delete(references).where(references.c.name == _name)
_DELETE_OF_IMAGE: Final = _DELETE.where(references.c.image == _image)
_DELETE_ALL_OF: Final = delete(references).where(references.c.image == _image).returning(references.c.name)


class Association(NamedTuple):
    """A reference and the image that it stands for (distribution's ``Association``)."""

    reference: Reference
    image_id: ImageID


def add(connection: Connection, reference: Reference, image_id: ImageID, *, force: bool) -> None:
    """Let a name stand for an image. One or two statements by key.

    Args:
        reference: has either a tag or a digest, as `stored` makes it.
        image_id: the image.
        force: take the name from the image that has it, if it is a tag.

    Raises:
        ReferenceConflictError: the name is set already.
        ImageNotFoundError: there is no such image.
    """
    row = _row(reference, image_id)
    try:
        if force and reference.digest is None:
            connection.execute(_UPSERT, row)
            return
        while connection.execute(_INSERT, row).first() is None:
            holder = GET.first(connection, name=row["name"])
            if holder is not None:
                raise ReferenceConflictError(reference.familiar, ImageID.from_raw(holder[0]), reference.digest)
    except IntegrityError as error:
        if is_foreign_key_violation(error):
            raise ImageNotFoundError(image_id) from error
        raise


def set_many(connection: Connection, associations: Sequence[Association]) -> tuple[int, list[Association]]:
    """Let names stand for images, whatever they stood for before. Two statements for up to ten thousand.

    Returns:
        How many names stand for another image now, and those whose image is not there, which are as they were.
    """
    image_ids = sorted({image_id for _, image_id in associations})
    there = set(connection.execute(_HOLD_IMAGES, {"image_ids": image_ids}).scalars()) if image_ids else set()
    rows = {str(each.reference): _row(*each) for each in associations if each.image_id in there}
    changed = connection.execute(_UPSERT, [rows[name] for name in sorted(rows)]).all() if rows else ()
    return len(changed), [each for each in associations if each.image_id not in there]


def take_many(connection: Connection, associations: Sequence[Association]) -> dict[Reference, ImageID]:
    """Let tags stand for images, as `set_many` does; which images had those of them that were set. Three statements for ten thousand.

    Raises:
        ImageNotFoundError: one of the images is not there.
    """
    names = sorted({str(each.reference) for each in associations})
    had = {
        Reference.parse(name): image_id
        for some in pieces(names)
        for name, image_id in connection.execute(_HOLDERS, {"names": some})
    }
    _, left_out = set_many(connection, associations)
    if left_out:
        raise ImageNotFoundError(left_out[0].image_id)
    return had


def get(connection: Connection, name: str) -> ImageID:
    """The image that a name stands for, which is given in full, as `stored_name` makes it. One read by key.

    Raises:
        ReferenceNotFoundError: it stands for none.
    """
    row = GET.first(connection, name=name)
    if row is None:
        raise ReferenceNotFoundError(Reference.parse(name).familiar)
    return ImageID.from_raw(row[0])


def remove(connection: Connection, reference: Reference) -> bool:
    """Let a name stand for nothing; returns whether it stood for an image."""
    return connection.execute(_DELETE, {"name": str(reference)}).rowcount > 0


def remove_of(connection: Connection, reference: Reference, image_id: ImageID) -> bool:
    """`remove`, if the name stands for this image."""
    return connection.execute(_DELETE_OF_IMAGE, {"name": str(reference), "image_id": image_id}).rowcount > 0


def remove_all_of(connection: Connection, image_id: ImageID) -> list[Reference]:
    """Remove all names of an image, and return them in order."""
    names = connection.execute(_DELETE_ALL_OF, {"image_id": image_id}).scalars()
    return [Reference.parse(name) for name in sorted(names)]


def of_image(connection: Connection, image_id: ImageID) -> list[Reference]:
    """The names of an image, in order; none for an image that is not there. Costs what it returns."""
    return [Reference.parse(name) for (name,) in OF_IMAGE.all(connection, image_id=image_id.raw)]


def of_images(connection: Connection, image_ids: Sequence[ImageID]) -> dict[ImageID, list[Reference]]:
    """The names of those of the images that have any, in order; one query for every ten thousand images."""
    found: dict[ImageID, list[Reference]] = {}
    for some in pieces(image_ids):
        for name, image_id in connection.execute(_OF_MANY, {"image_ids": some}):
            found.setdefault(image_id, []).append(Reference.parse(name))
    return found


def of_repository(connection: Connection, repository: str) -> list[Association]:
    """What the names of a repository, given in full, stand for, in order. Costs what it returns."""
    return [_association(*row) for row in OF_REPOSITORY.all(connection, repository=repository)]


def page(connection: Connection, after: str, limit: int) -> list[Association]:
    """The next names in the order of their bytes, in full. Costs what it returns."""
    return [_association(*row) for row in PAGE.all(connection, after=after, limit=limit)]


def stored(reference: Reference) -> Reference:
    """The reference as a row has it: of a tag and a digest the digest, of neither the tag "latest". Pure.

    Source: moby's ``favorDigest``, distribution's ``TagNameOnly``.
    """
    if reference.digest is None:
        return reference.tagged
    return reference if reference.tag is None else Reference(reference.domain, reference.path, None, reference.digest)


@lru_cache(maxsize=4096)
def stored_name(text: str) -> str:
    """The name under which a row has what a text stands for. Pure, and remembered: the same names are asked for again and again.

    Raises:
        InvalidReferenceError: the text is no reference.
    """
    return str(stored(Reference.parse(text)))


def _row(reference: Reference, image_id: ImageID) -> dict[str, str]:
    return {"name": str(reference), "repository": reference.name, "image": image_id}


def _association(name: str, image_id: bytes) -> Association:
    return Association(Reference.parse(name), ImageID.from_raw(image_id))
