"""Images: what moby's store keeps in ``map[ID]*imageMeta``, as rows.

A row of ``images`` exists for each blob that is an image; who parses the bytes to know it stands outside, and so does who commits.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, LargeBinary, Select, and_, bindparam, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from imagestore.digest import ChainID, Digest, ImageID
from imagestore.errors import AmbiguousIDError, CorruptBlobError, ImageNotFoundError
from imagestore.image import Image
from imagestore.layer import Link
from imagestore.sql import blobs, edges, layers, metadata, schema
from imagestore.sql.driver import Read, Write
from imagestore.sql.engine import pieces
from imagestore.sql.schema import images, metadata_keys
from imagestore.sql.types import ChainIDType, ImageIDType

_log: Final = logging.getLogger("imagestore")

_CANDIDATES: Final = 10  # that an ambiguous ID names at most
_ATTEMPTS: Final = 10
_BATCH: Final = 1000  # images that one statement of a bulk create stores
_NO_STACKS: Final[Mapping[ImageID, Sequence[Link]]] = {}
_HEX: Final = re.compile("[0-9a-f]{0,64}", re.ASCII)

_image_id: Final = bindparam("image_id", type_=ImageIDType)
_child: Final = images.alias("child")
# One probe of the index for each row. As NOT EXISTS, PostgreSQL reads that index from its beginning for every page; as IS NULL, it takes
# heads for rare, and reads and sorts the whole table for the first of them.
_is_head: Final = func.coalesce(
    select(literal_column("FALSE")).where(_child.c.parent == images.c.id).limit(1).scalar_subquery(),
    literal_column("TRUE"),
)
_names_parent: Final = and_(
    metadata_keys.c.digest == images.c.id, metadata_keys.c.key == bindparam("parent_key", edges.KEY, type_=LargeBinary)
)
_rows: Final = (
    select(images.c.id, schema.blobs.c.data, metadata_keys.c.value)
    .join(schema.blobs, schema.blobs.c.digest == images.c.id)
    .outerjoin(metadata_keys, _names_parent)
)
# The same, row by row whatever the planner thinks: for a page, PostgreSQL may merge joined tables from their beginning.
_single_rows: Final = select(
    images.c.id,
    select(schema.blobs.c.data).where(schema.blobs.c.digest == images.c.id).scalar_subquery(),
    select(metadata_keys.c.value).where(_names_parent).scalar_subquery(),
)
_ids: Final = select(images.c.id)


def _page_of(rows: Select[Any]) -> Select[Any]:
    after = images.c.id > bindparam("after", type_=LargeBinary)
    return rows.where(after).order_by(images.c.id).limit(bindparam("limit"))


_exists: Final[Select[tuple[int]]] = select(literal_column("1")).select_from(images).where(images.c.id == _image_id)

SELECT: Final = Read(_rows.where(images.c.id == _image_id), few=True)
EXISTS: Final = Read(_exists, few=True)
SEARCH: Final = Read(
    select(images.c.id)
    .where(images.c.id.between(bindparam("low", type_=LargeBinary), bindparam("high", type_=LargeBinary)))
    .order_by(images.c.id)
    .limit(literal_column(str(_CANDIDATES))),
    few=True,
)
PARENT: Final = Read(
    select(images.c.id, metadata_keys.c.value).outerjoin(metadata_keys, _names_parent).where(images.c.id == _image_id),
    few=True,
)
_SELECT_MANY: Final = _rows.where(images.c.id.in_(bindparam("image_ids", expanding=True)))
PAGES: Final = {False: Read(_page_of(_single_rows)), True: Read(_page_of(_single_rows.where(_is_head)))}
ID_PAGES: Final = {False: Read(_page_of(_ids)), True: Read(_page_of(_ids.where(_is_head)))}
ALL: Final = {False: Read(_rows.order_by(images.c.id)), True: Read(_rows.where(_is_head).order_by(images.c.id))}
_EXISTING: Final = select(images.c.id).where(images.c.id.in_(bindparam("image_ids", expanding=True)))
_PARENTS: Final = select(images.c.parent).where(images.c.parent.in_(bindparam("image_ids", expanding=True))).distinct()
COUNT: Final = Read(select(func.count()).select_from(images), few=True)
CHILDREN: Final = Read(select(images.c.id).where(images.c.parent == _image_id).order_by(images.c.id))
METADATA: Final = Read(
    select(metadata_keys.c.value)
    .join(images, images.c.id == metadata_keys.c.digest)
    .where(metadata_keys.c.digest == _image_id, metadata_keys.c.key == bindparam("key", type_=LargeBinary)),
    few=True,
)

_INSERT: Final = Write(
    insert(images)
    .values(id=bindparam("id", type_=ImageIDType), top=bindparam("top", type_=ChainIDType))
    .on_conflict_do_nothing(),
    few=True,
)
# These meet `edges.hold` of a delete: what an insert has met is there until this transaction ends. Without them, in the words of
# tests/concurrency/test_locks.py: "create and link, and delete", "create many and link, and delete".
_HOLD_SHARED: Final = Write(_exists.with_for_update(read=True, key_share=True), few=True)
_HOLD_MANY: Final = _EXISTING.order_by(images.c.id).with_for_update(read=True, key_share=True)


def create(
    connection: Connection, image_id: ImageID, config: bytes, stack: Sequence[Link] = (), *, with_content: bool = False
) -> bool:
    """Store an image, whose bytes the caller has parsed; returns whether it is new. A handful of statements by key.

    Children whose metadata already names the new ID get their edge. Of an image that is there, damaged bytes are mended.

    Args:
        stack: its layers' places in the trie, the lowest first; they become known.
        with_content: their content must be there already.

    Raises:
        LayerNotFoundError: it is not.
    """
    for _ in range(_ATTEMPTS):
        if blobs.insert_one(connection, image_id, config):
            break
        if _HOLD_SHARED.first(connection, image_id=image_id.raw) is not None:
            blobs.mend_one(connection, image_id, config)
            return False
    else:
        return adopt(connection, image_id, stack, with_content=with_content)
    hold = layers.require if with_content else layers.hold
    _INSERT.run(connection, **_row(image_id, hold(connection, stack)))
    edges.link_waiting(connection, image_id)
    return True


def adopt(connection: Connection, image_id: ImageID, stack: Sequence[Link] = (), *, with_content: bool = False) -> bool:
    """Make the row of an image whose blob is there without one: the index was damaged, or an earlier release could not read it."""
    hold = layers.require if with_content else layers.hold
    inserted = _INSERT.run(connection, **_row(image_id, hold(connection, stack))) > 0
    edges.link_waiting(connection, image_id)
    metadata.reindex(connection, image_id)
    return inserted


def create_many(
    connection: Connection,
    configs: Mapping[ImageID, bytes],
    stacks: Mapping[ImageID, Sequence[Link]] = _NO_STACKS,
    *,
    with_content: bool = False,
) -> None:
    """Store many images, as `create` does one; a few statements for each thousand."""
    for batch in pieces(list(configs.items()), _BATCH):
        _create_batch(connection, dict(batch), stacks, with_content=with_content)


def get(connection: Connection, image_id: ImageID) -> Image:
    """One image, its bytes verified and not parsed yet; its parent is what the metadata says. One read by key.

    Raises:
        ImageNotFoundError: there is none.
        CorruptBlobError: the stored bytes have another digest.
    """
    row = SELECT.first(connection, image_id=image_id.raw)
    if row is None:
        raise ImageNotFoundError(image_id)
    _, config, parent = row
    return _image_of(image_id, config, parent)


def get_many(connection: Connection, image_ids: Iterable[ImageID]) -> dict[ImageID, Image]:
    """Those of the images that are there, verified; one query for every ten thousand.

    Raises:
        CorruptBlobError: the stored bytes of one have another digest.
    """
    wanted = list(dict.fromkeys(image_ids))
    found = {
        row.id: _image_of(*row)
        for some in pieces(wanted)
        for row in connection.execute(_SELECT_MANY, {"image_ids": some})
    }
    return {image_id: found[image_id] for image_id in wanted if image_id in found}


def page(connection: Connection, after: ImageID | None, limit: int, heads: bool) -> tuple[list[Image], ImageID | None]:
    """The next images in the order of their IDs, or heads alone, and the last ID that was looked at, None at the end.

    A damaged image is left out and logged, as moby's Map and Heads do. Costs what it returns, wherever the page is.
    """
    rows = PAGES[heads].all(connection, after=after.raw if after else b"", limit=limit)
    return list(_sound(rows)), ImageID.from_raw(rows[-1][0]) if len(rows) == limit else None


def page_ids(connection: Connection, after: ImageID | None, limit: int, heads: bool) -> list[ImageID]:
    """The next IDs in order, of all images or of heads alone. Costs what it returns, wherever the page is."""
    rows = ID_PAGES[heads].all(connection, after=after.raw if after else b"", limit=limit)
    return [ImageID.from_raw(raw) for (raw,) in rows]


def find_all(connection: Connection, heads: bool) -> dict[ImageID, Image]:
    """All images in the order of their IDs, or all heads; else as `page`. One query, which grows with the store."""
    return {image.image_id: image for image in _sound(ALL[heads].all(connection))}


def find_existing(connection: Connection, image_ids: Sequence[ImageID]) -> set[ImageID]:
    """Those of the IDs that are images'; one query for every ten thousand."""
    return {
        image_id
        for some in pieces(image_ids)
        for image_id in connection.execute(_EXISTING, {"image_ids": some}).scalars()
    }


