"""What a store notes of an image beside its configuration: when it was tagged and used, and that it was built here."""

from __future__ import annotations

from datetime import datetime

from imagestore.arguments import check_limit, possible_id
from imagestore.bind import Bound
from imagestore.digest import ImageID
from imagestore.gojson import GoTime
from imagestore.sql import images, metadata, uses
from imagestore.sql.uses import Use


class ImageMetadata(Bound):
    """The part of `imagestore.store.Store` on the metadata of images; an ID is an `ImageID` or its text."""

    def set_last_updated(self, image_id: str) -> None:
        """Note that the image was tagged or built just now. Commits. Two statements by key.

        Source: moby's ``Store.SetLastUpdated``.
        """
        self._set_metadata(image_id, metadata.LAST_UPDATED, _now())

    def get_last_updated(self, image_id: str) -> GoTime | None:
        """When the image was last tagged or built; None where nobody has noted it, or there is no such image, as in moby.

        One read by key.

        Raises:
            InvalidTimeError: the metadata has something that is no time.

        Source: moby's ``Store.GetLastUpdated``.
        """
        return _time(self._get_metadata(image_id, metadata.LAST_UPDATED))

    def touch(self, image_id: str) -> None:
        """Note that the image was used just now. Commits. Two statements by key."""
        self._set_metadata(image_id, metadata.LAST_USED, _now())

    def last_used(self, image_id: str) -> GoTime | None:
        """When `touch` was last called; None where it never was, or there is no such image. One read by key.

        Raises:
            InvalidTimeError: the metadata has something that is no time.
        """
        return _time(self._get_metadata(image_id, metadata.LAST_USED))

    def unused_since(self, time: GoTime | datetime, after: Use | None = None, limit: int = 100) -> list[Use]:
        """The images that nobody has noted to be used at or after a time, as candidates for eviction.

        One that was never touched is among them, however new it is: so `touch` what you create. One query; costs what it returns,
        wherever it is.

        Args:
            time: a `GoTime`, or a datetime with a time zone.
            after: the last of the page before; it need not exist any more.
            limit: how many at most.

        Returns:
            Those that were never used, by ID; then those that were, that of the longest ago first. Times are in UTC; one outside of the
            years 1 to 9999 is shown as the first or last of them.

        Raises:
            InvalidTimeError: the datetime has no time zone.
        """
        since = time if isinstance(time, GoTime) else GoTime.from_datetime(time)
        return self._bind.read(uses.unused_since, since, after, check_limit(limit))

    def set_built_locally(self, image_id: str) -> None:
        """Note that the image was built here. Commits. Two statements by key.

        Source: moby's ``Store.SetBuiltLocally`` (since Docker 23).
        """
        self._set_metadata(image_id, metadata.BUILT_LOCALLY, b"\1")

    def is_built_locally(self, image_id: str) -> bool:
        """Whether `set_built_locally` was called; False for an image that is not there. One read by key.

        Source: moby's ``Store.IsBuiltLocally``.
        """
        return (self._get_metadata(image_id, metadata.BUILT_LOCALLY) or b"").startswith(b"\1")

    def _get_metadata(self, image_id: str, key: bytes) -> bytes | None:
        known = possible_id(image_id)
        return None if known is None else self._bind.read(images.get_metadata, known, key)

    def _set_metadata(self, image_id: str, key: bytes, value: bytes) -> None:
        self._bind.write(images.set_metadata, ImageID(image_id), key, value)


def _now() -> bytes:
    return str(GoTime.now()).encode()


def _time(value: bytes | None) -> GoTime | None:
    return GoTime.parse(value.decode("utf-8", "replace")) if value else None
