"""What is left of the promises: error budgets by journey, segment and account, and the alerts on how they burn.

Not how they are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from otel_cx_collector.views.names import known
from otel_cx_collector.views.windows import DAY_S

if TYPE_CHECKING:
    from otel_cx_collector.incidents.words import Account
    from otel_cx_collector.measure.figures import Budget, BurnAlert
    from otel_cx_collector.views.source import Source
    from otel_cx_collector.views.windows import Window

ACCOUNTS: Final = 10
"""As many accounts in danger as one person can call."""


SOON_S: Final = 30 * DAY_S
"""A renewal within 30 days is marked: it raises a floor of the severity (measures.md 4.9)."""


@dataclass(frozen=True, slots=True)
class Budgets:
    """A journey's error budgets at T."""

    journey: tuple[Budget, ...]
    """In the order of the objectives."""
    segments: dict[str, list[Budget]]
    accounts: tuple[tuple[Account, list[Budget]], ...]
    """The worst off first."""


def budgets(source: Source, name: str, limit: int = ACCOUNTS) -> Budgets:
    """All budgets of one journey, of at most ``limit`` accounts. Raises NotFound, Unavailable."""
    known(source.inventory, name)
    return Budgets(
        journey=tuple(source.budgets(name)),
        segments=source.segment_budgets(name),
        accounts=tuple(source.account_budgets(name, limit)),
    )


def alerts(source: Source, name: str, window: Window) -> tuple[BurnAlert, ...]:
    """Burn-rate alerts of the window, those that fire now first, then the latest. Raises NotFound, Unavailable."""
    known(source.inventory, name)
    found = source.alerts(name, window.from_s, window.to_s)
    return tuple(sorted(found, key=lambda alert: (alert.resolved_s is not None, -alert.fired_s)))


def remaining(budget: Budget) -> float:
    """For finding the worst: what nothing was counted of is whole."""
    return 1.0 if budget.remaining is None else budget.remaining


def thinnest(found: tuple[Budget, ...] | list[Budget]) -> Budget | None:
    """The budget with the least left; None when no objective has been counted."""
    return min((budget for budget in found if budget.remaining is not None), key=remaining, default=None)


def matching(found: list[Budget], goal: Budget) -> Budget | None:
    """The budget of the same objective."""
    return next((each for each in found if (each.sli, each.step) == (goal.sli, goal.step)), None)


def renews_soon(due: str, at_s: int) -> bool:
    """Whether an ISO date is today or within ``SOON_S`` after a time; what is no date is not."""
    try:
        due_s = datetime.fromisoformat(due).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return False
    return -DAY_S < due_s - at_s <= SOON_S