def find_parents(connection: Connection, image_ids: Sequence[ImageID]) -> set[ImageID]:
    """Those of the images that others are built on; one query for every ten thousand."""
    return {
        image_id
        for some in pieces(image_ids)
        for image_id in connection.execute(_PARENTS, {"image_ids": some}).scalars()
    }


def exists(connection: Connection, image_id: ImageID) -> bool:
    """Whether there is such an image. One read by key."""
    return EXISTS.first(connection, image_id=image_id.raw) is not None


def count(connection: Connection) -> int:
    """How many images there are; grows with the store (both engines count rows)."""
    found: int = COUNT.first(connection)[0]
    return found


def search(connection: Connection, term: str) -> ImageID:
    """The one image whose ID begins with the term. One range scan.

    Raises:
        ImageNotFoundError: there is none.
        AmbiguousIDError: there are several.

    Source: moby's Store.Search, distribution's ``digestset.Lookup``.
    """
    bounds = _search_bounds(term)
    found = [] if bounds is None else SEARCH.all(connection, low=bounds[0], high=bounds[1])
    return _only(term, [ImageID.from_raw(raw) for (raw,) in found])


def children(connection: Connection, image_id: ImageID) -> list[ImageID]:
    """The images that have this one as their parent, in order; none for an unknown one. Costs what it returns."""
    return [ImageID.from_raw(raw) for (raw,) in CHILDREN.all(connection, image_id=image_id.raw)]


