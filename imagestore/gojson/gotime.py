"""`GoTime`: an instant as Go's ``time.Time`` keeps it, with nanoseconds and the offset it was written with.

Python's ``datetime`` has neither, so it cannot give back the bytes that were read. The texts that Go 1.19 accepts are not
quite RFC 3339: one digit does for the hour, a comma before the fraction, and offsets like ``+00:60`` or ``+-1:30``. In JSON
seconds may even be missing if a fraction is there, because Go forgets that error over the next.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, date, datetime, timedelta, timezone
from typing import ClassVar, Final, Self

import msgspec

from imagestore.errors import InvalidTimeError
from imagestore.gojson.quoting import shortened

_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d?):(\d\d):(\d\d)?(?:[.,](\d+))?(?:Z|([+-])(\d\d|[+-]\d):(\d\d|[+-]\d))", re.ASCII
)
_DAY: Final = 86_400
_EPOCH: Final = date(1970, 1, 1).toordinal()
_CYCLE: Final = 146_097  # the days of 400 years, after which the calendar repeats


class GoTime(msgspec.Struct, frozen=True, order=True):
    """An instant with nanoseconds, and the offset from UTC that it is shown with.

    Times are ordered as instants, and the same instant by offset; so two are equal if Go's ``==`` says so, and would be written
    alike. ``str`` is RFC 3339 without trailing zeros in the fraction, as Go writes a time in JSON.

    Args:
        seconds: since 1970-01-01T00:00:00Z, negative before.
        nanosecond: 0 to 999,999,999.
        offset: seconds east of UTC.

    Source: Go's ``time.Time``.
    """

    seconds: int
    nanosecond: int = 0
    offset: int = 0

    ZERO: ClassVar[GoTime]
    """Go's zero time, 0001-01-01T00:00:00Z."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The time that ``text`` tells.

        Args:
            text: RFC 3339 as Go reads it, with at most nine fractional digits.

        Raises:
            InvalidTimeError: Go would not read it either.

        Source: Go's ``time.Parse(time.RFC3339Nano, text)``.
        """
        return cls._parse(text, text, in_json=False)

    @classmethod
    def from_json(cls, token: str) -> Self:
        """The time in a JSON token as it stands in the document: in quotes, and without escapes.

        Digits of the fraction after the ninth are cut off.

        Raises:
            InvalidTimeError: Go would not read it either.

        Source: Go's ``time.Time.UnmarshalJSON``.
        """
        quoted = len(token) >= 2 and token[0] == token[-1] == '"'
        return cls._parse(token, token[1:-1] if quoted else "", in_json=True)

    @classmethod
    def now(cls) -> Self:
        """The present, in UTC."""
        seconds, nanosecond = divmod(time.time_ns(), 1_000_000_000)
        return cls(seconds, nanosecond)

    @classmethod
    def from_datetime(cls, time: datetime) -> Self:
        """The time of an aware datetime, with the same offset in whole seconds.

        Raises:
            InvalidTimeError: it has no offset.
        """
        offset = time.utcoffset()
        if offset is None:
            raise InvalidTimeError(f"{time!r} has no time zone: give it one, as datetime.now(UTC) has")
        since = time - datetime(1970, 1, 1, tzinfo=UTC)
        return cls(since.days * _DAY + since.seconds, since.microseconds * 1000, int(offset.total_seconds()))

    @classmethod
    def _parse(cls, shown: str, text: str, *, in_json: bool) -> Self:
        match = _RFC3339.fullmatch(text)
        if match is None:
            raise InvalidTimeError(
                f"cannot parse {shortened(repr(shown))} as a time like 2006-01-02T15:04:05.999999999Z07:00"
            )
        year, month, day, hour, minute, second, fraction, sign, hours, minutes = match.groups("")
        if (not in_json and len(fraction) > 9) or not (second or (in_json and fraction)):
            raise InvalidTimeError(
                f"cannot parse {shortened(repr(shown))}: two digits of seconds and at most nine after the point"
            )
        if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 59:
            raise InvalidTimeError(f"cannot parse {shortened(repr(shown))}: hour, minute or second out of range")
        # Year 0 has the calendar of year 400, and Python's dates begin with year 1.
        cycles, shifted = (0, int(year)) if year != "0000" else (-1, 400)
        try:
            days = date(shifted, int(month), int(day)).toordinal() + cycles * _CYCLE - _EPOCH
        except ValueError:
            raise InvalidTimeError(f"cannot parse {shortened(repr(shown))}: month or day out of range") from None
        offset = 0
        if sign:
            offset = (int(hours) * 60 + int(minutes)) * (-60 if sign == "-" else 60)
        seconds = days * _DAY + int(hour) * 3600 + int(minute) * 60 + int(second or 0) - offset
        return cls(seconds, int(fraction[:9].ljust(9, "0")), offset)

    @property
    def year(self) -> int:
        """The year where the offset holds; below 0 and above 9999 JSON cannot hold it."""
        return _civil(self.seconds + self.offset)[0]

    @property
    def utc_text(self) -> str:
        """The instant as 30 characters of UTC with nine fractional digits, which sort as the instants do.

        What falls outside the years 1 to 9999 is clamped to their first or last nanosecond.
        """
        year, month, day, hour, minute, second = _civil(self.seconds)
        if year < 1:
            return "0001-01-01T00:00:00.000000000Z"
        if year > 9999:
            return "9999-12-31T23:59:59.999999999Z"
        return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{self.nanosecond:09}Z"

    def to_datetime(self) -> datetime:
        """The time as an aware datetime with the same offset; nanoseconds are cut off to microseconds.

        Raises:
            OverflowError: year 0, or an offset of 24 hours and more: a datetime cannot hold them.
        """
        try:
            zone = timezone(timedelta(seconds=self.offset)) if self.offset else UTC
            return datetime(*_civil(self.seconds + self.offset), self.nanosecond // 1000, tzinfo=zone)
        except ValueError as error:
            raise OverflowError(f"{self} is out of the range of datetime: {error}") from None

    def __str__(self) -> str:
        year, month, day, hour, minute, second = _civil(self.seconds + self.offset)
        fraction = f".{self.nanosecond:09}".rstrip("0") if self.nanosecond else ""
        zone = "Z"
        if self.offset:
            hours, minutes = divmod(abs(self.offset) // 60, 60)
            zone = f"{'-' if self.offset < 0 else '+'}{hours:02}:{minutes:02}"
        return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}"


def _civil(seconds: int) -> tuple[int, int, int, int, int, int]:
    """Year, month, day, hour, minute and second of the proleptic Gregorian calendar, for any year."""
    days, rest = divmod(seconds, _DAY)
    cycles, day_of_cycle = divmod(days + _EPOCH - 1, _CYCLE)
    day = date.fromordinal(day_of_cycle + 1)
    return day.year + 400 * cycles, day.month, day.day, rest // 3600, rest // 60 % 60, rest % 60


GoTime.ZERO = GoTime(-62_135_596_800)
