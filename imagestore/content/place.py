"""The protocol of a place that keeps the bytes of layers."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final, Protocol

from imagestore.errors import UnusableContentError

_log: Final = logging.getLogger("imagestore")


class Content(Protocol):
    """A place that keeps bytes under names; safe to use from several threads and processes at once.

    Names are made by the store, of letters, digits and dashes.
    """

    def claim(self, identity: str) -> str:
        """Let the place belong to a store, if it belongs to none yet.

        Returns:
            The identity of the store that it belongs to: this one, or another's.
        """
        ...

    @property
    def identity(self) -> str | None:
        """The store that the place belongs to, None before the first `claim`."""
        ...

    def write(self, name: str, chunks: Iterable[bytes]) -> None:
        """Write all chunks under a name that has never been used; when this returns they outlast a loss of power.

        An exception that comes out of ``chunks`` comes out here, and nothing is left under the name (should the process end meanwhile,
        a part may be: garbage).

        Raises:
            FileExistsError: the name has been used.
            OSError: they cannot be written.
        """
        ...

    def open(self, name: str) -> BinaryIO:
        """What was written under a name, to be read from its beginning; the caller closes it.

        Raises:
            FileNotFoundError: there is nothing under it.
        """
        ...

    def size(self, name: str) -> int:
        """How many bytes are under a name.

        Raises:
            FileNotFoundError: there is nothing under it.
        """
        ...

    def delete(self, name: str) -> None:
        """Remove what is under a name; nothing there is no error."""
        ...

    def names(self) -> Iterator[str]:
        """All names under which something is, whole or half, in no order. What comes or goes meanwhile may or may not be among them."""
        ...


def delete(content: Content, names: Iterable[str]) -> int:
    """Remove what is under names that no row has; how many could be. One that cannot is logged, and left to `imagestore.collect`."""
    removed = 0
    for name in names:
        try:
            content.delete(name)
        except (OSError, UnusableContentError) as error:
            _log.error("content %s is left in %s: %s", name, content, error)
        else:
            removed += 1
    return removed