def get_parent(connection: Connection, image_id: ImageID) -> ImageID | None:
    """What the metadata says is the parent, whether or not it exists. One read by key.

    Raises:
        ImageNotFoundError: there is no such image.
    """
    row = PARENT.first(connection, image_id=image_id.raw)
    if row is None:
        raise ImageNotFoundError(image_id)
    return parent_of(row[1])


def set_parent(connection: Connection, image_id: ImageID, parent: ImageID) -> None:
    """Make an image the child of another; see `edges.link` for the errors and the cost."""
    edges.link(connection, image_id, parent)
    metadata.name_parent(connection, image_id, parent)


def get_metadata(connection: Connection, image_id: ImageID, key: bytes) -> bytes | None:
    """The value of one of the times, or of "builtLocally", or None where there is none, or no such image. One read by key."""
    row = METADATA.first(connection, image_id=image_id.raw, key=key)
    return None if row is None else row[0]


def set_metadata(connection: Connection, image_id: ImageID, key: bytes, value: bytes) -> None:
    """Write one of the times, or "builtLocally".

    Raises:
        ImageNotFoundError: there is no such image.
    """
    if key == metadata.BUILT_LOCALLY:
        found = _HOLD_SHARED.first(connection, image_id=image_id.raw) is not None
        if found:
            metadata.put(connection, image_id, key, value)
    else:
        found = metadata.put_time(connection, image_id, key, value)
    if not found:
        raise ImageNotFoundError(image_id)


