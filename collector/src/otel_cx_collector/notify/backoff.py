"""When a notice that did not arrive is tried again, and when it never is. Pure; chance is an argument."""

from typing import Final

from otel_cx_collector.notify.words import Notice, Retry

FIRST_S: Final = 5
"""The longest wait before the second try; it doubles with each."""
LONGEST_S: Final = 300
"""The longest wait there is; also between tries of what somebody has to mend."""
GIVE_UP_S: Final = 24 * 3600
"""Age after which a notice that does not arrive is given up."""
GIVE_UP_TRIES: Final = 12
"""It is tried this often all the same: after a day without us, what is told late has to get its chance."""


def gave_up(notice: Notice, now_s: int) -> bool:
    """Whether the try that has just failed was the last."""
    return now_s - notice.at_s >= GIVE_UP_S and notice.tries + 1 >= GIVE_UP_TRIES


def wait_s(notice: Notice, retry: Retry, jitter: float) -> int:
    """Seconds until the next try, at least 1.

    Full jitter: anywhere from nothing to a bound that doubles, so that what failed together does not come back
    together (Brooker, Exponential Backoff And Jitter, AWS 2015).

    Args:
        notice: ``tries`` is how often it failed before.
        retry: A target that says when is believed; what somebody has to mend is tried at long intervals.
        jitter: Chance, [0, 1).
    """
    if retry.after_s is not None:
        return retry.after_s
    if retry.mend:
        return LONGEST_S
    bound = min(LONGEST_S, FIRST_S << min(notice.tries, 10))
    return max(1, round(jitter * bound))
