"""Ages in docker's words; the values are those of docker's own test of units.HumanDuration, and the edges between them."""

from __future__ import annotations

import time

import pytest

from imagestore.cli.ages import at, human_duration, since
from imagestore.gojson import GoTime

SECOND = 1_000_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86400 * SECOND
WEEK, MONTH, YEAR = 7 * DAY, 30 * DAY, 365 * DAY


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        (-DAY, "Less than a second"),
        (450_000_000, "Less than a second"),
        (SECOND, "1 second"),
        (2 * SECOND - 1, "1 second"),
        (45 * SECOND, "45 seconds"),
        (46 * SECOND, "46 seconds"),
        (59 * SECOND, "59 seconds"),
        (60 * SECOND, "About a minute"),
        (90 * SECOND, "About a minute"),
        (3 * MINUTE, "3 minutes"),
        (35 * MINUTE, "35 minutes"),
        (59 * MINUTE + 59 * SECOND, "59 minutes"),
        (60 * MINUTE, "About an hour"),
        (HOUR + 29 * MINUTE, "About an hour"),
        (HOUR + 31 * MINUTE, "2 hours"),
        (3 * HOUR + 59 * MINUTE, "4 hours"),
        (35 * HOUR, "35 hours"),
        (46 * HOUR, "46 hours"),
        (48 * HOUR, "2 days"),
        (7 * DAY, "7 days"),
        (13 * DAY + 5 * HOUR, "13 days"),
        (13 * DAY + 23 * HOUR, "13 days"),
        (2 * WEEK - MINUTE, "2 weeks"),
        (2 * WEEK, "2 weeks"),
        (3 * WEEK - HOUR, "2 weeks"),
        (3 * WEEK, "3 weeks"),
        (59 * DAY, "8 weeks"),
        (2 * MONTH, "2 months"),
        (3 * MONTH + WEEK, "3 months"),
        (4 * MONTH - HOUR, "3 months"),
        (23 * MONTH, "23 months"),
        (2 * YEAR - HOUR, "24 months"),
        (24 * MONTH + 2 * WEEK, "2 years"),
        (3 * YEAR - MINUTE, "2 years"),
        (3 * YEAR + 2 * MONTH, "3 years"),
        (10 * YEAR, "10 years"),
    ],
)
def test_a_duration(duration, words):
    assert human_duration(duration) == words


def test_a_time_long_ago_is_as_old_as_go_can_say():
    assert since(GoTime.parse("0500-01-01T00:00:00Z")) == "292 years ago"


def test_the_zero_time_is_not_known():
    assert since(GoTime.ZERO) == ""


def test_a_time_to_come_is_now():
    assert since(GoTime(time.time_ns() // SECOND + 1000)) == "Less than a second ago"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2020-10-01T12:30:00.9+02:00", "2020-10-01 10:30:00 +0000 UTC"),
        ("0001-01-01T00:00:00Z", "0001-01-01 00:00:00 +0000 UTC"),
        ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
    ],
)
def test_a_second_in_utc(text, shown):
    assert at(GoTime.parse(text)) == shown
