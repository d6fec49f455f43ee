"""What facts say about changes, renewals and maintenance. Not how they are shown, nor what is judged by them."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime

from otel_cx_collector.events import NS, Fact, FactKind
from otel_cx_collector.inventory import Inventory, Maintenance


class Known:
    """Facts, each once: of those with one id the last given counts. Immutable.

    Attributes:
        facts: All of them, by time and id.
        renewals: Account -> its latest renewal.
    """

    def __init__(self, facts: Iterable[Fact] = ()) -> None:
        self.facts = tuple(sorted({fact.id: fact for fact in facts}.values(), key=lambda fact: (fact.at_ns, fact.id)))
        self._changes = [fact for fact in self.facts if fact.kind in (FactKind.DEPLOY, FactKind.FLAG)]
        self._by_account: dict[str, list[Fact]] = {}
        for fact in self.facts:
            if fact.kind is FactKind.RENEWAL:
                self._by_account.setdefault(fact.account, []).append(fact)
        self.renewals = {account: renewals[-1] for account, renewals in self._by_account.items()}

    def deploys_and_flags(self, from_s: int, to_s: int) -> tuple[Fact, ...]:
        """Those whose time is in [from_s, to_s), by time and id."""
        first = bisect_right(self._changes, from_s * NS - 1, key=_at_ns)
        return tuple(self._changes[first : bisect_right(self._changes, to_s * NS - 1, key=_at_ns)])

    def due_within(self, account: str, at_s: int, days: int) -> bool:
        """Whether the account's renewal, as it was known at ``at_s``, is due that day (UTC) or up to ``days`` later."""
        renewals = self._by_account.get(account, [])
        known = bisect_right(renewals, at_s * NS, key=_at_ns)
        if not known:
            return False
        today = datetime.fromtimestamp(at_s, UTC).date()
        return 0 <= (date.fromisoformat(renewals[known - 1].due) - today).days <= days

    def maintenance(self, journey: str) -> tuple[tuple[int, int], ...]:
        """Start and end of each maintenance of a journey, nanoseconds since the epoch, by start."""
        return tuple((fact.at_ns, fact.until_ns) for fact in maintenances(self.facts) if fact.journey == journey)


def maintenances(facts: Iterable[Fact]) -> tuple[Fact, ...]:
    """The facts that say when a journey is maintained, by start."""
    found = [fact for fact in facts if fact.kind is FactKind.MAINTENANCE]
    return tuple(sorted(found, key=lambda fact: (fact.at_ns, fact.id)))


def with_maintenance(inventory: Inventory, facts: Iterable[Fact]) -> Inventory:
    """The inventory as if it also listed the maintenance that facts tell of; itself when they tell of none.

    A journey that the inventory no longer has is passed over.
    """
    listed = tuple(
        Maintenance.model_construct(journey=fact.journey, from_ns=fact.at_ns, to_ns=fact.until_ns)
        for fact in maintenances(Known(facts).facts)
        if fact.journey in inventory.journeys
    )
    return replace(inventory, maintenance=(*inventory.maintenance, *listed)) if listed else inventory


def _at_ns(fact: Fact) -> int:
    return fact.at_ns
