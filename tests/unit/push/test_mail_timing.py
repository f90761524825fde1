"""When a mail may be sent."""

from hypothesis import given
from hypothesis import strategies as st

from homeserver.services.push.mail_timing import LONGEST_MS, NEVER_SENT, after_mail, ready_ms

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
DELAY_MS = 10 * MINUTE_MS


def test_the_first_mail_waits_for_the_delay() -> None:
    assert ready_ms(1000, NEVER_SENT, DELAY_MS) == 1000 + DELAY_MS


def test_the_second_waits_for_the_delay_too_and_the_third_for_a_day() -> None:
    first = after_mail(NEVER_SENT, HOUR_MS, HOUR_MS - DELAY_MS, DELAY_MS)
    assert ready_ms(HOUR_MS + 1, first, DELAY_MS) == HOUR_MS + 1 + DELAY_MS
    second = after_mail(first, 2 * HOUR_MS, 2 * HOUR_MS, DELAY_MS)
    assert ready_ms(2 * HOUR_MS, second, DELAY_MS) == 2 * HOUR_MS + LONGEST_MS


def test_after_half_a_day_of_silence_it_begins_anew() -> None:
    late = after_mail(NEVER_SENT, HOUR_MS, HOUR_MS, DELAY_MS)
    late = after_mail(late, 2 * HOUR_MS, 2 * HOUR_MS, DELAY_MS)
    assert after_mail(late, 15 * HOUR_MS, 15 * HOUR_MS, DELAY_MS).throttle_ms == DELAY_MS


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**12)), max_size=20), st.integers(0, LONGEST_MS))
def test_no_mail_waits_for_more_than_a_day_after_the_last(mails: list[tuple[int, int]], delay_ms: int) -> None:
    throttle = NEVER_SENT
    for now_ms, event_ms in mails:
        throttle = after_mail(throttle, now_ms, event_ms, delay_ms)
        assert throttle.throttle_ms <= LONGEST_MS
