"""When, in docker's words: "About an hour ago", "2 weeks ago"."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from imagestore.gojson import GoTime

_SECOND: Final = 1_000_000_000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24  # hours, from here on
_WEEK: Final = 7 * _DAY
_MONTH: Final = 30 * _DAY
_YEAR: Final = 365 * _DAY
_LONGEST: Final = 2**63 - 1  # nanoseconds that a Go duration has, so that nothing is older than 292 years
_ZERO: Final = -62_135_596_800  # Go's zero time, which says "not known"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def since(created: GoTime) -> str:
    """How long ago that was; nothing where it is not known."""
    if created.seconds == _ZERO:
        return ""
    return f"{human_duration(min(time.time_ns() - created.seconds * _SECOND, _LONGEST))} ago"


def human_duration(nanoseconds: int) -> str:
    """A duration in one unit.

    Source: docker's ``units.HumanDuration``.
    """
    if nanoseconds < _SECOND:
        return "Less than a second"
    if nanoseconds < _MINUTE:
        seconds = nanoseconds // _SECOND
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    if nanoseconds < _HOUR:
        minutes = nanoseconds // _MINUTE
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    hours = (nanoseconds + _HOUR // 2) // _HOUR  # the one unit that is rounded
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    if hours < 2 * _WEEK:
        return f"{hours // _DAY} days"
    if hours < 2 * _MONTH:
        return f"{hours // _WEEK} weeks"
    if hours < 2 * _YEAR:
        return f"{hours // _MONTH} months"
    return f"{nanoseconds // _HOUR // _YEAR} years"


def at(created: GoTime) -> str:
    """The second in UTC, as Go prints a time."""
    try:
        return f"{_EPOCH + timedelta(seconds=created.seconds):%Y-%m-%d %H:%M:%S} +0000 UTC".rjust(29, "0")
    except OverflowError:
        return str(created)
