"""What the standard library's ``itertools.batched`` does from Python 3.12 on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batched(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """The values in lists of so many, the last of which may have fewer."""
    rest = iter(values)
    while found := list(islice(rest, size)):
        yield found
