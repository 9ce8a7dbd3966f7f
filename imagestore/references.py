"""References: `Store.references`, moby's reference store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from imagestore.arguments import check_limit
from imagestore.bind import Bind
from imagestore.digest import ImageID
from imagestore.errors import InvalidReferenceError
from imagestore.reference import Reference
from imagestore.sql import references
from imagestore.sql.references import Association, stored, stored_name

__all__ = ["Association", "References"]

_PAGE: Final = 1000


class References:
    """The names of images.

    A reference is a `Reference` or its text, familiar or in full; a text that is none raises `InvalidReferenceError`. One without a tag
    has the tag "latest"; of one with a tag and a digest, the digest counts. An image has any number of names; they go with it.

    Source: moby's ``reference.Store``.
    """

    def __init__(self, bind: Bind) -> None:
        self._bind = bind

    def add_tag(self, reference: Reference | str, image_id: str, force: bool = False) -> None:
        """Let a tag stand for an image. Commits. One or two statements by key.

        Args:
            reference: the tag.
            image_id: the image.
            force: take the tag from the image that has it; of two such calls at once, the later one counts.

        Raises:
            ReferenceConflictError: the tag is set already, be it to this image, and ``force`` is not given.
            ImageNotFoundError: there is no such image.
            InvalidReferenceError: it has a digest, or its repository is named "sha256", which would be taken for a digest.

        Source: moby's ``Store.AddTag``.
        """
        self._bind.write(references.add, check_tag(reference), ImageID(image_id), force=force)

    def add_digest(self, reference: Reference | str, image_id: str, force: bool = False) -> None:
        """Let a repository's digest stand for an image. Commits. One or two statements by key.

        Args:
            reference: has a digest.
            image_id: the image.
            force: changes nothing: a digest is never set anew.

        Raises:
            ReferenceConflictError: it is set already.
            ImageNotFoundError: there is no such image.
            InvalidReferenceError: it has no digest, or its repository is named "sha256".

        Source: moby's ``Store.AddDigest``.
        """
        self._bind.write(references.add, _check_digest(reference), ImageID(image_id), force=force)

    def delete(self, reference: Reference | str) -> bool:
        """Let a name stand for nothing; returns whether it stood for an image, which stays. Commits. One statement by key.

        Source: moby's ``Store.Delete``.
        """
        return self._bind.write(references.remove, _named(reference))

    def get(self, reference: Reference | str) -> ImageID:
        """The image that a name stands for. One read by key.

        Raises:
            ReferenceNotFoundError: it stands for none.

        Source: moby's ``Store.Get``.
        """
        name = stored_name(reference) if isinstance(reference, str) else str(_named(reference))
        return self._bind.read(references.get, name)

    def references(self, image_id: str) -> list[Reference]:
        """The names of an image, in the order of their bytes, in full; none for an image that is not there. Costs what it returns.

        Source: moby's ``Store.References``.
        """
        return self._bind.read(references.of_image, ImageID(image_id))

    def of_images(self, image_ids: Iterable[str]) -> dict[ImageID, list[Reference]]:
        """`references` of many at once: of those that have any. One query for every ten thousand."""
        return self._bind.read(references.of_images, [ImageID(image_id) for image_id in image_ids])

    def references_by_name(self, reference: Reference | str) -> list[Association]:
        """What the names of a repository stand for, in order; the reference's own tag or digest does not matter. Costs what it returns.

        Source: moby's ``Store.ReferencesByName``.
        """
        return self._bind.read(references.of_repository, _parsed(reference).name)

    def page(self, after: Reference | str | None = None, limit: int = 100) -> list[Association]:
        """The next names in the order of their bytes, in full. Costs what it returns, wherever it is.

        Args:
            after: the name that the page follows; it need not stand for anything (any more).
            limit: how many at most.
        """
        start = "" if after is None else str(_named(after))
        return self._bind.read(references.page, start, check_limit(limit))

    def stream(self) -> Iterator[Association]:
        """All names in the order of their bytes, in full, in constant memory: pages of a thousand, each a read of its own."""
        after = ""
        while page := self._bind.read(references.page, after, _PAGE):
            yield from page
            after = str(page[-1].reference)


def check_tag(reference: Reference | str) -> Reference:
    """A tag as `References.add_tag` takes it, in full. Pure.

    Raises:
        InvalidReferenceError: it is none.
    """
    checked = _check(reference)
    if checked.digest is not None:
        raise InvalidReferenceError(str(reference), "refusing to create a tag with a digest reference")
    return stored(checked)


def _check_digest(reference: Reference | str) -> Reference:
    checked = _check(reference)
    if checked.digest is None:
        raise InvalidReferenceError(str(reference), "a digest reference has a digest, as in app@sha256:...")
    return stored(checked)


def _parsed(reference: Reference | str) -> Reference:
    return reference if isinstance(reference, Reference) else Reference.parse(reference)


def _named(reference: Reference | str) -> Reference:
    return stored(_parsed(reference))


def _check(reference: Reference | str) -> Reference:
    """The reference, parsed, though it may have been made of parts that nobody has checked."""
    parsed = Reference.parse(str(reference) if isinstance(reference, Reference) else reference)
    if isinstance(reference, Reference) and parsed != reference:
        raise InvalidReferenceError(str(reference), "invalid reference format")
    if parsed.familiar_name == "sha256":
        raise InvalidReferenceError(
            str(reference), "refusing to create an ambiguous tag using digest algorithm as name"
        )
    return parsed
