from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagestore.errors import InvalidTimeError
from imagestore.gojson import GoTime

times = st.builds(
    GoTime,
    st.integers(-62_167_132_800, 253_402_214_400),
    st.integers(0, 999_999_999),
    st.integers(-23 * 60, 23 * 60).map(lambda minutes: minutes * 60),
)


@given(times)
def test_what_is_written_is_read_again(time):
    assert GoTime.parse(str(time)) == time
    assert GoTime.from_json(f'"{time}"') == time


@given(
    st.datetimes(
        timezones=st.builds(timezone, st.integers(-1439, 1439).map(lambda minutes: timedelta(minutes=minutes)))
    )
)
def test_it_agrees_with_datetime(moment):
    time = GoTime.parse(moment.isoformat())
    found = time.to_datetime()
    assert (found, found.utcoffset()) == (moment, moment.utcoffset())
    assert GoTime.from_datetime(moment) == time


def test_a_datetime_without_a_time_zone_is_no_time():
    with pytest.raises(InvalidTimeError, match="has no time zone"):
        GoTime.from_datetime(datetime(2020, 1, 2))  # noqa: DTZ001  that is the point


@given(times, times)
def test_they_sort_as_instants_and_so_do_their_utc_texts(first, second):
    instants = [(time.seconds, time.nanosecond) for time in (first, second)]
    if instants[0] != instants[1]:
        assert (first < second) == (instants[0] < instants[1])
    assert sorted(time.utc_text for time in (first, second)) == [time.utc_text for time in sorted((first, second))]
    assert {len(time.utc_text) for time in (first, second)} == {30}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2020-01-02T03:04:05.120Z", "2020-01-02T03:04:05.12Z"),
        ("2020-01-02T3:04:05Z", "2020-01-02T03:04:05Z"),
        ("2020-01-02T03:04:05,5Z", "2020-01-02T03:04:05.5Z"),
        ("2020-01-02T03:04:05-00:00", "2020-01-02T03:04:05Z"),
        ("2020-01-02T03:04:05+00:60", "2020-01-02T03:04:05+01:00"),
        ("2020-01-02T03:04:05+99:99", "2020-01-02T03:04:05+100:39"),
        ("2020-01-02T03:04:05+-5:+3", "2020-01-02T03:04:05-04:57"),
        ("2020-01-02T03:04:05++5:00", "2020-01-02T03:04:05+05:00"),
        ("2020-01-02T03:04:05--1:00", "2020-01-02T03:04:05+01:00"),
        ("0000-02-29T00:00:00Z", "0000-02-29T00:00:00Z"),
        ("9999-12-31T23:59:59.999999999-23:59", "9999-12-31T23:59:59.999999999-23:59"),
    ],
)
def test_it_reads_what_go_reads(text, written):
    assert str(GoTime.parse(text)) == written


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2020-01-02",
        "2020-01-02T03:04:05",
        "2020-01-02 03:04:05Z",
        "2020-01-02t03:04:05Z",
        "2020-01-02T03:04:05z",
        "2020-01-02T24:00:00Z",
        "2020-01-02T03:60:00Z",
        "2020-01-02T03:04:60Z",
        "2020-01-02T03:04:Z",
        "2020-01-02T03:04:.5Z",
        "2020-01-02T03:04:05.Z",
        "2020-01-02T03:04:05.1234567890Z",
        "2020-00-01T00:00:00Z",
        "2020-13-01T00:00:00Z",
        "2020-02-30T00:00:00Z",
        "2019-02-29T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "-001-01-01T00:00:00Z",
        "2020-01-02T03:04:05+0200",
        "2020-01-02T03:04:05+2:00",
        "2020-01-02T03:04:05+++:00",
        "2020-01-02T03:04:05Z\n",
        "２０２０-01-02T03:04:05Z",
        '"2020-01-02T03:04:05Z"',
    ],
)
def test_it_refuses_what_go_refuses(text):
    with pytest.raises(InvalidTimeError, match="cannot parse"):
        GoTime.parse(text)


def test_in_json_digits_may_be_too_many_and_seconds_missing():
    assert str(GoTime.from_json('"2020-01-02T03:04:05.1234567899Z"')) == "2020-01-02T03:04:05.123456789Z"
    assert str(GoTime.from_json('"2020-01-02T03:04:.5Z"')) == "2020-01-02T03:04:00.5Z"


@pytest.mark.parametrize("token", ["1", "null", '"', '""', "2020-01-02T03:04:05Z", r'"2020\u002d01-02T03:04:05Z"'])
def test_in_json_it_is_a_string_without_escapes(token):
    with pytest.raises(InvalidTimeError):
        GoTime.from_json(token)


def test_the_message_of_a_long_text_is_short():
    with pytest.raises(InvalidTimeError) as caught:
        GoTime.parse("9" * 100_000)
    assert len(str(caught.value)) < 400


def test_utc_text_is_clamped_to_the_years_1_to_9999():
    assert GoTime.parse("0000-12-31T23:59:59Z").utc_text == "0001-01-01T00:00:00.000000000Z"
    assert GoTime.parse("0001-01-01T00:00:00+01:00").utc_text == "0001-01-01T00:00:00.000000000Z"
    assert GoTime.parse("9999-12-31T23:59:59-00:01").utc_text == "9999-12-31T23:59:59.999999999Z"
    assert GoTime(10**15).utc_text == "9999-12-31T23:59:59.999999999Z"


def test_zero_and_now():
    assert str(GoTime.ZERO) == "0001-01-01T00:00:00Z"
    before = datetime.now(UTC)
    now = GoTime.now()
    assert before <= now.to_datetime() <= datetime.now(UTC)
    assert now.offset == 0


def test_a_datetime_has_microseconds_and_the_same_offset():
    assert GoTime.parse("2020-01-02T03:04:05.123456789-07:30").to_datetime() == datetime(
        2020, 1, 2, 3, 4, 5, 123456, timezone(-timedelta(hours=7, minutes=30))
    )


@pytest.mark.parametrize("text", ["0000-01-01T00:00:00Z", "2020-01-02T03:04:05+24:00"])
def test_what_no_datetime_can_hold(text):
    with pytest.raises(OverflowError, match="out of the range of datetime"):
        GoTime.parse(text).to_datetime()


def test_it_is_a_value():
    time = GoTime.parse("2020-01-02T03:04:05.5+02:00")
    assert {time, pickle.loads(pickle.dumps(time))} == {time}
    with pytest.raises(AttributeError):
        time.seconds = 0  # type: ignore[misc]
