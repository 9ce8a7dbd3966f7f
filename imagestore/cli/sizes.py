"""How large, in docker's words: "13B", "1.05GB"."""

from __future__ import annotations

from typing import Final

_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")


def size(of: int | None) -> str:
    """A number of bytes; None is one that nobody knows."""
    return "N/A" if of is None else human_size(of)


def human_size(of: float) -> str:
    """A number of bytes with three digits, in the largest unit of which there is one.

    Source: docker's ``units.HumanSizeWithPrecision``.
    """
    unit = 0
    while of >= 1000 and unit < len(_UNITS) - 1:
        of /= 1000
        unit += 1
    return f"{of:.3g}{_UNITS[unit]}"
