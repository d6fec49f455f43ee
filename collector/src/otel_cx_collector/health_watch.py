"""We say aloud when we ourselves are broken (measures.md 1.4): what, since when, and to whom. Sends nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from otel_cx_collector.inventory import Inventory
from otel_cx_collector.notify.route import watch_notices
from otel_cx_collector.notify.words import Notice
from otel_cx_collector.views.source import Intake

UNMEASURED_S: Final = 300
"""A journey without measurement for this long is told."""
STORE_DOWN_S: Final = 30
"""A store that has failed for this long, three rounds, is told: half of LATE_S, so that the cause is told before what
comes of it. A single failure is not told: the log keeps the rows, and a round or an insert comes again in seconds."""
LATE_S: Final = 60
"""Control later than this behind the boundary that is due is told."""
LOG_SHARE: Final = 0.5
"""A log fuller than this is told: half of its time is gone."""
SEVERITY: Final = "P2"
"""Blindness wakes somebody: an outage that nobody sees is worse than one that everybody sees."""


class Condition(NamedTuple):
    """Something about us that is wrong now."""

    what: str
    """As notices have it: ``unmeasured``, ``store-down``, ``log-half-full``, ``control-late``."""
    subject: str
    since_s: int
    sentence: str


@dataclass(slots=True)
class Watch:
    """What was told and not yet taken back. Kept in memory: after a restart what is wrong still is told again."""

    told: dict[tuple[str, str], Condition] = field(default_factory=dict)

    def notices(self, now: list[Condition], at_s: int, inventory: Inventory, url: str) -> list[Notice]:
        """Notices for what is newly wrong, and for what is right again."""
        wrong = {(each.what, each.subject): each for each in now}
        found: list[Notice] = []
        for key, each in wrong.items():
            if key not in self.told:
                self.told[key] = each
                found += watch_notices(
                    each.what, each.subject, SEVERITY, at_s, each.since_s, each.sentence, inventory, url
                )
        for key, each in list(self.told.items()):
            if key not in wrong:
                del self.told[key]
                sentence = f"{each.subject} is right again: {each.what} since {at_s - each.since_s} s is over"
                found += watch_notices(
                    "recovered", each.subject, SEVERITY, at_s, each.since_s, sentence, inventory, url
                )
        return found


def conditions(
    now_s: int, watermark_s: int, settle_s: int, intake: Intake, error: str, failing_s: int | None, dark: dict[str, int]
) -> Iterator[Condition]:
    """What is wrong with us.

    Args:
        now_s: The wall clock.
        watermark_s: The last judged boundary; 0 before the first.
        settle_s: How long a boundary is waited for.
        intake: Counters, and the state of log and store.
        error: Why the last round failed; empty when it did not.
        failing_s: Since when the store fails at every look.
        dark: Journeys that are not measured, and since when.
    """
    if failing_s is not None and now_s - failing_s >= STORE_DOWN_S:
        yield Condition("store-down", "store", failing_s, f"rows wait in the log: {intake.store_error or error}")
    late_s = now_s - settle_s - watermark_s
    if watermark_s and late_s > LATE_S:
        why = f": {error}" if error else ""
        yield Condition("control-late", "control", watermark_s, f"nothing was judged for {late_s} s{why}")
    if intake.log_limit_bytes and intake.log_used_bytes > LOG_SHARE * intake.log_limit_bytes:
        share = intake.log_used_bytes / intake.log_limit_bytes
        yield Condition(
            "log-half-full", "log", now_s, f"the log is {share:.0%} full; when it is full, traffic is refused"
        )
    for journey, since_s in dark.items():
        if now_s - since_s >= UNMEASURED_S:
            yield Condition("unmeasured", journey, since_s, f"{journey} has not been measured for {now_s - since_s} s")
