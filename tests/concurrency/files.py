"""A place for contents whose files are but names, and in which each call is a step of a session."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from typing import BinaryIO, Final

from imagestore.testing.makers import make_layer
from tests.concurrency.statements import Step

IDENTITY: Final = "0" * 32
_SIZE: Final = len(make_layer())  # of any layer of that maker
_LISTED: Final = frozenset({"files:all"})  # no two write the same file, and one that is gone can go again


class Files:
    """`imagestore.content.place.Content` of one session.

    Args:
        names: the files, which all sessions share.
        before: is told of each step that others may notice.
    """

    identity = IDENTITY

    def __init__(self, names: set[str], before: Callable[[Step], None]) -> None:
        self._names = names
        self._before = before

    def claim(self, identity: str) -> str:
        return IDENTITY

    def write(self, name: str, chunks: Iterable[bytes]) -> None:
        for _ in chunks:
            pass
        self._before(_step("write"))
        self._names.add(name)

    def open(self, name: str) -> BinaryIO:
        return BytesIO()

    def size(self, name: str) -> int:
        self._before(_step("look at"))
        if name not in self._names:
            raise FileNotFoundError(name)
        return _SIZE

    def delete(self, name: str) -> None:
        self._before(_step("unlink"))
        self._names.discard(name)

    def names(self) -> Iterator[str]:
        self._before(Step("list files", writes=_LISTED, commutes_with_end=True))
        return iter(sorted(self._names))


def _step(text: str) -> Step:
    return Step(f"{text} a file", shares=_LISTED, commutes_with_end=True)
