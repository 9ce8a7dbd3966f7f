"""What the contracts state beside ``assert``: that a call is refused, and how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

E = TypeVar("E", bound=BaseException)


def refusal(kind: type[E] | tuple[type[E], ...], call: Callable[..., Any], *arguments: Any) -> E:
    """Call, and return the error of this kind that is raised.

    Raises:
        AssertionError: nothing was raised. An error of another kind goes through.
    """
    try:
        result = call(*arguments)
    except kind as error:
        return error
    kinds = " or ".join(one.__name__ for one in (kind if isinstance(kind, tuple) else (kind,)))
    raise AssertionError(f"{call!r} with {arguments!r} returned {result!r}, where {kinds} was due")
