"""What outlives the rows: everyday harm by hour, closed days of budgets and of harmed customers, the ledger.

Kept as small texts in the working state, one a journey and kind, so that seasons, budgets of 30 days and the ledger
reach further back than rows do. Nothing is judged here.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Protocol

import pyarrow as pa
from pydantic import TypeAdapter

from otel_cx_collector.events import MINUTE_S, NS
from otel_cx_collector.inventory import Journey
from otel_cx_collector.measure.budgets import Carried, closed
from otel_cx_collector.measure.episodes import SEASON_WEEKS
from otel_cx_collector.measure.evaluation import Evaluation, episode, of_track
from otel_cx_collector.measure.impact import Usual
from otel_cx_collector.measure.ledger import Entry, entry, harmed_customers
from otel_cx_collector.measure.track import Track

HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S
SETTLED_S: Final = 2 * HOUR_S
"""An hour or a day is closed when it ended this long ago, and closed again while rows of it may still come late."""
AGAIN_S: Final = DAY_S + SETTLED_S
SEASONS_S: Final = (SEASON_WEEKS * 7 + 1) * DAY_S
DAYS_S: Final = 31 * DAY_S
LEDGER_S: Final = 92 * DAY_S
"""A quarter."""
HARMED_LIMIT: Final = 20_000
"""Harmed customers kept of a journey and day; of more, those harmed most often."""


class Shelf(Protocol):
    """Texts by name; ``state.State`` is one."""

    def kept(self, name: str) -> str | None:
        """What was kept under a name."""
        ...

    def keep(self, name: str, text: str) -> None:
        """Keep a text under a name, in place of what was there."""
        ...


@dataclass(slots=True)
class Kept:
    """Of one journey."""

    hours: dict[int, Usual] = field(default_factory=dict)
    """By hour since the epoch."""
    days: dict[int, list[Carried]] = field(default_factory=dict)
    """By day since the epoch."""
    harmed: dict[int, pa.Table] = field(default_factory=dict)
    """By day since the epoch, see ``ledger.harmed_customers``."""
    ledger: dict[int, Entry] = field(default_factory=dict)
    """Episodes that are over, by start."""


_HOURS: Final = TypeAdapter(dict[int, Usual])
_DAYS: Final = TypeAdapter(dict[int, list[Carried]])
_LEDGER: Final = TypeAdapter(dict[int, Entry])


def load(shelf: Shelf, journey: Journey) -> Kept:
    """What was kept of a journey; everyday harm of other steps than it has now is forgotten."""
    hours = _read(shelf, _name("hours", journey), _HOURS.validate_python)
    steps = len(journey.steps)
    return Kept(
        hours={hour: usual for hour, usual in hours.items() if len(usual.executed) == steps},
        days=_read(shelf, _name("days", journey), _DAYS.validate_python),
        harmed=_read(shelf, _name("harmed", journey), _tables),
        ledger=_read(shelf, _name("ledger", journey), _LEDGER.validate_python),
    )


def update(shelf: Shelf, kept: Kept, track: Track, at_s: int) -> None:
    """Close what has ended by T, and write what changed. To be called once an hour or so for each journey."""
    since_s = track.since_s
    if since_s is None:
        return
    found = of_track(track, at_s * NS)
    begin_s = max(since_s, at_s - AGAIN_S, track.whole_s)
    if _close_hours(kept, track, begin_s, at_s):
        _write(shelf, _name("hours", track.journey), {hour: asdict(usual) for hour, usual in kept.hours.items()})
    if _close_days(kept, found, max(since_s, track.whole_s), at_s):
        _write(shelf, _name("days", track.journey), {day: [asdict(o) for o in of] for day, of in kept.days.items()})
        _write(shelf, _name("harmed", track.journey), {day: _packed(table) for day, table in kept.harmed.items()})
    if _enter(kept, found, max(at_s - AGAIN_S, track.whole_s), at_s):
        _write(shelf, _name("ledger", track.journey), {start: _entry(each) for start, each in kept.ledger.items()})


def _close_hours(kept: Kept, track: Track, begin_s: int, at_s: int) -> bool:
    before = dict(kept.hours)
    for hour in range(-(-begin_s // HOUR_S), (at_s - SETTLED_S) // HOUR_S):
        usual = track.counted(hour)
        if usual is not None:
            kept.hours[hour] = usual
    for hour in [hour for hour in kept.hours if hour * HOUR_S < at_s - SEASONS_S]:
        del kept.hours[hour]
    return kept.hours != before


def _close_days(kept: Kept, found: Evaluation, since_s: int, at_s: int) -> bool:
    """The last days whose attempts are all over; their rows are there from the journey's first data on."""
    until_s = at_s - SETTLED_S - found.journey.timeout_ns // NS
    days = range(max(since_s, at_s - 2 * DAY_S) // DAY_S, until_s // DAY_S)
    for day in days:
        from_s, to_s = max(day * DAY_S, since_s), (day + 1) * DAY_S
        if any(each.from_s < from_s for each in kept.days.get(day, ())):
            continue  # rows of its beginning have gone since
        kept.days[day] = closed(found, from_s, to_s)
        harmed = harmed_customers(found, from_s, to_s)
        kept.harmed[day] = harmed.sort_by([("attempts", "descending")]).slice(0, HARMED_LIMIT)
    for old in [day for day in kept.days if day * DAY_S < at_s - DAYS_S]:
        del kept.days[old], kept.harmed[old]
    return bool(days)


def _enter(kept: Kept, found: Evaluation, again_s: int, at_s: int) -> bool:
    """Episodes that are over, as they are known now as long as their rows are there."""
    before = dict(kept.ledger)
    for span in found.spans:
        start_s = span.start * MINUTE_S
        known = kept.ledger.get(start_s)
        if span.over and (known is None or start_s >= again_s):
            kept.ledger[start_s] = entry(found, episode(found, span))
    for start_s in [start_s for start_s in kept.ledger if start_s < at_s - LEDGER_S]:
        del kept.ledger[start_s]
    return kept.ledger != before


def _name(kind: str, journey: Journey) -> str:
    return f"{kind}/{journey.name}"


def _read(shelf: Shelf, name: str, form: Callable[[Any], Any]) -> Any:
    text = shelf.kept(name)
    return {} if text is None else form({int(key): value for key, value in json.loads(text).items()})


def _write(shelf: Shelf, name: str, values: dict[int, Any]) -> None:
    shelf.keep(name, json.dumps(values, separators=(",", ":")))


def _entry(each: Entry) -> dict[str, Any]:
    return asdict(each) | {"customers": sorted(each.customers)}


def _packed(table: pa.Table) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return base64.b64encode(sink.getvalue().to_pybytes()).decode()


def _tables(packed: dict[int, str]) -> dict[int, pa.Table]:
    return {day: pa.ipc.open_stream(base64.b64decode(text)).read_all() for day, text in packed.items()}
