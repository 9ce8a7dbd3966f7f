"""What the daemon does at ``docker tag`` and ``docker rmi``, and how it reads a name: for services that do the same.

Each call is one transaction. On PostgreSQL it is run again after a deadlock, unless the store has joined a caller's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from imagestore.digest import Digest, ImageID
from imagestore.errors import (
    DependentChildrenError,
    ImageNotFoundError,
    InvalidDigestError,
    InvalidReferenceError,
    MultipleReferencesError,
    ReferenceNotFoundError,
)
from imagestore.gojson import GoTime
from imagestore.layers import delete_contents
from imagestore.reference import Reference
from imagestore.references import check_tag
from imagestore.sql import edges, images, metadata, references
from imagestore.sql.layers import Freed
from imagestore.sql.references import stored
from imagestore.store import Store


class DeleteResponse(NamedTuple):
    """One thing that a removal has done; as text it is a line of docker's.

    ``untagged`` is a reference, ``deleted`` the ID of an image or the chain ID of a layer; the other one is empty.

    Source: moby's ``types.ImageDeleteResponseItem``.
    """

    untagged: str = ""
    deleted: str = ""

    def __str__(self) -> str:
        return f"Untagged: {self.untagged}" if self.untagged else f"Deleted: {self.deleted}"


def resolve(store: Store, term: str) -> ImageID:
    """The image that a term means: a digest or 64 hexadecimal digits are an ID; else it is a name, or if there is none, a short ID.

    At most two reads by key.

    Raises:
        ImageNotFoundError: it means none; the message has the term with its tag, as the daemon says it.
        AmbiguousIDError: it begins several IDs.
        InvalidReferenceError: it is neither a name nor the beginning of an ID.

    Source: moby's ``ImageService.GetImage``.
    """
    return store.bind.read(_resolve, term)


def whole_id(term: str) -> ImageID | None:
    """The ID that a term is in full, with or without its algorithm; None where it is something else. Pure.

    Raises:
        ImageNotFoundError: it is a digest of another algorithm than sha256, which no image has.

    Source: distribution's ``ParseAnyReference``.
    """
    if not isinstance(term, str):
        raise InvalidReferenceError(term, f"expected a str, not {type(term).__name__}")
    for text in (f"sha256:{term}", term):
        try:
            digest = Digest(text)
        except InvalidDigestError:
            continue
        try:
            return ImageID(digest)
        except InvalidDigestError:
            raise ImageNotFoundError(digest) from None  # of another algorithm
    return None


def tag_image(store: Store, source: str, target: Reference | str) -> ImageID:
    """Let a tag stand for an image, in place of another one, and note on the image that it was tagged just now. Commits.

    Args:
        store: not restored, and without layer stores.
        source: what `resolve` reads.
        target: the tag.

    Raises:
        InvalidReferenceError: the target is no tag.
        ImageNotFoundError, AmbiguousIDError: as `resolve`.
        UnusableBindError: it is a store of another kind.

    Source: moby's ``ImageService.TagImage``.
    """
    store.require_transactions()
    return store.bind.write(_tag, source, check_tag(target))


def remove_image(store: Store, term: str, *, force: bool = False, prune: bool = True) -> list[DeleteResponse]:
    """Remove a name, and with its last name the image; or an image by its ID, with its only name. Commits.

    With the image go the layers that it alone has, and each parent in turn that has no name and no other child. By name, an image
    that others are built on stays, without that name. It knows of no container.

    A handful of statements for each image that goes; costs as much as there are names, layers, and children of the image.

    Args:
        store: not restored, and without layer stores.
        term: what `resolve` reads.
        force: with an ID, remove the image though it has several names.
        prune: False: parents stay.

    Returns:
        What was done, in docker's order.

    Raises:
        DependentChildrenError: by ID, and the image has children; ``force`` does not help.
        MultipleReferencesError: by ID, and the image has several names.
        ImageNotFoundError, AmbiguousIDError, InvalidReferenceError: as `resolve`, but for the tag in the message.
        UnusableBindError: it is a store of another kind.

    Source: moby's ``ImageService.ImageDelete``.
    """
    store.require_transactions()
    removal = store.bind.write(_Removal.run, term, force, prune)
    delete_contents(store.bind, store.content, Freed([], removal.freed))
    return removal.done


class _Removal:
    """One removal, in a transaction.

    Images are locked before anything else, so that from then on none of them gets a name or a child; layers after all images.
    """

    def __init__(self, connection: Connection, image: edges.Child) -> None:
        self.done: list[DeleteResponse] = []
        self.freed: list[str] = []
        self._connection = connection
        self._image = image
        self._names = references.of_image(connection, image.id)

    @classmethod
    def run(cls, connection: Connection, term: str, force: bool, prune: bool) -> _Removal:
        while True:
            try:
                image_id = _resolve(connection, term)
            except ImageNotFoundError as error:
                raise ImageNotFoundError(term) from error
            image = edges.hold(connection, image_id)
            if image is None:
                continue  # it went meanwhile: the term means another one, or nothing
            removal = cls(connection, image)
            if _is_id_prefix(image_id, term):
                removal._by_id(force=force, prune=prune)
            elif not removal._by_name(stored(Reference.parse(term)), prune=prune):
                continue  # the name was given to another image meanwhile
            return removal

    def _by_id(self, *, force: bool, prune: bool) -> None:
        children = images.children(self._connection, self._image.id)
        if children:
            raise DependentChildrenError(self._image.id, children)
        if self._names and not force and not _is_single(self._names):
            raise MultipleReferencesError(self._image.id)
        self._delete(prune=prune)

    def _by_name(self, reference: Reference, *, prune: bool) -> bool:
        if not self._untag([reference]):
            return False
        in_repository = [name for name in self._names if name.name == reference.name]
        if reference.digest is None and all(name.digest is not None for name in in_repository):
            self._untag(in_repository)
        if not self._names and not images.children(self._connection, self._image.id):
            self._delete(prune=prune)
        return True

    def _untag(self, names: Sequence[Reference]) -> bool:
        """Remove names of the image; returns whether it had them all."""
        had = [name for name in names if references.remove_of(self._connection, name, self._image.id)]
        self._names = [name for name in self._names if name not in names]
        self.done += [DeleteResponse(untagged=name.familiar) for name in had]
        return had == list(names)

    def _delete(self, *, prune: bool) -> None:
        doomed = [self._image.id, *(self._prunable() if prune else ())]
        for name in references.remove_all_of(self._connection, self._image.id):
            self.done.append(DeleteResponse(untagged=name.familiar))
        for image_id in doomed:
            freed = images.delete(self._connection, image_id)
            self.freed += freed.names
            self.done.append(DeleteResponse(deleted=image_id))
            self.done += [DeleteResponse(deleted=layer.chain_id) for layer in freed.layers]

    def _prunable(self) -> Iterator[ImageID]:
        """The parent, its parent and so on, as far as they have no name and no child but the one before; they are locked."""
        child = self._image
        while child.parent is not None:
            parent = edges.hold(self._connection, child.parent)
            if parent is None or references.of_image(self._connection, parent.id):
                return
            if images.children(self._connection, parent.id) != [child.id]:
                return
            yield parent.id
            child = parent


def _resolve(connection: Connection, term: str) -> ImageID:
    image_id = whole_id(term)
    if image_id is not None:
        if images.exists(connection, image_id):
            return image_id
        raise ImageNotFoundError(image_id)
    reference = Reference.parse(term)
    try:
        return references.get(connection, str(stored(reference)))
    except ReferenceNotFoundError:
        pass
    try:
        return images.search(connection, term)
    except ImageNotFoundError:
        raise ImageNotFoundError(reference.tagged.familiar) from None


def _tag(connection: Connection, source: str, target: Reference) -> ImageID:
    image_id = _resolve(connection, source)
    references.add(connection, target, image_id, force=True)
    images.set_metadata(connection, image_id, metadata.LAST_UPDATED, str(GoTime.now()).encode())
    return image_id


def _is_id_prefix(image_id: ImageID, term: str) -> bool:
    return image_id.startswith(term) or image_id.hex.startswith(term)


def _is_single(names: Sequence[Reference]) -> bool:
    """Whether all names are of one repository, with at most one tag among them.

    Source: moby's ``isSingleReference``.
    """
    tags = [name for name in names if name.digest is None]
    return len(tags) <= 1 and len({name.name for name in names}) <= 1
