"""A journey's decision tree at one slice boundary, from recordings or from a running collector. Prints nothing."""

from dataclasses import dataclass
from typing import Any, Final, Protocol

from pydantic import TypeAdapter

from otel_cx_collector.api.judged import DecisionOut
from otel_cx_collector.api.plain import rounded
from otel_cx_collector.cli.asking import Collector
from otel_cx_collector.cli.options import moment, safe
from otel_cx_collector.decide import text
from otel_cx_collector.decide.words import Branch, Decision, Finding, Truth
from otel_cx_collector.errors import UserError
from otel_cx_collector.events import SLICE_S
from otel_cx_collector.inventory import Inventory
from otel_cx_collector.measure.report import timestamp
from otel_cx_collector.views.decisions import Judgement

RECORDS: Final = 200
"""As many changes of verdict as a collector is asked for, and answers at once."""


class Answer(Protocol):
    """What is known of a tree."""

    def text(self) -> str:
        """For people, ended by a newline."""
        ...

    def json(self) -> Any:
        """As plain JSON values."""
        ...


@dataclass(frozen=True, slots=True)
class Explained:
    """The tree with its values."""

    decision: Decision
    tree: tuple[Branch, ...]

    def text(self) -> str:
        """As the core words it."""
        return text.explain(self.tree, self.decision)

    def json(self) -> Any:
        """As the API answers it."""
        judgement = Judgement(self.decision, self.tree)
        return rounded(DecisionOut.of(judgement).model_dump(by_alias=True))


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was recorded of a time that a collector no longer has the values of."""

    journey: str
    at_s: int
    judged_s: int
    records: list[dict[str, Any]]
    """Changes of verdict up to that time, newest first, as the API answers them."""
    cut: bool
    """There are more than ``RECORDS`` changes in all."""

    def text(self) -> str:
        """Says what it is, then one line a change."""
        head = (
            f"{self.journey} at {timestamp(self.at_s)}: the collector has the values of {timestamp(self.judged_s)} "
            "alone; give recordings for those of another time"
        )
        if not self.records:
            since = f"; it keeps the newest {RECORDS} changes at hand, all of them later" if self.cut else ""
            return f"{head}\nno change of verdict was recorded up to then{since}\n"
        lines = [f"{one['at']}  {one['rule']}: {one['sentence']}" for one in self.records]
        return "\n".join([head, "changes of verdict recorded up to then, newest first:", *lines]) + "\n"

    def json(self) -> Any:
        """The same facts."""
        times = {"at": timestamp(self.at_s), "judged_until": timestamp(self.judged_s)}
        return {"journey": self.journey, "records": self.records, **times}


def by_recordings(files: list[str], inventory: Inventory, journey: str, at_s: int | None) -> Answer:
    """The tree at T by recordings that are judged up to T; without a time, to their end.

    Raises:
        UserError: No such journey, nothing of it is judged at that time, or a file cannot be read.
    """
    from otel_cx_collector.recording import read  # a second of imports, of no use where a collector is asked
    from otel_cx_collector.replay import court, stored

    if journey not in inventory.journeys:
        raise UserError(f"there is no journey {journey!r} in the inventory; it has {', '.join(inventory.journeys)}")
    recording = read(files, inventory)
    table, tables, _ = stored(recording, inventory)
    bench = court(recording, tables, table, inventory)
    first_s, at_s = bench.first_s + SLICE_S, bench.last_s if at_s is None else at_s
    if not bench.last_s:
        raise UserError("the recordings hold no step of any journey; check them with replay --format text")
    if not first_s <= at_s <= bench.last_s:
        span = f"{timestamp(first_s)} to {timestamp(bench.last_s)}"
        raise UserError(f"--at {timestamp(at_s)} is not within the recordings; name a time from {span}")
    bench.subjects = {journey: bench.subjects[journey]}
    bench.judge(at_s)
    subject, rules = bench.subjects[journey], bench.state.journeys[journey].rules
    return Explained(subject.answer(rules, at_s), tuple(subject.branches(rules, at_s)))


def by_collector(collector: Collector, journey: str, at_s: int | None) -> Answer:
    """The tree at the last judged T; of an earlier time what was recorded up to it.

    Raises:
        UserError: No answer, no such journey, or a time that is not judged yet.
    """
    known = safe(list(collector.get("/inventory")["journeys"]))
    if journey not in known:
        raise UserError(f"there is no journey {journey!r}; the collector judges {', '.join(known) or 'none'}")
    found = safe(collector.get(f"/journeys/{journey}/decision"))
    judged_s = moment(found["at"])
    if at_s is None or at_s == judged_s:
        return _explained(found)
    if at_s > judged_s:
        raise UserError(f"--at {timestamp(at_s)} is not judged yet; ask for {timestamp(judged_s)} or earlier, or now")
    records = safe(collector.get(f"/journeys/{journey}/records", limit=RECORDS))
    earlier = [one for one in records if moment(one["at"]) <= at_s]
    return Recorded(journey, at_s, judged_s, earlier, cut=len(records) == RECORDS)


def _explained(found: dict[str, Any]) -> Explained:
    until = found["monitor_until"]
    decision = Decision(
        at_s=moment(found["at"]),
        journey=found["journey"],
        rule=found["rule"],
        verdict=Truth(found["verdict"]),
        severity=found["severity"],
        notify=tuple(found["notify"]),
        monitor_until_s=None if until is None else moment(until),
        because=tuple(TypeAdapter(list[Finding]).validate_python(found["because"])),
        sentence=found["sentence"],
    )
    return Explained(decision, TypeAdapter(tuple[Branch, ...]).validate_python(found["tree"]))
