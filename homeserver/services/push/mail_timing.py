"""When a mail may be sent: pure.

A message is told of by mail if it has been unread for a while; and after a mail about a room the next one because of
the same room waits longer and longer, up to a day. When a room was silent for half a day, it begins anew.

Source: Synapse's e-mail pusher.
"""

from storage.mail_throttles import Throttle

LONGEST_MS = 24 * 3600 * 1000
MULTIPLIER = 144  # ten minutes, then a day
RESET_AFTER_MS = 12 * 3600 * 1000
NEVER_SENT = Throttle()


def ready_ms(event_ms: int, throttle: Throttle, delay_ms: int) -> int:
    """From when on an event may be told of."""
    return max(event_ms + delay_ms, throttle.sent_ms + throttle.throttle_ms)


def after_mail(throttle: Throttle, now_ms: int, event_ms: int, delay_ms: int) -> Throttle:
    """What holds once a mail has told of an event of that time."""
    was_silent = throttle.event_ms > 0 and event_ms - throttle.event_ms > RESET_AFTER_MS
    if throttle.throttle_ms == 0 or was_silent:
        return Throttle(now_ms, delay_ms, event_ms)
    return Throttle(now_ms, min(throttle.throttle_ms * MULTIPLIER, LONGEST_MS), event_ms)
