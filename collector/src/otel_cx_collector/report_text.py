"""Reports for people: what a replay found, and where two inventories differ. Prints what they say, nothing more."""

from collections.abc import Iterator
from io import StringIO
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from otel_cx_collector.backtest import Backtest, Call, Difference, Kind, What, totals
from otel_cx_collector.events import NS
from otel_cx_collector.inventory.quantities import format_duration
from otel_cx_collector.measure.report import timestamp

WIDTH: Final = 120


def as_text(report: dict[str, Any]) -> str:
    """A replay's report as plain text; its tables 120 columns at most."""
    spans = report["spans"]
    refused = {reason: number for reason, number in spans["rejected"].items() if number}
    lines = [f"{report['from']} to {report['to']}"]
    lines.append(
        f"{spans['received']:,} spans: {spans['steps']:,} steps, {spans['duplicates']:,} duplicates, "
        f"{spans['synthetic']:,} synthetic, refused: {_listed(refused)}"
    )
    lines += _as_of(report)
    for moment in report.get("reports", ()):
        lines += ["", f"as of {moment['at']}", *_as_of(moment)]
    return "\n".join(lines) + "\n"


def _as_of(report: dict[str, Any]) -> Iterator[str]:
    """Journeys and what was judged of them."""
    yield drawn(_journeys(report["journeys"]))
    for name, journey in report["journeys"].items():
        yield from (f"{name}: {_episode(each)}" for each in journey["episodes"])
    for title in ("incidents", "alerts", "decisions"):
        if report[title]:
            yield f"\n{title}"
            yield from (f"  {line}" for each in report[title] for line in _SAID[title](each))


def _episode(episode: dict[str, Any]) -> str:
    return (
        f"{_span(episode['started_at'], episode['ended_at'])}, {episode['harm_minutes']:.2f} equivalent minutes, "
        f"score {episode['score']:.1f}, {episode['vector']}"
    )


def _span(start: str, end: str | None) -> str:
    return f"{start} to {end}" if end else f"since {start}, still open"


def _incident(incident: dict[str, Any]) -> Iterator[str]:
    reach = incident["reach"]
    yield f"{incident['severity']} {incident['journey']}: {_span(incident['opened_at'], incident['closed_at'])}"
    yield (
        f"  hurt since {incident['started_at']}, {reach['affected']:,} of {reach['active']:,} customers affected, "
        f"{incident['harm_minutes']:.2f} equivalent minutes, score {incident['score']:.1f}"
    )


def _alert(alert: dict[str, Any]) -> Iterator[str]:
    of = f" of {alert['step']}" if alert["step"] else ""
    ended = f"resolved {alert['resolved_at']}" if alert["resolved_at"] else "still firing"
    yield f"{alert['journey']}: {alert['sli']}{of} {alert['policy']} fired {alert['fired_at']}, {ended}"


def _decision(decision: dict[str, Any]) -> Iterator[str]:
    does = ", ".join(each for each in (decision["severity"], decision["action"]) if each)
    head = f"{decision['at']} {decision['journey']}, {decision['rule']}: {decision['verdict']}"
    yield f"{head}, {does}" if does else head
    for one in decision["because"]:
        missing = f", missing {one['missing']}" if one["missing"] else ""
        yield f"  {one['verdict']:<7}  {one['predicate']}: {_value(one)}{missing}"


def _value(one: dict[str, Any]) -> str:
    if one["value"] is None:
        return "no value"
    low, high = (None if one[key] is None else f"{one[key]:.4g}" for key in ("low", "high"))
    if low is None:
        return f"{one['value']:.4g}"
    return f"{one['value']:.4g} ({low} to {high})" if high else f"{one['value']:.4g} ({low} or more)"


_SAID: Final = {"incidents": _incident, "alerts": _alert, "decisions": _decision}


def _listed(refused: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {reason}" for reason, number in refused.items()) or "none"


def drawn(table: Table) -> str:
    """A table as plain text, without the blanks that fill its last column."""
    out = StringIO()
    Console(file=out, width=WIDTH, no_color=True, highlight=False, emoji=False, markup=False).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _journeys(journeys: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("journey")
    for title in ("attempts", "completed", "customers", "affected", "ok", "failed", "rejected", "harm min", "grade"):
        table.add_column(title, justify="right")
    for name, journey in journeys.items():
        steps = journey["steps"].values()
        sums = [sum(step[key] for step in steps) for key in ("ok", "failed", "rejected")]
        table.add_row(
            name,
            f"{journey['attempts']['started']:,}",
            f"{journey['attempts']['completed']:,}",
            f"{journey['customers']['active']:,}",
            f"{journey['customers']['affected']:,}",
            *(f"{number:,}" for number in sums),
            f"{journey['harm_minutes']:.2f}",
            journey["grade"],
        )
    return table


def compared(found: Backtest, before: str, after: str) -> str:
    """A backtest as plain text: one line a difference, then the totals. ``before`` and ``after`` name the files."""
    lines = [f"{timestamp(found.from_s)} to {timestamp(found.to_s)}, {after} instead of {before}", ""]
    lines += [_difference(each) for each in found.differences] or ["no difference"]
    lines += ["", *(_total(found, what) for what in What)]
    for name in sorted({*found.before.messages, *found.after.messages}):
        old, new = found.before.messages.get(name, 0), found.after.messages.get(name, 0)
        lines.append(f"messages to {name}: {old:,} before, {new:,} after")
    return "\n".join(lines) + "\n"


def _difference(each: Difference) -> str:
    call, old = each.call, each.before
    said = f"{call.severity} at {timestamp(call.at_s)}"
    if each.kind in (Kind.ADDED, Kind.REMOVED):
        said += f", by {call.why}"
    elif each.kind is Kind.SEVERITY and old is not None:
        said = f"{call.severity} instead of {old.severity}, at {timestamp(call.at_s)}"
    elif old is not None:
        said += f" instead of {timestamp(old.at_s)}, {format_duration(abs(call.at_s - old.at_s) * NS)} {each.kind}"
    return f"{each.kind:<8}  {_called(call)} about {call.about.journey}: {said}"


def _called(call: Call) -> str:
    named = {What.PAGE: "page", What.NOTICE: f"notice to {call.about.name}", What.ALERT: f"alert {call.about.name}"}
    return named[call.about.what]


def _total(found: Backtest, what: What) -> str:
    counts = totals(found, what)
    differ = ", ".join(f"{counts[kind]:,} {_KINDS.get(kind, kind)}" for kind in Kind)
    return f"{what}s: {counts['before']:,} before, {counts['after']:,} after; {differ}"


_KINDS: Final = {Kind.SEVERITY: "of another severity"}
