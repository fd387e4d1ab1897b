"""Which errors are tried again, when, and how often."""

import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wa_webhooks.errors import (
    ConfigError,
    GiveUpError,
    PayloadError,
    RetryLaterError,
    SchemaMismatchError,
    StoreRejectedError,
    StoreUnavailableError,
)
from wa_webhooks.retry import LONGEST_RETRY, RetryPolicy, is_transient, patiently

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PASSING = [StoreUnavailableError(), ConnectionResetError(), TimeoutError()]
LASTING = [
    StoreRejectedError(),
    SchemaMismatchError(),
    PayloadError(),
    GiveUpError(),
    KeyError("x"),
    OSError(),
    sqlite3.Error(),
]


class Calls:
    """A call that raises its errors in turn, then returns; and the waits between."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.made = 0
        self.waits = []

    def __call__(self):
        self.made += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    def patiently(self, **options):
        return patiently(self, sleep=self.waits.append, **options)


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_passes_by_itself_is_transient(error):
    assert is_transient(error)


@pytest.mark.parametrize("error", [*LASTING, RetryLaterError(), RetryLaterError(delay=1)], ids=repr)
def test_what_lasts_or_says_itself_when_is_not_transient(error):
    assert not is_transient(error)


@pytest.mark.parametrize(("failures", "tries"), [(0, 3), (0, 1), (1, 3), (2, 3), (1, 2), (7, 8)])
def test_a_passing_error_is_overcome_within_the_tries(failures, tries):
    calls = Calls(*[StoreUnavailableError()] * failures)
    assert calls.patiently(tries=tries) == "done"
    assert (calls.made, len(calls.waits)) == (failures + 1, failures)


@pytest.mark.parametrize("tries", [1, 2, 3, 9])
def test_after_the_last_try_the_last_error_is_raised_as_it_is(tries):
    errors = [StoreUnavailableError(str(number)) for number in range(20)]
    calls = Calls(*errors)
    with pytest.raises(StoreUnavailableError) as raised:
        calls.patiently(tries=tries)
    assert raised.value is errors[tries - 1]
    assert (calls.made, len(calls.waits)) == (tries, tries - 1)


@pytest.mark.parametrize("error", [*LASTING, RetryLaterError(delay=1), KeyboardInterrupt()], ids=repr)
def test_any_other_error_is_raised_at_once(error):
    for first in ([], [StoreUnavailableError()]):
        calls = Calls(*first, error)
        with pytest.raises(type(error)) as raised:
            calls.patiently()
        assert raised.value is error
        assert calls.made == len(first) + 1


def test_waits_grow_and_stay_between_a_tenth_of_a_second_and_two():
    calls = Calls(*[TimeoutError()] * 9)
    calls.patiently(tries=10)
    assert all(0.1 <= wait <= 2 for wait in calls.waits)
    assert calls.waits[0] < calls.waits[2] < calls.waits[4]


def waits(error, made, **policy):
    found = [RetryPolicy(**policy).next_attempt(error, made=made, now=NOW) for _ in range(50)]
    return None if None in found else [(at - NOW).total_seconds() for at in found]


@pytest.mark.parametrize(
    ("error", "made", "seconds"),
    [
        (TimeoutError(), 1, 30),
        (StoreUnavailableError(), 2, 60),
        (StoreUnavailableError(), 5, 480),
        (StoreUnavailableError(), 9, 7680),
        (RetryLaterError(), 1, 30),
        (RetryLaterError(), 9, 7680),
        (KeyError("a bug"), 1, 300),
        (StoreRejectedError(), 2, 600),
        (ValueError(), 4, 2400),
    ],
)
def test_waits_double_with_jitter_and_a_fault_waits_ten_times_longer(error, made, seconds):
    found = waits(error, made)
    assert 0.8 * seconds <= min(found) < max(found) <= 1.2 * seconds


@pytest.mark.parametrize(
    ("error", "made", "policy"),
    [
        (StoreUnavailableError(), 10, {}),
        (StoreUnavailableError(), 11, {}),
        (RetryLaterError(delay=1), 10, {}),
        (KeyError(), 5, {}),
        (KeyError(), 2, {"attempts": 3}),
        (GiveUpError(), 1, {}),
        (PayloadError(), 1, {}),
        (StoreUnavailableError(), 1, {"attempts": 1}),
        (RetryLaterError(), 1, {"attempts": 1}),
        (KeyError(), 1, {"attempts": 1}),
    ],
)
def test_there_is_an_end_to_it(error, made, policy):
    assert waits(error, made, **policy) is None


@pytest.mark.parametrize(("error", "last"), [(TimeoutError(), 9), (RetryLaterError(), 9), (KeyError(), 4)])
def test_the_attempt_before_the_limit_is_followed_by_another(error, last):
    assert waits(error, last)
    assert waits(error, last + 1) is None


@pytest.mark.parametrize("delay", [0, 0.5, 86_400, 7 * 86_400])
def test_a_handler_sets_its_own_delay_to_the_second(delay):
    assert set(waits(RetryLaterError(delay=delay), 9)) == {delay}


@pytest.mark.parametrize("delay", [1e300, float("inf"), float("nan"), -1, -1e300])
def test_a_handlers_impossible_delay_stops_nobody_and_never_points_back(delay):
    at = RetryPolicy().next_attempt(RetryLaterError(delay=delay), made=1, now=NOW)
    assert at is None or at >= NOW


@given(
    st.sampled_from([TimeoutError(), KeyError(), RetryLaterError()]),
    st.integers(1, 10**6),
    st.integers(1, 10**6),
    st.floats(0.001, 10**5),
    st.floats(1, 100),
)
def test_no_wait_is_longer_than_the_cap_with_its_jitter(error, made, attempts, base, times):
    policy = RetryPolicy(attempts=attempts, base=base, cap=base * times)
    at = policy.next_attempt(error, made=made, now=NOW)
    assert at is None or NOW < at <= NOW + timedelta(seconds=base * times * 1.2)
    assert at is None or made < attempts


def test_the_default_cap_is_the_longest_retry():
    assert RetryPolicy().cap == LONGEST_RETRY
    for made in (30, 5000):
        assert 0.8 * LONGEST_RETRY <= max(waits(TimeoutError(), made, attempts=9999)) <= 1.2 * LONGEST_RETRY


@pytest.mark.parametrize(
    "silly",
    [
        {"attempts": 0},
        {"attempts": -1},
        {"base": 0},
        {"base": -1},
        {"base": 60, "cap": 59},
        {"cap": 0},
        {"base": float("nan")},
        {"cap": float("nan")},
        {"base": float("inf"), "cap": float("inf")},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(silly):
    with pytest.raises(ConfigError):
        RetryPolicy(**silly)


@pytest.mark.parametrize(("asked", "waits"), [(3.0, [3.0, 3.0]), (0.0, None), (None, None)])
def test_the_other_side_is_left_alone_as_long_as_it_asks(asked, waits):
    calls = Calls(*[StoreUnavailableError(retry_after=asked)] * 2)
    assert calls.patiently() == "done"
    assert calls.made == 3
    assert waits is None or calls.waits == waits


def test_nobody_is_kept_waiting_for_longer_than_a_few_seconds():
    calls = Calls(StoreUnavailableError(retry_after=60))
    with pytest.raises(StoreUnavailableError):
        calls.patiently()
    assert (calls.made, calls.waits) == (1, [])