def delete(connection: Connection, image_id: ImageID) -> layers.Freed:
    """Remove an image with its metadata; its children stay, without a parent. Layers that it alone has had go with it.

    Raises:
        ImageNotFoundError: there is no such image.
    """
    image = edges.hold(connection, image_id)
    if image is None:
        raise ImageNotFoundError(image_id)
    orphans = edges.unlink_children(connection, image)
    metadata.remove_parents(connection, orphans)
    blobs.delete_one(connection, image_id)
    return _free(connection, image)


def delete_blob(connection: Connection, digest: Digest) -> layers.Freed:
    """What `imagestore.backend.StoreBackend.delete` does: remove a blob and its metadata, an image or not.

    The metadata of its children goes on naming it, and links them again when it comes back.

    Raises:
        BlobNotFoundError: there is none.
    """
    image = edges.hold(connection, digest)
    if image is not None:
        edges.unlink_children(connection, image)
    blobs.delete_one(connection, digest)
    return layers.NOTHING if image is None else _free(connection, image)


def _image_of(image_id: ImageID, config: bytes, parent: bytes | None) -> Image:
    """The image of a row, its bytes verified and not parsed.

    Raises:
        CorruptBlobError: the bytes have another digest.
    """
    return Image.stored(blobs.verified(image_id, config), image_id, parent_of(parent))


def parent_of(value: bytes | None) -> ImageID | None:
    """The parent that a metadata value names, whatever it is; None where there is no value."""
    return None if value is None else ImageID.stated(value.decode("utf-8", "surrogateescape"))


def _search_bounds(term: str) -> tuple[bytes, bytes] | None:
    """The lowest and the highest raw ID that a short ID can mean, or None where no ID can begin with it. Pure."""
    algorithm, colon, digits = term.rpartition(":")
    if (colon and (algorithm != "sha256" or not digits)) or not _HEX.fullmatch(digits):
        return None
    return bytes.fromhex(digits.ljust(64, "0")), bytes.fromhex(digits.ljust(64, "f"))


def _only(term: str, found: Sequence[ImageID]) -> ImageID:
    """The one image that a search has found.

    Raises:
        ImageNotFoundError: it has found none.
        AmbiguousIDError: it has found several.
    """
    if not found:
        raise ImageNotFoundError(term)
    if len(found) > 1:
        raise AmbiguousIDError(term, found)
    return found[0]


def _row(image_id: ImageID, top: ChainID | None) -> dict[str, bytes | None]:
    return {"id": image_id.raw, "top": None if top is None else Digest(top).raw}


def _free(connection: Connection, image: edges.Child) -> layers.Freed:
    # In a snapshot, whoever came to rely on a layer since is not seen: `imagestore.collect` frees it later.
    return layers.NOTHING if image.sees_snapshot else layers.free(connection, image.top)


def _create_batch(
    connection: Connection,
    missing: dict[ImageID, bytes],
    stacks: Mapping[ImageID, Sequence[Link]],
    *,
    with_content: bool,
) -> None:
    for _ in range(_ATTEMPTS):
        there = connection.execute(_HOLD_MANY, {"image_ids": sorted(missing)}).scalars().all()
        blobs.mend_many(connection, {image_id: missing.pop(image_id) for image_id in there})
        inserted = [ImageID.trusted(digest) for digest in blobs.insert_many(connection, missing)]
        if inserted:
            new = {image_id: stacks.get(image_id, ()) for image_id in inserted}
            hold = layers.require_many if with_content else layers.hold_many
            hold(connection, new.values())
            _INSERT.run_many(connection, [_row(image_id, layers.top_of(stack)) for image_id, stack in new.items()])
            edges.link_waiting_many(connection, inserted)
        for image_id in inserted:
            del missing[image_id]
        if not missing:
            return
    for image_id in missing:
        adopt(connection, image_id, stacks.get(image_id, ()), with_content=with_content)


def _sound(rows: Iterable[tuple[bytes, bytes, bytes | None]]) -> Iterator[Image]:
    for raw, config, parent in rows:
        image_id = ImageID.from_raw(raw)
        try:
            yield _image_of(image_id, config, parent)
        except CorruptBlobError as error:
            _log.error("invalid image access: %s: %s", image_id, error)
